#!/bin/sh
# Gets the XGBoost C library that `pumphouse train` and `predict` load at run time.
#
# It comes out of PyPI's CPU wheel, which needs no compiler and no CUDA. The
# wheel's own folders are kept side by side, because libxgboost.so finds its
# libgomp by a relative path. Prints the path of the library.
set -eu

version=3.4.1
tools=${PUMPHOUSE_TOOLS:-$HOME/.cache/pumphouse/tools}
target=$tools/xgboost
library=$target/xgboost/lib/libxgboost.so

say() { printf '%s\n' "xgboost.sh: $*" >&2; }

installed_version() {
    cat "$target/xgboost/VERSION" 2>/dev/null || true
}

if [ -f "$library" ] && [ "$(installed_version)" = "$version" ]; then
    printf '%s\n' "$library"
    exit 0
fi

have_pip() { python3 -m pip --version >/dev/null 2>&1; }

install_pip() {
    if ! command -v apt-get >/dev/null 2>&1; then
        say "python3 with pip is needed: install it, then run this again"
        exit 1
    fi
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            say "python3 with pip is needed: run 'apt-get install python3-pip' as root, then run this again"
            exit 1
        fi
        as_root=sudo
    fi
    say "installing python3-pip"
    $as_root apt-get update -qq >&2
    $as_root apt-get install -y -qq --no-install-recommends python3-pip >&2
}

have_pip || install_pip

mkdir -p "$tools"
work=$(mktemp -d "$tools/xgboost.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

# The library itself runs no Python, so the wheel is taken for the Python it asks
# for, whichever one runs pip here.
say "fetching xgboost-cpu $version"
python3 -m pip download --quiet --disable-pip-version-check \
    --python-version 3.12 --no-deps --only-binary=:all: --dest "$work" "xgboost-cpu==$version" >&2
python3 -m zipfile -e "$work"/xgboost_cpu-"$version"-*.whl "$work/unpacked"

found=$(cat "$work/unpacked/xgboost/VERSION" 2>/dev/null || echo none)
if [ "$found" != "$version" ] || [ ! -f "$work/unpacked/xgboost/lib/libxgboost.so" ]; then
    say "the wheel holds version '$found', expected $version with xgboost/lib/libxgboost.so"
    exit 1
fi

# Only the library, what it links to, and its licence are kept; the folder is
# put in place by a rename, so that an interrupted run leaves nothing half done.
mkdir -p "$work/keep/xgboost"
mv "$work/unpacked/xgboost/lib" "$work/unpacked/xgboost/VERSION" "$work/keep/xgboost/"
for extra in "$work"/unpacked/xgboost_cpu.libs "$work"/unpacked/xgboost_cpu-*.dist-info; do
    if [ -e "$extra" ]; then mv "$extra" "$work/keep/"; fi
done
rm -rf "$target"
mv "$work/keep" "$target"
printf '%s\n' "$library"
