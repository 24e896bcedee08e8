#!/bin/sh
# runner.sh: runs the jobs of one task on a worker. Needs a POSIX shell, tar, sha256sum.
#
#   sh runner.sh none|gzip SECONDS [MEGABYTES]
#
# inputs.tar holds jobs.sh, which calls `job` and `step` below, and a folder JOB.STEP for each step of
# each job (0, 1, ...). A job runs in the folder of its last step, so that its files need not be
# copied; shared/ is beside it. Few files are made, and few programs are started, since each takes
# about 1 ms: one watcher ends the programs of all jobs that reach their deadlines, instead of a
# `timeout` for each. Paths are relative, so that a sandbox that is moved is not made again where it
# was.
# outputs.tar holds JOB.STEP/FILE, the streams JOB.STEP:stdout and JOB.STEP:stderr, and a `manifest`
# of exit codes, wall times and checksums:
#   wqmaster 1 | host NAME |
#   step JOB NAME EXIT HUNDREDTHS TIMED_OUT [SOFTWARE] | SUM  FILE | SUM  inputs.tar |
#   cut BYTES FILE | memory JOB NAME KILOBYTES HUNDREDTHS | end SUM OF THE LINES ABOVE
# SECONDS is the time limit of one job. Exit code 0 means that outputs.tar is complete.
# With MEGABYTES, the watcher also measures how much memory programs use, and ends those that use
# more (0: none); `memory` states the most that was seen, and how long after the start that was last
# looked at.
# Of a standard output or error that is larger than $bound bytes, which jobs.sh can set, only the
# first and the last megabyte are returned; `cut` states its size.
# If a step's program comes with the campaign (`software:`), jobs.sh reads
# shared/wqmaster.software.sh.
set -u
umask 077
# Close the worker's open sockets: while we hold them, the manager does not see the worker die (F4).
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
is_leader() { # whether we lead our process group, and so can signal all of it
    read -r stat < /proc/$$/stat || return 1
    stat=${stat##*) }
    # shellcheck disable=SC2086  # fields
    set -- $stat
    [ "$3" = "$$" ]
}
# A worker of ndcctools makes us a group leader from outside (setpgid after fork). On a busy machine
# this fails, since we already run (F30), and neither the worker nor we could end what we start.
if [ $# -lt 4 ] && [ -r /proc/$$/stat ] && ! is_leader && command -v setsid > /dev/null; then
    exec setsid sh "$0" "$1" "$2" "${3-}" alone # the same process, now leading its own session
fi
compression=$1
limit=$2
memory=${3-}
top=$PWD
LC_ALL=C HOME=$top TMPDIR=$top
export LC_ALL HOME TMPDIR
# shellcheck disable=SC3045  # not in every shell; large molecules need the stack
ulimit -s unlimited 2> /dev/null

die() {
    if [ -n "${watcher-}" ]; then watch_no_more; fi
    echo "runner.sh: $1" >&2
    exit "${2:-1}"
}

now=0
clock() { # sets `now` in hundredths of a second, without a fork if /proc exists
    if read -r up _ < /proc/uptime; then
        now=${up%.*}${up#*.}
    else
        now=$(date +%s)00
    fi 2> /dev/null
}

end_group() {
    if is_leader 2> /dev/null; then
        trap '' TERM
        kill -TERM 0
        trap 'end_group; exit 143' TERM
    fi
}
trap 'end_group; exit 143' TERM

# software.sh sets these for the next step: why its program is missing, and the exit code for that;
# the function to call in the program's process before the program; the key of its software.
trouble='' trouble_code=127 before=: key=

# What is returned, as words; a name has no blanks. Of these, the long streams.
names='' long=''
# The folder that the job runs in, and the outputs in it; the process that watches.
job_folder='' kept='' watcher='' watchers=0

job() { # NUMBER STEP: the job runs in the folder of this step
    if [ -n "$job_folder" ]; then
        tidy
        cd -P .. || die "cannot return to the sandbox"
    fi
    job=$1 job_folder=$1.$2 kept=
    clock
    job_began=$now
    deadline=$((now + limit * 100))
    cd -P "$job_folder" || die "cannot enter the folder of job $job"
}

# step NAME "OUTPUT..." "FILE TO REMOVE FIRST..." PROGRAM [ARGUMENT...]
# An output +FILE is returned only if the program fails. First, OLD:NEW copies a file and OLD=NEW
# renames one. PROGRAM can be `env NAME=VALUE... PROGRAM`.
step() {
    name=$1 outputs=$2 first=$3
    shift 3
    out=../$job.$name
    clean=
    for file in $first; do
        case $file in
            *=*)
                [ ! -f "${file%%=*}" ] || mv -f "${file%%=*}" "${file#*=}" ||
                    die "cannot rename $file"
                ;;
            *:*)
                [ ! -f "${file%%:*}" ] || cp "${file%%:*}" "${file#*:}" || die "disk full" 28
                ;;
            *) if [ -e "$file" ] || [ -h "$file" ]; then clean="$clean $file"; fi ;;
        esac
    done
    # shellcheck disable=SC2086  # a list of plain names
    [ -z "$clean" ] || rm -f $clean
    clock
    started=$now
    left=$(((deadline - now + 99) / 100))
    timed_out=0 ran='' reason=''
    exec 4> "$out:stdout" 5> "$out:stderr" || die "disk full" 28
    if [ -n "$trouble" ]; then
        echo "runner.sh: $trouble" >&5
        code=$trouble_code
    elif [ "$left" -gt 0 ]; then
        [ -n "$watcher" ] || watch_over
        { $before && start "$@"; } >&4 2>&5 < /dev/null 3>&- 4>&- 5>&- &
        pid=$! ran=1
        echo "$pid $deadline $started $job $name" >&3 || { kill -KILL "$pid" && die "disk full" 28; }
        wait "$pid"
        code=$?
        # A program can remove the folder that it runs in.
        [ -d "../$job_folder" ] || { mkdir "../$job_folder" && cd -P "../$job_folder"; } ||
            die "cannot enter the folder of job $job"
    else
        code=124 timed_out=1
    fi
    used=${key:+ $key}
    trouble='' before=: key=
    clock
    if [ -n "$ran" ] && [ -e "../ended.$pid" ]; then
        read -r reason < "../ended.$pid"
        if [ "$reason" = time ]; then
            timed_out=1
            [ "$code" = 137 ] || code=124 # as `timeout` has it
        fi
        watch_no_more
        end_group
    fi
    # A signal from outside (scancel, a shutdown of the host) reaches a worker's processes one after
    # another: if we are about to be ended too, the job has not failed.
    case $code in 137 | 143) [ -n "$reason" ] || { sleep 2 & wait $!; } ;; esac
    # A program that fails because the disk is full need not say so, or cannot.
    if [ "$code" -ne 0 ] && [ -n "$ran" ]; then
        head -c 1000000 /dev/zero > ../probe 2> /dev/null || die "disk full" 28
        rm -f ../probe
    fi
    there=
    names="$names $job.$name:stdout $job.$name:stderr"
    written 4 "$out:stdout"
    [ "$size" -le "$bound" ] || long="$long $job.$name:stdout"
    written 5 "$out:stderr"
    [ "$size" -le "$bound" ] || long="$long $job.$name:stderr"
    exec 4>&- 5>&-
    for file in $outputs; do
        case $file in +*)
            [ "$code" -ne 0 ] || continue
            file=${file#+}
            ;;
        esac
        if [ -f "$file" ] && [ ! -h "$file" ]; then
            there="$there $file" names="$names $job.$name/$file"
        fi
    done
    if [ "$job.$name" = "$job_folder" ]; then
        kept=$there
    elif [ -n "$there" ]; then
        # shellcheck disable=SC2086  # a list of plain names
        cp $there "$out/" || die "disk full" 28
    fi
    echo "step $job $name $code $((now - started)) $timed_out$used" >> ../manifest
    return "$code"
}

watch() { # UNTIL: ends programs at their deadlines, of which a later one is never earlier
    until=$1 ended=${!:-} pid='' began=$now whose='' peak=0 looked=0
    trap '[ "${!:-}" = "$ended" ] || { kill -KILL "$!"; wait "$!"; }; noted; exit' TERM
    : > "watching.$watchers"
    exec 6< watched
    [ -z "$memory" ] || sleep 0.01 2> /dev/null || whole=1
    while :; do
        clock
        left=$(((until - now + 99) / 100))
        left=$((left > 60 ? 60 : left < 1 ? 1 : left))
        if [ -n "$memory" ]; then pause; else nap $left; fi
        kill -0 $$ || exit # nobody is left to watch for, since the runner was killed
        watched
        clock
        [ -z "$memory" ] || measure
        if [ "$now" -lt "$until" ]; then continue; fi
        late=$pid
        echo time > "ended.$late"
        kill -TERM "$late"
        nap 5
        watched
        [ "$pid" != "$late" ] || kill -KILL "$late"
    done
}

nap() { # SECONDS
    sleep "$1" &
    wait "$!"
    ended=$!
}

# Empty if `sleep` knows fractions of a second, as most do.
whole=''

pause() { # until memory is to be measured again: soon for young programs
    age=$(((now - began) / 8))
    if [ -n "$whole" ] || [ "$age" -ge 100 ]; then
        nap 1
    else
        nap "0.$((age < 20 ? 20 : age))"
    fi
}

watched() { # reads what is known of the program that was started last
    while read -r newest its_deadline its_start its_job its_step <&6; do
        [ -z "$memory" ] || [ -z "$pid" ] || noted
        pid=$newest until=$its_deadline began=$its_start whose="$its_job $its_step" peak=0
    done
}

measure() { # looks at the memory of the program that was started last, and ends it beyond the limit
    total=0 largest=0
    add_up "$pid"
    if [ "$total" -eq 0 ]; then return; fi
    [ "$largest" -gt "$total" ] || largest=$total
    [ "$largest" -le "$peak" ] || peak=$largest
    looked=$((now - began))
    if [ "$memory" -gt 0 ] && [ "$peak" -gt $((memory * 1024)) ] && [ ! -e "ended.$pid" ]; then
        echo memory > "ended.$pid"
        kill -KILL "$pid"
    fi
}

# The memory of a process and its descendants now, in kB, and the most that one of them ever had.
add_up() { # PROCESS
    while read -r key value _; do
        case $key in
            VmHWM:) [ "$value" -le "$largest" ] || largest=$value ;;
            VmRSS:) total=$((total + value)) && break ;;
        esac
    done < "/proc/$1/status"
    children=
    read -r children < "/proc/$1/task/$1/children"
    for child in $children; do add_up "$child"; done
} 2> /dev/null

noted() { # writes down the most memory of a program
    if [ "$peak" -gt 0 ]; then echo "memory $whose $peak $looked" >> memories; fi
    peak=0
}

watch_over() {
    watchers=$((watchers + 1))
    (cd -P .. && watch "$deadline") < /dev/null > /dev/null 2>&1 3>&- 4>&- 5>&- &
    watcher=$!
}

watch_no_more() {
    signal=TERM
    # A shell that has just been forked can lose the signal.
    [ -e "watching.$watchers" ] || [ -e "../watching.$watchers" ] || signal=KILL
    if [ -n "$watcher" ]; then kill -$signal "$watcher" && wait "$watcher"; fi 2> /dev/null
    watcher=
}

start() { # PROGRAM [ARGUMENT...]: becomes the program
    if [ "$1" = env ]; then
        shift
        while :; do
            case $1 in -*) exec env "$@" ;; *=*) ;; *) break ;; esac
            case ${1%%=*} in
                '' | [0-9]* | *[!A-Za-z0-9_]*) exec env "$@" ;;
            esac
            export "${1?}"
            shift
        done
    fi
    case $1 in
        */*) [ -e "$1" ] ;;
        *) command -v "$1" > /dev/null ;;
    esac || {
        echo "the program '$1' cannot be started: No such file or directory" >&2
        exit 127
    }
    exec "$@"
}

written() { # NUMBER FILE: sets `size` of a file that we have open, without a fork if /proc exists
    read -r _ size < "/proc/$$/fdinfo/$1" || size=$(wc -c < "$2") || die "cannot determine file sizes"
} 2> /dev/null

# What jobs leave behind, as words, how many files that is, and when the job began.
junk='' pieces=0 job_began=0

tidy() { # removes what the job has left, at once if it took a while, else with that of later jobs
    for file in * .[!.]* ..?*; do
        if [ ! -e "$file" ] && [ ! -h "$file" ]; then continue; fi
        case $file in
            *[!A-Za-z0-9._-]*) rm -rf "./$file" ;;
            *) case " $kept " in
                *" $file "*) ;;
                *) junk="$junk $job_folder/$file" pieces=$((pieces + 1)) ;;
            esac ;;
        esac
    done
    clock
    if [ $((now - job_began)) -ge 100 ] || [ "$pieces" -ge 200 ]; then
        # shellcheck disable=SC2086  # a list of plain names
        [ -z "$junk" ] || (cd -P .. && rm -rf $junk) || die "cannot remove files"
        junk='' pieces=0
    fi
}

returned() { # COMMAND...: runs it with the names of all files that are returned
    if [ ${#names} -lt 100000 ]; then
        # shellcheck disable=SC2086  # a list of plain names
        "$@" $names
    else
        # shellcheck disable=SC2086  # a list of plain names
        printf '%s\n' $names | xargs "$@"
    fi
}

bound=67108864
part=1000000
shorten() { # FILE: leaves out the middle
    head -c $part "$1" > short &&
        printf '\n\n[wqmaster: the middle of this file was left out]\n\n' >> short &&
        tail -c $part "$1" >> short && mv -f short "$1"
}

if [ -e manifest ] || [ -e outputs.tar ]; then rm -rf manifest outputs.tar watch* ended.* memories; fi
tar -xf inputs.tar || die "cannot unpack inputs.tar"
{
    echo "wqmaster 1"
    read -r host < /proc/sys/kernel/hostname 2> /dev/null || host=$(uname -n)
    echo "host $host"
} > manifest || die "disk full" 28

exec 3> watched || die "disk full" 28 # of each program, its process and its deadline

# shellcheck disable=SC1091  # written by the master
. ./jobs.sh
cd -P .. || die "cannot return to the sandbox"
watch_no_more
[ ! -e memories ] || cat memories >> manifest || die "disk full" 28

for file in $long; do
    size=$(wc -c < "$file") || die "cannot determine file sizes"
    shorten "$file" || die "disk full" 28
    echo "cut $((size)) $file" >> manifest || die "disk full" 28
done
returned sha256sum inputs.tar >> manifest || die "cannot compute checksums"
sum=$(sha256sum manifest) || die "cannot compute checksums"
echo "end ${sum%% *}" >> manifest || die "disk full" 28
archive() { # writes the archive to standard output
    if [ ${#names} -lt 100000 ]; then
        # shellcheck disable=SC2086  # a list of plain names
        tar -cf - manifest $names
    else
        # shellcheck disable=SC2086  # a list of plain names
        printf '%s\n' manifest $names | tar -cf - -T -
    fi
}
if [ "$compression" = gzip ]; then
    archive | gzip -1 > outputs.tar || die "disk full" 28
else
    archive > outputs.tar || die "disk full" 28
fi
