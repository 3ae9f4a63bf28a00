"""Command lines that start a program for tests, on ranks under mpirun or as one plain process."""
import functools
import os
import random
import re
import subprocess


@functools.cache
def mpirun_options():
    """With these words of Open MPI, ranks leave the core while they wait. Where there are more ranks than cores, each
    message takes a time slice of the waiting rank otherwise."""
    about = subprocess.run(["mpirun", "--version"], capture_output=True, text=True).stdout
    return ["--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"] if "Open MPI" in about else []


def command(program, ranks, *words):
    """ranks 0 is a plain process without a launcher, on one core: on models so small two threads would only wait for
    each other."""
    one_core = ["taskset", "-c", str(random.choice(sorted(os.sched_getaffinity(0))))]
    launcher = ["mpirun", "-n", str(ranks), *mpirun_options()] if ranks else one_core
    return launcher + [str(program)] + [str(w) for w in words]


def environment(more=None):
    return dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", **(more or {}))


def instruction_sets(program):
    """The instruction sets whose kernel bodies this CPU can run: a line of `--version` lists them after the best, "avx2 (of plain,
    avx2)"."""
    about = subprocess.run([program, "--version"], env=environment(), capture_output=True, text=True, check=True).stdout
    line = next(line for line in about.splitlines() if line.startswith("kernels"))
    return set(re.search(r"\(of (.*)\)", line)[1].split(", "))
