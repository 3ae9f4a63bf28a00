"""Functions that the tests of job scripts share: the cluster, run directories, and the outputs of an undisturbed run."""
import os
import random
import re

from moemill_program import MODELS, SOURCE, check, differences, expect_exit, fresh, moemill, write_prompts
from slurm_cluster import Cluster, Job

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
MOST_RANKS = min(2, os.cpu_count())  # per node
SRUN = "srun --mpi=pmix --kill-on-bad-exit=1"


def write_inputs(path, seed, count):
    """Prompts with answers of different lengths, so that shards end one after another."""
    draw = random.Random(seed)
    return write_prompts(path, {"prompt": [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)],
                                "max_tokens": [draw.randint(2, 60) for _ in range(count)]})


def prepare(name, prompts):
    folder = fresh(name)
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v2_lite'}}}\ninput: {{path: {prompts}}}\n"
        "sampling: {ignore_eos: true, logprobs: 0}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 2, journal_flush_seconds: 0.2}}\n"
        "parallel: {max_num_seqs: 2}\nruntime: {progress_interval: 1}\n")
    return folder


def write_script(path, *lines):
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def without(option, script, folder):
    """A copy of the script without an option that sbatch's command line can override but not remove."""
    bare = folder / f"bare-{script}"
    bare.write_text(re.sub(f"#SBATCH {option}.*\n", "", (SOURCE / "jobs" / script).read_text()))
    return bare


def attempts(run_dir):
    return (run_dir / "attempts.jsonl").read_text().count('"event":"begin"')


class Bench:
    """Objects that the tests share: the cluster, the prompts, and the outputs of an undisturbed run."""

    def __init__(self):
        folder = fresh("undisturbed")
        self.prompts = write_inputs(folder / "prompts.h5", seed=3, count=80)
        self.whole = self.undisturbed(folder, "-c", self.folder("undisturbed-config") / "run.yaml")
        self.cluster = Cluster(nodes=18, cpus=MOST_RANKS)

    @staticmethod
    def undisturbed(folder, *words):
        expect_exit(moemill("run", "-o", folder / "whole", *words, ranks=2), 0)
        return folder / "whole/outputs.h5"

    def job(self, *words, **more):
        return Job(self.cluster, *words, **more)

    def folder(self, name):
        return prepare(name, self.prompts)

    def is_whole(self, run_dir, whole=None):
        expect_exit(moemill("verify", run_dir, "--deep"), 0)
        names = differences(whole or self.whole, run_dir / "outputs.h5")
        check(not names, f"{run_dir} differs in {names}")
