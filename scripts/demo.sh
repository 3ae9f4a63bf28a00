#!/usr/bin/env bash
# Sets up, builds, and generates from the shipped demo model on two ranks. A second call is quick: the build exists by then,
# and a finished job is not computed again (unless with `demo.sh --overwrite`).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
[ -x build/bin/moemill ] || echo "== building moemill (once; takes a few minutes)"
scripts/build.sh release moemill
. scripts/root_mpi.sh

mkdir -p runs
prompts=runs/demo-prompts.h5
if [ ! -s "$prompts" ] || [ ! "$prompts" -nt configs/demo/prompts.jsonl ]; then
  /usr/bin/python3 configs/demo/make_prompts.py configs/demo/prompts.jsonl "$prompts"
fi

echo "== mpirun -n 2 build/bin/moemill run -c configs/demo/run.yaml"
mpirun -n 2 ${mpi_options[@]+"${mpi_options[@]}"} build/bin/moemill run -c configs/demo/run.yaml "$@"

echo
echo "== some of the answers"
/usr/bin/python3 configs/demo/show.py runs/demo/outputs.h5 "$prompts"
echo
echo "== files"
echo "    runs/demo-prompts.h5       the prompts, made from configs/demo/prompts.jsonl"
echo "    runs/demo/outputs.h5       the answers: one row per completion (h5ls -r, h5py)"
echo "    runs/demo/summary.json     measured counts, seconds, rates, bytes and cost"
echo "    runs/demo/metrics.jsonl    the same measurements over time"
echo "    runs/demo/config.yaml      all settings of the run, with defaults filled in"
echo "    build/bin/moemill status runs/demo, build/bin/moemill verify runs/demo --deep: look again at any time"
