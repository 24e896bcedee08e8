#!/bin/sh
# worker.sh: looks whether a worker can do its work on this host, then becomes the worker.
#
#   sh worker.sh [-o] [-d MB] [-t SECONDS] [-p PROGRAM]... [-r PROGRAM]... -- WORKER ARGUMENT...
#
#   -o           the worker shares this folder with others: it gets worker.ID/ of its own in it
#   -d MB        disk that must be free
#   -t SECONDS   when the factory began, in seconds since 1970: the clock cannot be before that
#   -p PROGRAM   must be there
#   -r PROGRAM   must be there, and run: it is called with --version
#
# Needs a POSIX shell. For each thing that is wrong a line "wqmaster worker: ..." on standard
# error; the exit code is that of the first:
#
#   80  called wrongly
#   81  no scratch space: none is writable, can run programs, and has the disk that is asked for
#   82  a program is missing, or does not run
#   83  the clock is wrong
#   84  the worker program does not start (a C library that is too old, another processor)
set -u
umask 077
failed=0
fail() { # CODE WORDS
    echo "wqmaster worker: $2 (on $(uname -n))" >&2
    [ "$failed" != 0 ] || failed=$1
}

own='' disk=0 stamp=0
while getopts od:t:p:r: option; do
    case $option in
        o) own=1 ;;
        d) disk=$OPTARG ;;
        t) stamp=$OPTARG ;;
        p | r) ;;
        *) exit 80 ;;
    esac
done

limited() { # COMMAND...: 30 seconds at most, where that can be had
    if command -v timeout > /dev/null 2>&1; then
        # Some do not listen to SIGTERM.
        timeout -s KILL 30 "$@" < /dev/null 2>&1
    else
        "$@" < /dev/null 2>&1
    fi
}

try() { # COMMAND...: its exit code in $code, the end of what it prints in $said
    # The code comes last: the end of a pipe tells only its own.
    said=$({
        limited "$@"
        printf '\n%s' "$?"
    } | tail -c 4000)
    code=${said##*[!0-9]}
    said=${said%"$code"}
}

last() { # TEXT: its last line that says something
    printf '%s\n' "$1" | sed '/[^ ]/!d' | tail -n 1 | cut -c 1-300
}

try_program() { # p|r NAME
    case $2 in
        */*) [ -f "$2" ] && [ -x "$2" ] ;;
        *) command -v "$2" > /dev/null 2>&1 ;;
    esac || {
        fail 82 "the program '$2' is not here"
        return
    }
    [ "$1" = r ] || return
    try "$2" --version
    [ "$code" = 0 ] || fail 82 "the program '$2' does not run: exit code $code: $(last "$said")"
}

work_in_own_folder() { # WORKER
    folder=worker.${SLURM_JOB_ID:-$$}
    rm -rf "$folder"
    mkdir "$folder" && cd "$folder" || exit 80
    exec > out 2> err
    echo "$$ $(date +%s) $(uname -n)" > about
    ln -s "../${1##*/}" .
    [ ! -e ../pwfile ] || ln -s ../pwfile .
}

check_programs() { # OPTION...
    OPTIND=1
    while getopts od:t:p:r: option; do
        case $option in
            p | r) try_program "$option" "$OPTARG" ;;
            *) ;;
        esac
    done
}

if [ "$OPTIND" -gt $# ]; then
    fail 80 "no worker is named"
    exit 80
fi
eval "worker=\${$OPTIND}"
count=$((OPTIND - 1))
# shellcheck disable=SC2154  # eval has set it
[ -z "$own" ] || work_in_own_folder "$worker"
check_programs "$@"
shift "$count"

# --- scratch space ---------------------------------------------------------------------------

free() { # FOLDER: MB that are free in it; nothing where that cannot be known
    # The word before the one with the percent sign: names of file systems may have blanks.
    before=
    for word in $(df -Pk "$1" 2> /dev/null | sed 1d); do
        case $word in
            [0-9]*%)
                echo $((before / 1024))
                return
                ;;
        esac
        before=$word
    done
}

why_not() { # FOLDER: why it is no scratch space; nothing if it is
    probe=$1/wqmaster-$(uname -n)-$$
    # Some hosts mount /tmp so that no program runs from it.
    if ! { printf '#!/bin/sh\nexit 0\n' > "$probe"; } 2> /dev/null; then
        echo "cannot be written"
    elif ! chmod 700 "$probe" || ! "$probe" 2> /dev/null; then
        echo "runs no programs"
    else
        found=$(free "$1")
        if [ -n "$found" ] && [ "$found" -lt "$disk" ]; then
            echo "$found MB free, $disk needed"
        fi
    fi
    rm -f "$probe"
}

scratch='' reasons=''
for folder in "${_CONDOR_SCRATCH_DIR:-}" "${OSG_WN_TMP:-}" "${SLURM_TMPDIR:-}" "${TMPDIR:-}" /tmp; do
    case $folder in /*) ;; *) continue ;; esac
    reason=$(why_not "$folder")
    if [ -z "$reason" ]; then
        scratch=$folder
        break
    fi
    reasons="$reasons; $folder: $reason"
done
[ -n "$scratch" ] || fail 81 "no scratch space: ${reasons#; }"
# Where the worker makes its workspace, and programs their temporary files.
CCTOOLS_TEMP=$scratch TMPDIR=$scratch
export CCTOOLS_TEMP TMPDIR

# --- clock -----------------------------------------------------------------------------------

now=$(date +%s)
if [ "$stamp" != 0 ]; then
    if [ "$now" -lt $((stamp - 600)) ]; then
        fail 83 "the clock is wrong: it says $(date), $((stamp - now)) s before the factory began"
    elif [ "$now" -gt $((stamp + 31536000)) ]; then
        fail 83 "the clock is wrong: it says $(date), more than a year after the factory began"
    fi
fi
# HTCondor notes in the job when it was started, by the clock of the machine that sent it.
if [ -r "${_CONDOR_JOB_AD:-}" ]; then
    begun=$(sed -n 's/^JobCurrentStartDate *= *\([0-9][0-9]*\)$/\1/p' "$_CONDOR_JOB_AD")
    if [ -n "$begun" ]; then
        apart=$((now - begun))
        if [ "${apart#-}" -gt 3600 ]; then
            fail 83 "the clock is wrong: it says $(date), $apart s from when the job was started"
        fi
    fi
fi

# --- the worker ------------------------------------------------------------------------------

program=$1
shift
# Some versions of vine_factory leave out the folder.
case $program in */*) ;; *) [ ! -f "./$program" ] || program=./$program ;; esac
[ ! -f "$program" ] || [ -x "$program" ] || chmod u+x "$program"
try "$program" --version
if [ "$code" != 0 ]; then
    fail 84 "the worker program does not start here: exit code $code: $(last "$said")"
fi

# Workers of TaskVine that start together on a machine look for a free port from the same number
# up: two find the same one, and one of them dies of it. Each looks from a number of its own.
if [ -z "${TCP_LOW_PORT:-}" ] && random=$(od -An -N2 -tu2 /dev/urandom 2> /dev/null); then
    export TCP_LOW_PORT=$((10000 + random % 20000))
fi

if [ "$failed" != 0 ]; then
    [ -z "$own" ] || echo "$failed" > code
    exit "$failed"
fi
exec "$program" "$@"
