#!/usr/bin/env bash
# fuzz.sh [SECONDS] [SEED]: runs every fuzz target for a number of seconds (default 60), one per core at a time, starting
# from its small corpus in tests/fuzz/corpus/<name>. A finding ends the script with an error and leaves the input in
# build/fuzz/findings/. With a seed, as in the tests, two runs try mostly the same inputs; without one (0) every run tries
# different inputs.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60} seed=${2:-0}
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
mkdir -p build/fuzz/findings

try() {  # one target, from its corpus
  local target=$1 name work corpus
  name=$(basename "$target"); name=${name#fuzz_}
  work=$(mktemp -d)
  corpus=tests/fuzz/corpus/$name
  [ -d "$corpus" ] && cp -r "$corpus/." "$work"
  if ! "$target" "$work" -seed="$seed" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
       -artifact_prefix=build/fuzz/findings/"$name"- > "$work.log" 2>&1; then
    echo "fuzz $name: FOUND something, input in build/fuzz/findings/:"; tail -40 "$work.log"; return 1
  fi
  echo "fuzz $name: $(grep -o 'stat::number_of_executed_units: *[0-9]*' "$work.log" | grep -o '[0-9]*$') inputs in $seconds s, nothing found"
  rm -rf "$work" "$work.log"
}
export -f try
export seconds seed

shopt -s nullglob
targets=(build/sanitize/bin/fuzz_*)
[ ${#targets[@]} -gt 0 ] || { echo "fuzz: no targets in build/sanitize/bin; build them with scripts/build.sh fuzz" >&2; exit 1; }
# shellcheck disable=SC2016  # the inner shell expands it
# xargs ends with an error if one target did. Each target runs on its own core.
printf '%s\0' "${targets[@]}" | xargs -0 -P "$(nproc)" -I{} bash -c 'try "$1"' try {}
