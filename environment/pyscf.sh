#!/usr/bin/env bash
# pyscf.sh FOLDER: makes a Python with PySCF in FOLDER, which works wherever it is unpacked.
#
# It has the interpreter and standard library of `python3`, the packages that pip installs, the
# libraries that these load, and glibc with its loader: FOLDER/bin/pyscf-python runs on any Linux of
# this architecture, whatever its glibc. `wqmaster software pack pyscf --from FOLDER` packs it.
# A folder that this script has made already is left as it is.
set -euo pipefail
goal=$1
new=$goal.new
packages=("pyscf>=2.8" "pyscf-dispersion>=1.3" "geometric>=1.0")

made=$(sha256sum < "$0")
if [ "$(cat "$goal/.made" 2> /dev/null)" = "$made" ]; then exit 0; fi
echo "wqmaster: making a Python with PySCF in $goal (once, about a minute)" >&2
rm -rf "$new"
mkdir -p "$new/bin" "$new/lib/glibc"
read -r interpreter name library < <(python3 -c '
import os, sys, sysconfig
print(os.path.realpath(sys.executable), "python%d.%d" % sys.version_info[:2], sysconfig.get_path("stdlib"))')
packed=$new/lib/$name
cp -L "$interpreter" "$new/bin/$name"
mkdir -p "$packed"
tar -C "$library" --exclude=__pycache__ --exclude=./test --exclude=./idlelib --exclude=./tkinter \
    --exclude='./config-*' --exclude=./site-packages --exclude=./dist-packages --exclude=./ensurepip \
    --exclude=./EXTERNALLY-MANAGED -chf - . | tar -C "$packed" -xf -
python3 -m pip install --quiet --disable-pip-version-check --no-compile --ignore-installed \
    --target "$packed/site-packages" "${packages[@]}"
rm -rf "$packed/site-packages/bin"
# Tests and data for crystals.
find "$packed/site-packages" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
# Debian's Python does not look there by itself, and no Python may look into the worker's folders.
cat > "$packed/sitecustomize.py" <<'END'
import os
import site
import sys

own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site-packages")
sys.path[:] = [path for path in sys.path if "dist-packages" not in path]
site.addsitedir(own)
END

is_glibc() {
    case $1 in
        ld-linux* | ld64* | libc.so.* | libm.so.* | libmvec.so.* | libpthread.so.* | libdl.so.* | librt.so.* | \
            libutil.so.* | libresolv.so.* | libnss_* | libanl.so.* | libnsl.so.*) return 0 ;;
    esac
    return 1
}
loader=
while read -r file; do
    base=$(basename "$file")
    case $base in ld-linux* | ld64*) loader=$base ;; esac
    if is_glibc "$base"; then target=$new/lib/glibc/$base; else target=$new/lib/$base; fi
    [ -e "$target" ] || cp -L "$file" "$target"
done < <(
    find "$new" -type f \( -name "$name" -o -name '*.so' -o -name '*.so.*' \) -exec ldd {} + 2> /dev/null |
        sed -nE 's/^[[:space:]]*(.* => )?(\/[^ ]+) \(0x.*/\2/p' | grep -v "^$(readlink -f "$new")/" | sort -u
)
[ -n "$loader" ] || {
    echo "pyscf.sh: the interpreter $interpreter has no loader" >&2
    exit 1
}
sed "s/@LOADER@/$loader/; s/@NAME@/$name/g" > "$new/bin/pyscf-python" <<'END'
#!/bin/sh
# Runs the Python of this folder with the glibc of this folder.
here=$(cd -P -- "${0%/*}/.." && pwd) || exit 127
unset PYTHONHOME PYTHONPATH LD_PRELOAD
export PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
exec "$here/lib/glibc/@LOADER@" --library-path "$here/lib/glibc:$here/lib" "$here/bin/@NAME@" "$@"
END
chmod 755 "$new/bin/pyscf-python"
"$new/bin/pyscf-python" -c 'import geometric, pyscf.dispersion.dftd3, pyscf.dft'
echo "$made" > "$new/.made"
rm -rf "$goal"
mv "$new" "$goal"
