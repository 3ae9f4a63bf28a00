#!/usr/bin/env python3
"""Every script of jobs/ on a real Slurm of this machine: left alone, and with a lost node, a time limit, a preemption, a
requeue, a cancel. Each job ends with every row once and the bytes of a run that nobody disturbed.

    slurm_jobs.py MOEMILL SOURCE_DIR WORK_DIR [TEST...]

Exit 77 where there is no Slurm to start."""
import concurrent.futures
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
from disturbed_jobs import (asked_to_stop, cancelled, lost_node_of_the_script, lost_node_under_mpirun, lost_node_under_srun,
                            preempted_at_once, preempted_with_grace, requeued, time_limit_by_the_clock,
                            time_limit_straight_to_the_ranks, time_limit_under_mpirun, time_limit_under_srun, twice_at_once)
from job_chains import chain_asked_to_stop_in_the_queue, chain_knows_when_to_end, chain_whose_launcher_fails
from slurm_bench import Bench
from slurm_cluster import missing_tools
from undisturbed_jobs import (array, end_time, mpirun_on_three_nodes, one_node, srun_on_three_nodes,
                              srun_that_fails, srun_without_pmix)

SKIPPED = 77
BESIDE_EACH_OTHER = 6  # jobs at once

# Each with the nodes that it needs; those that wait longest come first.
TESTS = [(time_limit_by_the_clock, 1), (time_limit_under_mpirun, 2), (time_limit_under_srun, 2),
         (time_limit_straight_to_the_ranks, 2), (lost_node_under_mpirun, 3), (lost_node_under_srun, 3),
         (lost_node_of_the_script, 2), (preempted_with_grace, 2), (preempted_at_once, 2), (chain_knows_when_to_end, 1),
         (chain_whose_launcher_fails, 1), (chain_asked_to_stop_in_the_queue, 1), (end_time, 1),
         (requeued, 3), (cancelled, 2), (twice_at_once, 4), (asked_to_stop, 1), (array, 2),
         (srun_without_pmix, 2), (srun_that_fails, 1), (mpirun_on_three_nodes, 3), (srun_on_three_nodes, 3), (one_node, 1)]


def run_one(bench, test, count):
    """Returns whether the test passes."""
    began = time.monotonic()
    try:
        nodes = bench.cluster.take(count)
        began = time.monotonic()
        test(bench, nodes)
        fault = None
    except Exception as thrown:
        fault = thrown
    seconds = f"({time.monotonic() - began:.0f} s)"
    print(f"FAILED  {test.__name__} {seconds}: {fault}" if fault else f"ok      {test.__name__} {seconds}", flush=True)
    if not fault: bench.cluster.give_back(nodes)  # after a failure they may be down or busy
    return fault is None


def main():
    absent = missing_tools()
    if absent:
        print(f"SKIPPED slurm_jobs: not installed: {', '.join(absent)}; `scripts/setup.sh test` installs them")
        sys.exit(SKIPPED)
    wanted = [test for test in TESTS if not sys.argv[4:] or test[0].__name__ in sys.argv[4:]]
    bench = Bench()
    with concurrent.futures.ThreadPoolExecutor(BESIDE_EACH_OTHER) as workers:
        held = list(workers.map(lambda test: run_one(bench, *test), wanted))
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__": main()
