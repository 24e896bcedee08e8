#!/bin/sh
# worker.sh: checks that a worker can work on this host, and then becomes the worker.
#
#   sh worker.sh [-o] [-d MB] [-t SECONDS] [-p PROGRAM]... [-r PROGRAM]... -- WORKER ARGUMENT...
#
#   -o           several workers share this folder: work in the subfolder worker.ID/
#   -d MB        the free disk space that is required
#   -t SECONDS   the start of the factory, in seconds since 1970, with which the clock must agree
#   -p PROGRAM   a program that must exist
#   -r PROGRAM   a program that must exist and run; it is called with --version
#
# Needs a POSIX shell. Prints a line "wqmaster worker: ..." to standard error for each problem, and
# exits with the code of the first problem:
#
#   80  wrong arguments
#   81  no scratch space that is writable, can run programs, and has enough free disk
#   82  a program is missing or does not run
#   83  the clock is wrong
#   84  the worker program does not start (C library too old, another processor)
set -u
umask 077
failed=0
fail() { # CODE MESSAGE
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

limited() { # COMMAND...: runs it, for at most 30 seconds if `timeout` is installed
    if command -v timeout > /dev/null 2>&1; then
        # Some programs ignore SIGTERM.
        timeout -s KILL 30 "$@" < /dev/null 2>&1
    else
        "$@" < /dev/null 2>&1
    fi
}

try() { # COMMAND...: runs it; sets $code to its exit code, and $said to the end of its output
    # The code is printed last, because a pipe returns only the code of its last command.
    said=$({
        limited "$@"
        printf '\n%s' "$?"
    } | tail -c 4000)
    code=${said##*[!0-9]}
    said=${said%"$code"}
}

last() { # TEXT: prints its last line that is not blank
    printf '%s\n' "$1" | sed '/[^ ]/!d' | tail -n 1 | cut -c 1-300
}

try_program() { # p|r NAME
    case $2 in
        */*) [ -f "$2" ] && [ -x "$2" ] ;;
        *) command -v "$2" > /dev/null 2>&1 ;;
    esac || {
        fail 82 "the program '$2' is missing"
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
    fail 80 "no worker program given"
    exit 80
fi
eval "worker=\${$OPTIND}"
count=$((OPTIND - 1))
# shellcheck disable=SC2154  # set by eval
[ -z "$own" ] || work_in_own_folder "$worker"
check_programs "$@"
shift "$count"

# --- scratch space ---------------------------------------------------------------------------

free() { # FOLDER: prints its free MB, or nothing if that is unknown
    # df prints it just before the percentage; names of file systems can contain blanks.
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

why_not() { # FOLDER: prints why it cannot be scratch space, or nothing if it can
    probe=$1/wqmaster-$(uname -n)-$$
    # Some hosts mount /tmp with noexec.
    if ! { printf '#!/bin/sh\nexit 0\n' > "$probe"; } 2> /dev/null; then
        echo "not writable"
    elif ! chmod 700 "$probe" || ! "$probe" 2> /dev/null; then
        echo "cannot run programs"
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
# For the worker's workspace and the programs' temporary files.
CCTOOLS_TEMP=$scratch TMPDIR=$scratch
export CCTOOLS_TEMP TMPDIR
# The worker's own folder there, which a killed worker leaves behind (wqmaster/factory/folders.py).
[ -z "$own" ] || ln -sf "$scratch/worker-$(id -u)-$$" workspace

# --- clock -----------------------------------------------------------------------------------

now=$(date +%s)
if [ "$stamp" != 0 ]; then
    if [ "$now" -lt $((stamp - 600)) ]; then
        fail 83 "the clock is wrong: $(date), $((stamp - now)) s before the factory started"
    elif [ "$now" -gt $((stamp + 31536000)) ]; then
        fail 83 "the clock is wrong: $(date), more than a year after the factory started"
    fi
fi
# HTCondor records when the job started by the clock of the machine that submitted it.
if [ -r "${_CONDOR_JOB_AD:-}" ]; then
    begun=$(sed -n 's/^JobCurrentStartDate *= *\([0-9][0-9]*\)$/\1/p' "$_CONDOR_JOB_AD")
    if [ -n "$begun" ]; then
        apart=$((now - begun))
        if [ "${apart#-}" -gt 3600 ]; then
            fail 83 "the clock is wrong: $(date), $apart s from the start of the job"
        fi
    fi
fi

# --- the worker ------------------------------------------------------------------------------

program=$1
shift
# Some versions of vine_factory omit the folder.
case $program in */*) ;; *) [ ! -f "./$program" ] || program=./$program ;; esac
[ ! -f "$program" ] || [ -x "$program" ] || chmod u+x "$program"
try "$program" --version
if [ "$code" != 0 ]; then
    fail 84 "the worker program does not start here: exit code $code: $(last "$said")"
fi

# TaskVine workers that start together on one machine look for a free port from the same number
# upward. Two can find the same port, and one of them dies (F10), so each begins at a random one.
if [ -z "${TCP_LOW_PORT:-}" ] && random=$(od -An -N2 -tu2 /dev/urandom 2> /dev/null); then
    export TCP_LOW_PORT=$((10000 + random % 20000))
fi

if [ "$failed" != 0 ]; then
    [ -z "$own" ] || echo "$failed" > code
    exit "$failed"
fi
exec "$program" "$@"
