#!/usr/bin/env bash
# Builds one preset. `build.sh` makes build/bin/moemill, and the tests if doctest is installed; `build.sh release moemill`
# makes only the program. `build.sh sanitize` makes the unit tests and fuzz targets with sanitizers under build/sanitize;
# `build.sh fuzz` makes only the fuzz targets. Missing packages are installed first.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
case "$preset" in release) scripts/setup.sh ;; *) scripts/setup.sh test ;; esac
case "$preset" in fuzz) tree=sanitize ;; *) tree=$preset ;; esac
# The tests as well where doctest is found. Several files are compiled as one, which takes two fifths less time; whoever changes
# files and builds again configures without it: cmake --preset release -DCMAKE_UNITY_BUILD=OFF.
cmake --preset "$tree" -UMOEMILL_TESTS -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=6 >/dev/null
if [ -t 1 ]; then quiet=(); else quiet=(--quiet); fi  # a terminal sees how far it is
cmake --build --preset "$preset" ${2:+--target "$2"} -- ${quiet[@]+"${quiet[@]}"}
