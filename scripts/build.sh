#!/usr/bin/env bash
# Builds one preset. `build.sh` makes build/bin/moemill, and the tests if doctest is installed; `build.sh release moemill`
# makes only the program. `build.sh sanitize` makes the unit tests and fuzz targets with sanitizers under build/sanitize;
# `build.sh fuzz` makes only the fuzz targets. Missing packages are installed first.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
case "$preset" in release) scripts/setup.sh ;; *) scripts/setup.sh test ;; esac
case "$preset" in fuzz) tree=sanitize ;; *) tree=$preset ;; esac
cmake --preset "$tree" -UMOEMILL_TESTS >/dev/null  # the tests as well where doctest is found
if [ -t 1 ]; then quiet=(); else quiet=(--quiet); fi  # a terminal sees how far it is
cmake --build --preset "$preset" ${2:+--target "$2"} -- ${quiet[@]+"${quiet[@]}"}
