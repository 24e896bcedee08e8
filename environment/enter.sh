#!/usr/bin/env bash
# enter.sh ROOT CHECKOUT FOLDER CMD...: runs CMD in the private Debian root, in FOLDER.
#
# Call it under `unshare --mount`, so that its mounts exist only in that mount namespace and disappear
# with the namespace's last process, even after kill -9.
set -euo pipefail
root=$1 top=$2 folder=$3
shift 3

bind() { # mount the host's folder $1 at the same path inside
    mkdir -p "$root$1"
    mount --rbind "$1" "$root$1"
}

for system in /proc /sys /dev; do bind "$system"; done
# Folders outside the operating system (homes, scratch, data) have the same paths inside.
for entry in /*; do
    case $entry in
        /bin | /sbin | /lib* | /usr | /etc | /var | /boot | /proc | /sys | /dev | /run | /lost+found) continue ;;
    esac
    if [ -d "$entry" ] && [ ! -L "$entry" ]; then bind "$entry"; fi
done
for entry in "$top" "$folder"; do
    # The host's system folder would hide the root's, with its programs.
    case $entry in
        / | /bin | /sbin | /lib* | /usr | /usr/bin | /usr/sbin | /usr/lib* | /usr/local | /usr/local/bin | \
            /usr/share | /etc | /var | /var/lib | /boot | /run | /lost+found) continue ;;
    esac
    [ "$(stat -c %d:%i "$entry")" = "$(stat -c %d:%i "$root$entry" 2>/dev/null)" ] || bind "$entry"
done
# systemd's socket for readiness and watchdog (sd_notify(3)), if it started this.
case ${NOTIFY_SOCKET-} in /run/*) bind "$(dirname -- "$NOTIFY_SOCKET")" ;; esac
cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true

export PATH=$top/.environment/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$top/.environment/pyscf/bin
export LC_ALL=C.UTF-8
unset LD_LIBRARY_PATH LD_PRELOAD CONDA_PREFIX
[ -z "${TMPDIR:-}" ] || [ -d "$root$TMPDIR" ] || unset TMPDIR
# shellcheck disable=SC2016  # the inner shell expands it
exec chroot "$root" /bin/sh -c '{ cd "$1" 2>/dev/null || cd /; } && shift && exec "$@"' sh "$folder" "$@"
