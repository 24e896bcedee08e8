#!/usr/bin/env bash
# peers.sh FOLDER: installs the programs that benchmarks compare wqmaster with, in FOLDER.
#
# They are RQ with a Redis server, HyperQueue, Parsl and the parsers of other projects. Parsl uses the
# Work Queue of this environment. A folder that this script has made already is left as it is.
set -euo pipefail
goal=$1
new=$goal.new
packages=("rq>=2.6" "redis>=6" "hyperqueue>=0.22" "parsl>=2026.1" "cclib>=1.9rc1,<2" "qccodec>=0.21" "pymongo>=4.6")
servers=(redis-server redis-tools libatomic1 libjemalloc2 liblzf1 liblua5.1-0 lua-bitop lua-cjson)

made=$(sha256sum < "$0")
if [ "$(cat "$goal/.made" 2> /dev/null)" = "$made" ]; then exit 0; fi
echo "wqmaster: installing the programs to compare with in $goal (once, about two minutes)" >&2
rm -rf "$new" "$goal"
mkdir -p "$new/debian"
python3 -m venv --system-site-packages "$new"
"$new/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}"
if command -v redis-server > /dev/null; then
    ln -s "$(command -v redis-server)" "$new/bin/redis-server"
else
    apt-get -qq update
    (cd "$new/debian" && apt-get -qq download "${servers[@]}")
    for package in "$new"/debian/*.deb; do dpkg-deb -x "$package" "$new/debian"; done
    rm "$new"/debian/*.deb
    cat > "$new/bin/redis-server" << 'END'
#!/bin/sh
# Runs the server that was unpacked in this folder.
root=$(cd -P -- "${0%/*}/../debian" && pwd) || exit 127
for libraries in "$root"/usr/lib/*-linux-*; do LD_LIBRARY_PATH=$libraries; done
export LD_LIBRARY_PATH
exec "$root/usr/bin/redis-server" "$@"
END
    chmod 755 "$new/bin/redis-server"
fi
# A venv does not work elsewhere, but its scripts name its interpreter, and so do our calls.
find "$new/bin" -maxdepth 1 -type f -exec sed -i "1s|$new|$goal|" {} +
mv "$new" "$goal"
"$goal/bin/redis-server" --version > /dev/null
"$goal/bin/python" -c 'import hyperqueue, parsl, rq'
echo "$made" > "$goal/.made"
