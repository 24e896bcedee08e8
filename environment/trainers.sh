#!/usr/bin/env bash
# trainers.sh FOLDER: makes virtual environments with the trainers whose readers `make test-trainers`
# calls: FOLDER/mace, and FOLDER/shared with aimnet, torchani, fairchem-core and nequip.
#
# mace-torch needs its own, since it pins e3nn 0.4.4. PyTorch is the build for CPU if pip finds one
# (a wheel in the folder that PIP_FIND_LINKS names, or an index that PIP_EXTRA_INDEX_URL names).
# WQMASTER_TRAINERS_PYTHON selects the Python; by default it is the oldest that the trainers support,
# since wheels for the newest Python come late. An environment that is complete is left as it is.
set -euo pipefail
goal=$1
constraints=("torch==2.13.0")
mace=("mace-torch==0.3.16")
shared=("aimnet[train]==0.2.5" "torchani==2.9.0" "fairchem-core==2.24.0" "nequip==0.19.1" "h5py>=3.9")

find_python() {
    local python
    for python in ${WQMASTER_TRAINERS_PYTHON:+"$WQMASTER_TRAINERS_PYTHON"} python3.11 python3.12 python3.13 python3; do
        if "$python" -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 11)' > /dev/null 2>&1; then
            command -v "$python"
            return
        fi
    done
    echo "trainers.sh: no Python 3.11 or newer with venv; set WQMASTER_TRAINERS_PYTHON" >&2
    return 1
}

make_environment() { # make_environment NAME PACKAGE...
    local name=$1 wanted started
    shift
    wanted="$python ${constraints[*]} $*"
    if [ "$(cat "$goal/$name/.made" 2> /dev/null)" = "$wanted" ]; then return; fi
    echo "wqmaster: installing $* in $goal/$name (a few minutes, up to 3 GB)" >&2
    started=$SECONDS
    rm -rf "${goal:?}/$name"
    "$python" -m venv "$goal/$name"
    printf '%s\n' "${constraints[@]}" > "$goal/$name/constraints.txt"
    "$goal/$name/bin/python" -m pip install --quiet --disable-pip-version-check \
        -c "$goal/$name/constraints.txt" "$@" 2> "$goal/$name/pip.log" || {
        tail -n 15 "$goal/$name/pip.log" >&2
        return 1
    }
    echo "$wanted" > "$goal/$name/.made"
    echo "wqmaster: $goal/$name ready after $((SECONDS - started)) s" >&2
}

python=$(find_python)
mkdir -p "$goal"
make_environment mace "${mace[@]}"
make_environment shared "${shared[@]}"
