#!/usr/bin/env python3
"""Do expert domains wait for each other? Runs the demo's model on two domains of one rank, one of them with the plain kernel
bodies, which are many times slower, and prints the other's steps a second beside those that it takes alone, while a job of its own
with the plain bodies keeps the other core as busy. The slow one is once rank 0, which decides for both, and once the other.

    domains_apart.py MOEMILL SOURCE_DIR WORK_DIR [--prompts N] [--tokens N] [--rounds N]

Needs Open MPI's mpirun, two cores without other work, h5py. The figures mean something only as ratios of one run."""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("moemill", type=pathlib.Path)
arguments.add_argument("source", type=pathlib.Path)
arguments.add_argument("work", type=pathlib.Path)
arguments.add_argument("--prompts", metavar="N", type=int, default=192)
arguments.add_argument("--tokens", metavar="N", type=int, default=64, help="of each answer")
arguments.add_argument("--rounds", metavar="N", type=int, default=3)
o = arguments.parse_args()
sys.path.insert(0, str(o.source.resolve() / "tests/program"))
from prompt_files import write_prompts  # noqa: E402

STEPS = re.compile(r"(?:rank (\d+): )?(\d+) steps in ([\d.]+) s, ([\d.]+) s of it between them")


def start(folder, name, bodies):
    """A job; bodies[r] are rank r's kernels, or None for the best."""
    shutil.rmtree(folder / name, ignore_errors=True)
    words = [str(o.moemill.resolve()), "run", "-c", str(folder / "run.yaml"), "-o", str(folder / name)]
    line = ["mpirun", "--oversubscribe", "--bind-to", "none"]
    for rank, body in enumerate(bodies):
        line += ([":"] if rank else []) + ["-n", "1"] + (["-x", f"MOEMILL_ISA={body}"] if body else []) + words
    return subprocess.Popen(line, env=dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1"), text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def steps_a_second(job):
    """Of each rank, and its share of time between steps."""
    errors = job.communicate()[1]
    if job.returncode != 0: sys.exit(errors)
    return {int(rank or 0): (int(steps) / float(seconds), float(between) / float(seconds)) for rank, steps, seconds, between in STEPS.findall(errors)}


def main():
    folder = o.work.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    write_prompts(folder / "p.h5", {"prompt": [f"alpha beta gamma {i}" for i in range(o.prompts)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {o.source.resolve() / 'configs/demo/model'}}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        f"sampling: {{max_tokens: {o.tokens}, ignore_eos: true}}\noutput: {{shard_prompts: 8}}\n"
        "parallel: {expert_domain: 1, threads_per_rank: 1, max_num_seqs: 16, node_memory: off}\nruntime: {log_level: debug}\n")
    print("steps a second of the fast domain, its share of what it takes alone, time between steps; steps a second of the slow one")
    for number in range(o.rounds):
        other = start(folder, "other", ["plain"])
        alone, between = steps_a_second(start(folder, "alone", [None]))[0]
        other.terminate()
        other.communicate()
        print(f"{number + 1}: alone {alone:.1f}, {between:.1%}", end="")
        for slow in (0, 1):
            got = steps_a_second(start(folder, f"slow-{slow}", ["plain" if rank == slow else None for rank in range(2)]))
            fast, between = got[1 - slow]
            print(f"; beside a slow rank {slow} {fast:.1f} ({fast / alone:.3f}), {between:.1%}; {got[slow][0]:.1f}", end="", flush=True)
        print()


if __name__ == "__main__":
    main()
