#!/bin/sh
# runner.sh: runs the jobs of one task on a worker. Needs a POSIX shell, tar, timeout, sha256sum.
#
#   sh runner.sh none|gzip SECONDS
#
# inputs.tar holds a folder per job (0, 1, ...), each with a file job.sh that calls `step` below.
# outputs.tar holds JOB/STEP/FILE, and a `manifest` of exit codes, wall times, sizes and checksums:
#   wqmaster 1 | host NAME | inputs SUM OF inputs.tar |
#   step JOB NAME EXIT HUNDREDTHS TIMED_OUT [SOFTWARE] | SUM  FILE | size BYTES FILE |
#   cut BYTES FILE | end SUM OF THE LINES ABOVE
# SECONDS is the time limit of one job. Exit code 0 means that outputs.tar is complete.
# Of a standard output or error that is larger than $bound bytes, which job.sh can set, only the
# first and the last megabyte are returned; `cut` states its size.
# If a step's program comes with the campaign (`software:`), job.sh reads
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
if [ $# -eq 2 ] && [ -r /proc/$$/stat ] && ! is_leader && command -v setsid > /dev/null; then
    exec setsid sh "$0" "$@" alone # the same process, now leading its own session
fi
compression=$1
limit=$2
top=$PWD
LC_ALL=C HOME=$top TMPDIR=$top
export LC_ALL HOME TMPDIR
# shellcheck disable=SC3045  # not in every shell; large molecules need the stack
ulimit -s unlimited 2> /dev/null

die() {
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

# All processes of a job stay in one process group, so that ending the task ends them all (F21).
if timeout --foreground 5 true 2> /dev/null; then
    timeout="timeout --foreground -k 5"
else
    timeout="timeout -k 5"
fi
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

# step NAME "OUTPUT..." "FILE TO REMOVE FIRST..." PROGRAM [ARGUMENT...]
# An output +FILE is returned only if the program fails. First, OLD:NEW copies a file and OLD=NEW
# renames one.
step() {
    name=$1 outputs=$2 first=$3
    shift 3
    # Relative, and so in the sandbox wherever it is: an absolute path would make a second one if the
    # sandbox was moved.
    out=../out/$job/$name
    mkdir -p "$out" || die "cannot make a folder for outputs"
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
            *) clean="$clean $file" ;;
        esac
    done
    # shellcheck disable=SC2086  # a list of plain names
    [ -z "$clean" ] || rm -f $clean
    clock
    started=$now
    left=$(((deadline - now + 99) / 100))
    timed_out=0 ran=
    if [ -n "$trouble" ]; then
        : > "$out/stdout"
        echo "runner.sh: $trouble" > "$out/stderr"
        code=$trouble_code
    elif [ "$left" -gt 0 ]; then
        # shellcheck disable=SC2086  # words
        { $before && exec $timeout "$left" "$@"; } > "$out/stdout" 2> "$out/stderr" < /dev/null &
        wait $!
        code=$? ran=1
    else
        : > "$out/stdout"
        : > "$out/stderr"
        code=124
    fi
    used=${key:+ $key}
    trouble='' before=: key=
    clock
    # Allow for a tenth of a second, since our clock is coarse and timeout uses a different one.
    if [ "$((now + 10))" -ge "$deadline" ]; then
        case $code in 124 | 137 | 143) timed_out=1 && end_group ;; esac
    fi
    # A signal from outside (scancel, a shutdown of the host) reaches a worker's processes one after
    # another: if we are about to be ended too, the job has not failed.
    case $code in 137 | 143) [ "$timed_out" = 1 ] || { sleep 2 & wait $!; } ;; esac
    # A program that fails because the disk is full need not say so, or cannot.
    if [ "$code" -ne 0 ] && [ -n "$ran" ]; then
        head -c 1000000 /dev/zero > ../probe 2> /dev/null || die "disk full" 28
        rm -f ../probe
    fi
    there=
    for file in $outputs; do
        case $file in +*)
            [ "$code" -ne 0 ] || continue
            file=${file#+}
            ;;
        esac
        if [ -f "$file" ] && [ ! -h "$file" ]; then there="$there $file"; fi
    done
    # shellcheck disable=SC2086  # a list of plain names
    [ -z "$there" ] || cp $there "$out/" || die "disk full" 28
    echo "step $job $name $code $((now - started)) $timed_out$used" >> ../out/manifest
    return "$code"
}

bound=67108864
part=1000000
shorten() { # FILE: leaves out the middle
    head -c $part "$1" > ../short &&
        printf '\n\n[wqmaster: the middle of this file was left out]\n\n' >> ../short &&
        tail -c $part "$1" >> ../short && mv -f ../short "$1"
}

sum=$(sha256sum < inputs.tar) || die "cannot compute checksums"
tar -xf inputs.tar || die "cannot unpack inputs.tar"
rm -rf out outputs.tar
mkdir out || die "cannot make a folder for outputs"
{
    echo "wqmaster 1"
    read -r host < /proc/sys/kernel/hostname 2> /dev/null || host=$(uname -n)
    echo "host $host"
    echo "inputs ${sum%% *}"
} > out/manifest || die "disk full" 28

job=0
while [ -d "$job" ]; do
    cd -P "$job" || die "cannot enter the folder of job $job"
    clock
    deadline=$((now + limit * 100))
    # shellcheck disable=SC1091  # written by the master
    . ./job.sh
    cd -P .. || die "cannot return to the sandbox"
    next=$((job + 1))
    if [ -d "$next" ]; then rm -rf "$job"; fi
    job=$next
done

cd -P out || die "cannot enter the folder of outputs"
find . -type f ! -name manifest -exec wc -c {} + > ../sizes || die "cannot determine file sizes"
while read -r size file; do
    case $file in
        total) continue ;;
        */stdout | */stderr)
            if [ "$size" -gt "$bound" ]; then
                shorten "$file" || die "disk full" 28
                echo "cut $size $file"
                size=$(wc -c < "$file")
            fi
            ;;
    esac
    echo "size $((size)) $file"
done < ../sizes >> manifest || die "disk full" 28
# shellcheck disable=SC2094  # find skips the manifest
find . -type f ! -name manifest -exec sha256sum {} + >> manifest || die "cannot compute checksums"
sum=$(sha256sum < manifest) || die "cannot compute checksums"
echo "end ${sum%% *}" >> manifest || die "disk full" 28
if [ "$compression" = gzip ]; then
    tar -cf - . | gzip -1 > ../outputs.part || die "disk full" 28
else
    tar -cf ../outputs.part . || die "disk full" 28
fi
mv ../outputs.part ../outputs.tar
