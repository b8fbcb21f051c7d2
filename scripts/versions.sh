#!/usr/bin/env bash
# Fails when the build holds a second version of a library whose types cross crates.
set -euo pipefail
cd "$(dirname "$0")/.."

# Normal, build and development dependencies, of all crates and features.
tree=$(cargo tree --locked --workspace --all-features --target all -e normal,build,dev --prefix none --format '{p}')
twice=$(printf '%s\n' "$tree" | cut -d ' ' -f 1,2 | sort -u |
    grep -E '^(arrow|arrow-[a-z]+|parquet|datafusion|datafusion-[a-z-]+|object_store|iceberg) ' |
    awk '{ seen[$1]++; all[$1] = all[$1] " " $2 } END { for (n in seen) if (seen[n] > 1) print n ":" all[n] }')
if [ -n "$twice" ]; then
    printf 'more than one version of:\n%s\nfind who asks for it with `cargo tree -i NAME@VERSION`\n' "$twice" >&2
    exit 1
fi
echo "one version each of Arrow, Parquet, DataFusion, object_store and Iceberg"
