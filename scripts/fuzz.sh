#!/usr/bin/env bash
# fuzz.sh [SECONDS] [SEED]: runs every fuzz target for a number of seconds each (default 60), from its small corpus in
# tests/fuzz/corpus/<name>. A finding stops it and leaves the input in build/fuzz/findings/. The tests give a seed, so
# that two runs of them try much the same inputs; without one (0) every run tries others, which is how to look for more.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60} seed=${2:-0}
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
mkdir -p build/fuzz/findings
ran=0
for target in build/fuzz/bin/fuzz_*; do
  [ -x "$target" ] || continue
  name=$(basename "$target"); name=${name#fuzz_}
  work=$(mktemp -d)
  corpus=tests/fuzz/corpus/$name
  [ -d "$corpus" ] && cp -r "$corpus/." "$work"
  if ! "$target" "$work" -seed="$seed" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
       -artifact_prefix=build/fuzz/findings/"$name"- > "$work.log" 2>&1; then
    echo "fuzz $name: FOUND something, input in build/fuzz/findings/:"; tail -40 "$work.log"; exit 1
  fi
  echo "fuzz $name: $(grep -o 'stat::number_of_executed_units: *[0-9]*' "$work.log" | grep -o '[0-9]*$') inputs in $seconds s, nothing found"
  rm -rf "$work" "$work.log"; ran=$((ran + 1))
done
[ "$ran" -gt 0 ] || { echo "fuzz: no targets in build/fuzz/bin; build them with scripts/build.sh fuzz" >&2; exit 1; }
