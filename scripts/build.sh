#!/usr/bin/env bash
# Builds one preset: `build.sh` makes build/bin/moemill; `build.sh sanitize` and `build.sh fuzz` make theirs under
# build/. Installs what is missing first.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
case "$preset" in release) scripts/setup.sh ;; *) scripts/setup.sh test ;; esac
quiet=(); [ -n "${CI:-}" ] && quiet=(--log-level=WARNING)
if ! dpkg-query -W doctest-dev >/dev/null 2>&1; then quiet+=(-DMOEMILL_TESTS=OFF); else quiet+=(-DMOEMILL_TESTS=ON); fi
cmake --preset "$preset" "${quiet[@]}" >/dev/null
cmake --build --preset "$preset" -- --quiet
