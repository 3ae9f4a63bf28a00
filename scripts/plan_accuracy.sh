#!/usr/bin/env bash
# Prints predicted against measured time of whole runs on this machine, as a table: a report, not a gate. For every model and
# number of ranks it calibrates (up to a minute), then runs the jobs one after the other. Run it on a quiet machine.
#   scripts/plan_accuracy.sh [--models demo,deepseek-0.5b,...] [--ranks 1,2,4] [--jobs short,long,samples,tail]
#                            [--benches decode,prefill] [--micro-batches 2] [--calibrated-ranks N] [--calibrate "--isa avx2"]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/root_mpi.sh
MOEMILL_MPI_OPTIONS="${mpi_options[*]-}" exec /usr/bin/python3 tests/bench/plan_accuracy.py "$@"
