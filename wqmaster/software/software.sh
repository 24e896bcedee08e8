#!/bin/sh
# software.sh: prepares software that a worker lacks, which is an archive (sent, or at a URL) or an
# environment module. jobs.sh sources this file if a step's program belongs to such software. As a
# script, this file runs one of the software's programs:
#
#   sh software.sh FOLDER KEY KIND SOURCE SHA256 COMMAND [ARGUMENT...]
#
# KIND is archive (SOURCE is then a name in shared/, or a path), url or module. A worker's tasks
# share the unpacked archive in FOLDER/KEY, where one rename puts it complete. A program gets its
# folder and bin/ in PATH, and lib/ and lib64/ in LD_LIBRARY_PATH. These are the folders next to the
# program (one level up if it is in bin/) and the folders at the top of the archive.

# shellcheck disable=SC2034,SC2154  # runner.sh sets or reads these variables
# How many seconds fetching can take, or waiting until another task has unpacked the archive.
patience=900
newline='
'
unready=
reasons=

# WQMASTER_SOFTWARE names the folder. By default it is next to the tasks (t.NUMBER in Work Queue,
# task.NUMBER in TaskVine) in the worker's folder, which is removed when the worker ends.
place_of() {
    case ${WQMASTER_SOFTWARE:+named}:${top##*/} in
        named:*) software=$WQMASTER_SOFTWARE ;;
        :t.[0-9]* | :task.[0-9]*) software=${top%/*}/software ;;
        *) software=$top/software ;;
    esac
}

make_place() {
    if [ -n "${WQMASTER_SOFTWARE:+named}" ]; then
        mkdir -p "$software"
    elif [ ! -d "$software" ]; then
        mkdir "$software" # only the last part: the worker's folder may have been moved
    fi
}

# All processes of a job stay in one process group, so that ending the task ends them all (F21).
limited() { # COMMAND...
    if timeout --foreground 5 true 2> /dev/null; then
        timeout --foreground -k 5 "$patience" "$@"
    else
        timeout -k 5 "$patience" "$@" # of busybox
    fi
}

fetch() { # URL FILE
    case $1 in
        file://*)
            path=${1#file://}
            cp "${path#localhost}" "$2"
            ;;
        osdf://* | stash://* | pelican://*)
            if command -v pelican > /dev/null; then
                limited pelican object get "$1" "$2"
            elif command -v osdf > /dev/null; then
                limited osdf object get "$1" "$2"
            elif command -v stashcp > /dev/null; then
                limited stashcp "$1" "$2"
            else
                echo "there is no pelican, osdf or stashcp to fetch it with" >&2
                return 1
            fi
            ;;
        *)
            if command -v curl > /dev/null; then
                limited curl -fsSL --retry 3 --connect-timeout 30 -o "$2" "$1"
            elif command -v wget > /dev/null; then
                limited wget -q -t 3 -T 60 -O "$2" "$1"
            elif command -v python3 > /dev/null; then
                limited python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as page, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(page, file)
    size = page.headers.get("Content-Length")
    sys.exit(size is not None and int(size) != file.tell())' "$1" "$2"
            else
                echo "there is no curl, wget or python3 to fetch it with" >&2
                return 1
            fi
            ;;
    esac
}

refused() { # REASON MESSAGE; returns 28 if the disk is full, since the message is then lost
    printf '%s\n' "$2" >&2
    case $1 in *"No space left on device"*) return 28 ;; esac
    return 1
}

# unpack KEY KIND SOURCE SHA256: runs in a separate process; descriptor 9 is the open lock file.
unpack() {
    goal=$software/$1
    part=$software/.alone.$1.$$
    # The kernel releases the lock of a dead process. Without a lock, each task unpacks separately.
    if flock -w "$patience" 9; then
        [ ! -d "$goal" ] || return 0
        # Remove what tasks left that were killed while they unpacked.
        rm -rf "$software/.part.$1".*
        part=$software/.part.$1.$$
    fi 2> /dev/null
    rm -rf "$part"
    mkdir -p "$part/unpacked" || return 1
    if [ "$2" = url ]; then
        archive=$part/archive
        if ! reason=$(fetch "$3" "$archive" 2>&1); then
            rm -rf "$part"
            refused "$reason" "cannot fetch $3: ${reason##*"$newline"}"
            return
        fi
    else
        case $3 in
            /*) archive=$3 ;;
            *) archive=$top/shared/$3 ;;
        esac
    fi
    if [ -n "$4" ]; then
        found=$(sha256sum < "$archive") || return 1
        if [ "${found%% *}" != "$4" ]; then
            rm -rf "$part"
            refused "" "the checksum of $3 (${found%% *}) differs from the campaign's"
            return
        fi
    fi
    if ! reason=$(tar -xo -f "$archive" -C "$part/unpacked" 2>&1); then
        rm -rf "$part"
        refused "$reason" "cannot unpack $3: ${reason%%"$newline"*}"
        return
    fi
    mv -T "$part/unpacked" "$goal" 2> /dev/null || [ -d "$goal" ] || mv "$part/unpacked" "$goal" ||
        return 1
    rm -rf "$part"
}

# load MODULE COMMAND: loads the module in this shell, and sets `program` to the command's path.
load() {
    set +u # the init files of environment modules use unset variables
    if ! command -v module > /dev/null; then
        for file in \
            "${LMOD_PKG:-/nonexistent}/init/sh" "${MODULESHOME:-/nonexistent}/init/sh" \
            /etc/profile.d/lmod.sh /etc/profile.d/z00_lmod.sh /etc/profile.d/modules.sh \
            /usr/share/lmod/lmod/init/sh /usr/share/Modules/init/sh /usr/share/modules/init/sh \
            /cvmfs/oasis.opensciencegrid.org/osg/sw/module-init.sh; do
            if [ -r "$file" ]; then
                # shellcheck disable=SC1090  # the first that exists
                . "$file"
                ! command -v module > /dev/null || break
            fi
        done
    fi
    if ! command -v module > /dev/null; then
        echo "there is no 'module' command" >&2
        return 1
    fi
    earlier=${LOADEDMODULES:-}
    module load "$1" || return 1
    # In old versions of `module`, the exit code does not reveal a failure.
    case :$earlier: in
        *:"$1":* | *:"$1"/*) ;;
        *) [ "${LOADEDMODULES:-}" != "$earlier" ] || return 1 ;;
    esac
    program=$(command -v "$2") || program=
    case $program in
        /*) ;;
        *)
            echo "the module has no program '$2'" >&2
            return 1
            ;;
    esac
}

# surroundings PROGRAM ROOT: sets the variables by which a program finds the files next to it.
surroundings() {
    folder=${1%/*}
    prefix=$folder
    [ "${folder##*/}" != bin ] || prefix=${folder%/*}
    paths=$folder libraries=
    for file in "$folder"/*.so "$folder"/*.so.*; do
        if [ -e "$file" ]; then
            libraries=:$folder
            break
        fi
    done
    for place in "$prefix" "$2"; do
        [ "$place/bin" = "$folder" ] || [ ! -d "$place/bin" ] || paths=$paths:$place/bin
        [ ! -d "$place/lib" ] || libraries=$libraries:$place/lib
        [ ! -d "$place/lib64" ] || libraries=$libraries:$place/lib64
        [ "$place" != "$2" ] || break
    done
    libraries=${libraries#:}
    top_of_software=$2
}

enter_folder() {
    # Lines NAME=PATH set variables to paths in the archive, such as XTBPATH=share/xtb.
    if [ -f "$top_of_software/wqmaster.paths" ]; then
        while IFS='=' read -r name place; do
            case $name in
                '' | [0-9]* | *[!A-Za-z0-9_]*) ;;
                *) export "$name=$top_of_software/$place" ;;
            esac
        done < "$top_of_software/wqmaster.paths"
    fi
    PATH=$paths:$PATH
    LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+${libraries:+:}$LD_LIBRARY_PATH}
    export PATH LD_LIBRARY_PATH
}

enter_module() {
    here=$PWD
    # shellcheck disable=SC1090  # written by `use`
    . "$settings"
    cd "$here" || exit 127
}

# apart FUNCTION ARGUMENT...: calls the function in a process that ends with the task. The output of
# the function goes to a file.
apart() {
    "$@" > "$top/software.said" 2>&1 &
    wait $!
}

failed() { # EXIT CODE
    why=
    while read -r line; do
        [ -z "$line" ] || why=$line
    done < "$top/software.said"
    trouble="the software $source is not ready: ${why:-it failed without a message}"
    if [ "$1" = 28 ]; then
        trouble="the software $source is not ready: No space left on device" trouble_code=28
    fi
    unready="$unready $key "
    reasons="$reasons$key $trouble_code $trouble$newline"
}

# use KEY KIND SOURCE SHA256 COMMAND: prepares "$program" for the next step, or makes that step fail
# with a message. The time that this takes does not count toward the job's time limit.
use() {
    key=$1 kind=$2 source=$3 sum=$4 command=$5
    program=$command trouble='' trouble_code=127
    case $unready in *" $key "*)
        while read -r other code why; do
            [ "$other" != "$key" ] || trouble=$why trouble_code=$code
        done << END
$reasons
END
        return 0
        ;;
    esac
    clock
    begun=$now
    if [ "$kind" = module ]; then
        settings=$top/software.$key.env
        if [ ! -f "$settings" ]; then apart keep_settings "$source" "$command" || failed $?; fi
        [ -n "$trouble" ] || read -r program < "$settings.program"
        before=enter_module
    else
        root=$software/$key
        if [ ! -d "$root" ]; then
            make_place 2> "$top/software.said"
            apart unpack "$key" "$kind" "$source" "$sum" 9> "$software/.$key.lock" || failed $?
        fi
        program=$root/$command
        if [ -z "$trouble" ] && { [ ! -f "$program" ] || [ ! -x "$program" ]; }; then
            trouble="there is no program '$command' in $source"
        fi
        surroundings "$program" "$root"
        before=enter_folder
    fi
    clock
    deadline=$((deadline + now - begun))
}

keep_settings() {
    load "$1" "$2" || return 1
    echo "$program" > "$settings.program" && export -p > "$settings.part" &&
        mv "$settings.part" "$settings"
}

case ${0##*/} in
    software.sh)
        set -u
        software=$1 key=$2 kind=$3 source=$4 sum=$5 command=$6
        shift 6
        if [ "$kind" = module ]; then
            load "$source" "$command" || exit 127
            exec "$program" "$@"
        fi
        if [ ! -d "$software/$key" ]; then
            mkdir -p "$software" || exit 127
            (unpack "$key" "$kind" "$source" "$sum") 9> "$software/.$key.lock" || exit 127
        fi
        program=$software/$key/$command
        surroundings "$program" "$software/$key"
        enter_folder
        exec "$program" "$@"
        ;;
    *) place_of ;;
esac
