#!/usr/bin/env bash
# setup.sh FINGERPRINT: builds the environment that ./shell enters. It chooses the first of these
# kinds that is available:
#
#   system  if a Python on this machine has ndcctools: a venv that can import ndcctools
#   conda   if there is conda, mamba or micromamba: the environment that environment.yml describes
#   debian  for root on Debian or Ubuntu: a private Debian 13 root, built with debootstrap
#   plain   otherwise: a venv without Work Queue, in which only the `local` engine works
#
# Everything is in the checkout's .environment/. The file `ready` there contains the kind and the
# fingerprint. It is written last, so that an interrupted setup is repeated.
set -euo pipefail
fingerprint=$1
top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
state=$top/.environment
log=$state/setup.log
mkdir -p "$state"

say() { printf 'wqmaster: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 3
}
logged() { # run a command with its output in the log; show the log's last lines if it fails
    if ! "$@" >> "$log" 2>&1; then
        tail -n 15 "$log" >&2
        fail "setup failed at: $* (full log: $log)"
    fi
}

# Only one setup runs at a time. A second one waits, and then finds everything done.
exec 9> "$state/lock"
flock 9
if read -r _ ready 2>/dev/null < "$state/ready" && [ "$ready" = "$fingerprint" ]; then exit 0; fi
rm -f "$state/ready"
: > "$log"

has_ndcctools() {
    "$1" -c 'import sys; assert sys.version_info >= (3, 11)
import venv, ensurepip, cloudpickle, ndcctools.work_queue' > /dev/null 2>&1
}
python_with_ndcctools() {
    local python
    for python in "${CONDA_PREFIX:-/nowhere}/bin/python" python3 /usr/bin/python3; do
        if python=$(command -v "$python") && has_ndcctools "$python"; then
            echo "$python"
            return
        fi
    done
    return 1
}
find_conda() {
    local name
    for name in micromamba mamba conda; do
        if command -v "$name"; then return; fi
    done
    for name in "${MAMBA_EXE:-}" "${CONDA_EXE:-}"; do
        if [ -x "$name" ]; then
            echo "$name"
            return
        fi
    done
    return 1
}
find_python() {
    local python
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 11)' > /dev/null 2>&1; then
            command -v "$python"
            return
        fi
    done
    return 1
}
is_debian() { [ -r /etc/os-release ] && grep -qE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release; }
get_debootstrap() {
    [ "$(id -u)" = 0 ] && is_debian || return 1
    unshare --mount true 2>> "$log" || return 1
    command -v debootstrap > /dev/null && return
    say "installing the package debootstrap"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap debian-archive-keyring; } >> "$log" 2>&1
}

choose() {
    if python_with_ndcctools > /dev/null; then echo system
    elif find_conda > /dev/null; then echo conda
    elif get_debootstrap; then echo debian
    else echo plain; fi
}

host_mirror() { # print the Debian mirror that the host's apt uses, or nothing for debootstrap's default
    local found
    found=$( { sed -n 's/^URIs:[[:space:]]*//p' /etc/apt/sources.list.d/*.sources
               sed -nE 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list
             } 2>/dev/null | tr ' ' '\n' | grep -E '^https?://.*/debian/?$' | head -n 1 || true)
    echo "${DEBIAN_MIRROR:-$found}"
}

make_root() {
    local packages batch wanted new proxy mirror
    packages=$(grep -v '^#' "$top/environment/debian-packages.txt" | paste -sd,)
    batch=$(grep -v '^#' "$top/environment/debian-batch-packages.txt" | paste -sd' ')
    wanted="trixie $packages $batch"
    if [ "$(cat "$state/root/.wqmaster" 2>/dev/null)" = "$wanted" ]; then return; fi
    say "building a private Debian 13 root in .environment/root (once, about a minute; log: $log)"
    new=$state/root.new
    mirror=$(host_mirror)
    rm -rf --one-file-system "$new"
    # shellcheck disable=SC2046  # a single word
    proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy 2>/dev/null || true)
    if [ -n "$proxy" ] && [ "$proxy" != DIRECT ]; then export http_proxy=${http_proxy:-$proxy}; fi
    # It runs in a separate mount namespace, so that its mounts cannot outlive it.
    logged unshare --mount --propagation private -- \
        debootstrap --variant=minbase --include="$packages" trixie "$new" ${mirror:+"$mirror"}
    # apt installs the batch systems, since debootstrap cannot resolve their virtual packages. The
    # policy keeps apt from starting services.
    printf '#!/bin/sh\nexit 101\n' > "$new/usr/sbin/policy-rc.d"
    chmod 755 "$new/usr/sbin/policy-rc.d"
    cp -L /etc/resolv.conf "$new/etc/resolv.conf"
    pass_in "$new"
    logged unshare --mount --propagation private -- chroot "$new" apt-get update
    # shellcheck disable=SC2086  # a list of words
    logged unshare --mount --propagation private -- \
        env DEBIAN_FRONTEND=noninteractive chroot "$new" apt-get install -y --no-install-recommends $batch
    rm -rf "$new"/var/cache/apt/archives/*.deb "$new"/var/lib/apt/lists/*
    echo "$wanted" > "$new/.wqmaster"
    rm -rf --one-file-system "$state/root" "$state/venv"
    mv "$new" "$state/root"
}
pass_in() { # pass_in ROOT: copy the host's certificates and pip configuration to the same paths in ROOT
    local file
    for file in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf "${SSL_CERT_FILE:-}" "${PIP_CERT:-}" "${REQUESTS_CA_BUNDLE:-}"; do
        if [ -n "$file" ] && [ -f "$file" ]; then
            mkdir -p "$1$(dirname "$file")"
            cp -L "$file" "$1$file"
        fi
    done
}

inside() { # run a command, in the private root if there is one
    if [ "$kind" = debian ]; then
        unshare --mount --propagation private -- bash "$top/environment/enter.sh" "$state/root" "$top" "$top" "$@"
    else
        "$@"
    fi
}
make_venv() { # make_venv PYTHON [OPTION...]: install the package, editable, with all its extras
    if ! inside "$state/venv/bin/python" -c 'import pip' > /dev/null 2>&1; then
        rm -rf --one-file-system "$state/venv"
        logged inside "$@" "$state/venv"
    fi
    say "installing the Python packages (log: $log)"
    logged inside "$state/venv/bin/python" -m pip install --quiet --editable "${top}[structures,mongod,docking,datasets,metrics,test]"
}

kind=${WQMASTER_ENVIRONMENT:-$(choose)}
if [ "$(cat "$state/kind" 2>/dev/null)" != "$kind" ]; then rm -rf --one-file-system "$state/venv"; fi
echo "$kind" > "$state/kind"
case $kind in
    system)
        python=$(python_with_ndcctools) || fail "no Python >= 3.11 has ndcctools.work_queue, cloudpickle and venv"
        say "environment: a venv based on $python, which has ndcctools"
        make_venv "$python" -m venv --system-site-packages ;;
    conda)
        conda=$(find_conda) || fail "none of conda, mamba and micromamba is in the PATH"
        say "environment: environment.yml, installed with $conda (log: $log)"
        rm -rf --one-file-system "$state/conda"
        case $(basename "$conda") in
            micromamba) logged "$conda" create -y -p "$state/conda" -f "$top/environment.yml" ;;
            *) logged "$conda" env create -y -p "$state/conda" -f "$top/environment.yml" ;;
        esac
        logged "$state/conda/bin/python" -m pip install --quiet --editable "${top}[structures,docking,datasets,metrics,test]" ;;
    debian)
        get_debootstrap || fail "a private Debian root needs the superuser on Debian or Ubuntu, mount namespaces and debootstrap (log: $log)"
        make_root
        pass_in "$state/root"
        make_venv /usr/bin/python3 -m venv --system-site-packages ;;
    plain)
        python=$(find_python) || fail "there is no Python >= 3.11 with venv; install python3.11-venv or newer, or conda"
        say "Work Queue (ndcctools) is missing, so only 'engine: local' works; to get it: conda install -c conda-forge ndcctools, or apt install python3-workqueue coop-computing-tools python3-cloudpickle (Debian 13)"
        make_venv "$python" -m venv ;;
    *) fail "WQMASTER_ENVIRONMENT=$kind: must be system, conda, debian or plain" ;;
esac
printf '%s %s\n' "$kind" "$fingerprint" > "$state/ready.new"
mv "$state/ready.new" "$state/ready"
say "environment ready: $kind"
