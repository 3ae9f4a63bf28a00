# shellcheck shell=bash disable=SC2034  # mpi_options is for whoever sources this
# Sourced by scripts that call mpirun. As root (a container, a fresh machine) Open MPI wants to be told twice that it may
# run; and where there are fewer cores than ranks, that it may share them.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
mpi_options=()
# Open MPI has ten lines to say about every exit code that is not 0, also of jobs that stopped in order.
if mpirun --version 2>/dev/null | grep -q 'Open MPI'; then mpi_options=(-q); fi
if [ "$(nproc)" -lt 2 ]; then mpi_options+=(--oversubscribe --mca mpi_yield_when_idle 1); fi
