# shellcheck shell=bash disable=SC2034  # the script that sources this file uses mpi_options
# Sourced by scripts that call mpirun. Open MPI needs two variables before it runs as root (in a container or on a fresh
# machine), and an option if there are fewer cores than ranks.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
mpi_options=()
# Open MPI prints ten lines about every nonzero exit code, even of jobs that stopped cleanly.
if mpirun --version 2>/dev/null | grep -q 'Open MPI'; then mpi_options=(-q); fi
if [ "$(nproc)" -lt 2 ]; then mpi_options+=(--oversubscribe --mca mpi_yield_when_idle 1); fi
