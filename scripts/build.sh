#!/usr/bin/env bash
# Builds one preset: `build.sh` makes build/bin/moemill (and the tests where doctest is installed; `build.sh release
# moemill` only the program); `build.sh sanitize` and `build.sh fuzz` make theirs under build/. Installs what is missing
# first.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
case "$preset" in release) scripts/setup.sh ;; *) scripts/setup.sh test ;; esac
options=()
if [ "$preset" != fuzz ]; then  # a plain build without doctest makes the program only
  if dpkg-query -W doctest-dev >/dev/null 2>&1; then options=(-DMOEMILL_TESTS=ON); else options=(-DMOEMILL_TESTS=OFF); fi
fi
cmake --preset "$preset" ${options[@]+"${options[@]}"} >/dev/null
if [ -t 1 ]; then quiet=(); else quiet=(--quiet); fi  # a terminal sees how far it is
cmake --build --preset "$preset" ${2:+--target "$2"} -- ${quiet[@]+"${quiet[@]}"}
