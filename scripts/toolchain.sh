#!/usr/bin/env bash
# Checks that Rust and a C compiler are there (zstd and ring compile C). The
# compiler is installed where apt can do it; Rust is left to its own installer.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh

if ! command -v cargo >/dev/null; then
    cat >&2 <<'TEXT'
Rust is missing. Install it with rustup, then run this again:

    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh
TEXT
    exit 1
fi

needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
found=$(rustc --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]; then
    echo "Rust $needed or newer is needed, this is $found: run 'rustup update stable'" >&2
    exit 1
fi

if ! command -v cc >/dev/null; then
    apt_install "a C compiler" build-essential
fi
