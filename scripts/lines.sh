#!/usr/bin/env bash
# Fails when a Rust file has more than 500 lines: look for the second idea in it.
set -euo pipefail
cd "$(dirname "$0")/.."
limit=500

too_long=$(git ls-files -z '*.rs' | xargs -0 -r wc -l | awk -v limit=$limit '$2 != "total" && $1 > limit')
if [ -n "$too_long" ]; then
    printf 'longer than %s lines, each holds a second idea:\n%s\n' "$limit" "$too_long" >&2
    exit 1
fi
echo "no Rust file has more than $limit lines"
