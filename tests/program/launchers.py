#!/usr/bin/env python3
"""Launchers of ranks: a different MPI, a launcher that MPI does not know, several programs in one launched step.

    launchers.py MOEMILL SOURCE_DIR WORK_DIR [test names]

MOEMILL_MPICH and MPICH_MPIEXEC in the environment: the same program built with MPICH, and its launcher."""
import os
import pathlib
import shutil
import signal
import subprocess

from moemill_program import (PROGRAM, SECONDS, Skipped, check, command, differences, environment, expect_exit, main, moemill,
                             prepared, start_quietly, summary)


def prepare(name, count=30, max_tokens=40): return prepared(name, count, max_tokens, "logprobs: 1")


def mpich(ranks, *words):
    if "MOEMILL_MPICH" not in os.environ: raise Skipped("there is no MPICH beside the MPI of this build")
    return [os.environ["MPICH_MPIEXEC"], "-n", str(ranks), os.environ["MOEMILL_MPICH"], *map(str, words)]


def run(words, env=None):
    return subprocess.run(list(map(str, words)), env=environment(env), text=True, errors="replace", timeout=SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def the_same_bytes_under_mpich():
    """Also if a rank is killed and the job is resumed under the other MPI."""
    folder = prepare("mpich")
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "whole", ranks=2), 0)
    for ranks in (1, 2, 3):
        done = expect_exit(run(mpich(ranks, "run", "-c", folder / "run.yaml", "-o", folder / f"by-{ranks}")), 0)
        check(f"{ranks} rank" in done.stderr, done.stderr)
        differ = differences(folder / "whole/outputs.h5", folder / f"by-{ranks}/outputs.h5")
        check(not differ, ranks, "ranks of MPICH: other bytes in", differ)


def at_work(folder): return start_quietly(folder, mpich(2, "run", "-c", folder / "run.yaml"))


def codes_and_signals_under_mpich():
    """mpiexec forwards SIGUSR1 to the ranks and then ends with 0 itself: only the run directory has the code."""
    folder = prepare("codes", count=400)
    expect_exit(run(mpich(2, "run", "-c", folder / "run.yaml", "--set", "sampling.topp=1")), 2)
    job = at_work(folder)
    job.send_signal(signal.SIGUSR1)
    check(job.wait(SECONDS) in (0, 75), "SIGUSR1 under mpiexec:", job.returncode)
    expect_exit(moemill("status", folder / "out", "--exit-code"), 75)
    shutil.rmtree(folder / "out")
    job = at_work(folder)
    (folder / "out/stop").touch()
    check(job.wait(SECONDS) == 75, "the stop file under mpiexec:", job.returncode)


def killed_under_mpich():
    folder = prepare("killed", count=200)
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "whole", ranks=2), 0)
    job = at_work(folder)
    program = os.environ["MOEMILL_MPICH"].encode()
    ranks = [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
             if path.read_bytes().startswith(program + b"\0run\0-c\0" + bytes(folder))]
    check(len(ranks) == 2, "two ranks are at work:", ranks)
    os.kill(ranks[1], signal.SIGKILL)
    job.wait(SECONDS)
    check(job.returncode not in (0, 75), "mpiexec says", job.returncode)
    expect_exit(moemill("status", folder / "out", "--exit-code"), 75)
    expect_exit(run(mpich(2, "run", "-c", folder / "run.yaml")), 0)
    check(summary(folder / "out")["resumed_rows"] > 0, summary(folder / "out"))
    check(not differences(folder / "whole/outputs.h5", folder / "out/outputs.h5"))


def a_foreign_launcher_is_refused():
    """Every rank would believe that it is alone: one would work, the others would be refused for its lock."""
    folder = prepare("foreign")
    for words, named in ((mpich(2)[:3] + [PROGRAM], "PMI"), (command(2)[:-1] + [os.environ["MOEMILL_MPICH"]], "Open MPI's mpirun")):
        done = expect_exit(run([*words, "run", "-c", folder / "run.yaml"]), 2)
        for part in (named, "started 2 tasks", "world of 1", "built with"): check(part in done.stderr, part, done.stderr)
        check(not (folder / "out").exists(), "it made a run directory")


def made_up_launchers():
    """Only the launchers' variables, as a singleton finds them; commands that only read work anywhere."""
    folder = prepare("made-up", count=2, max_tokens=2)
    for name, value in (("PMI_SIZE", "4"), ("FLUX_JOB_SIZE", "4"), ("MPI_LOCALNRANKS", "2")):
        env = {name: value, "FLUX_TASK_RANK": "0"} if "FLUX" in name else {name: value}
        done = expect_exit(moemill("run", "-c", folder / "run.yaml", env=env), 2)
        check(name in done.stderr and not (folder / "out").exists(), name, done.stderr)
    for job in ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "64", "SLURM_PROCID": "0"}, {"PMI_SIZE": "1", "PMI_RANK": "0"}):
        expect_exit(moemill("run", "-c", folder / "run.yaml", "--overwrite", env=job), 0)
    srun = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4", "SLURM_PROCID": "1"}
    expect_exit(moemill("status", folder / "out", env=srun), 0)
    expect_exit(moemill("validate", "-c", folder / "run.yaml", env=srun), 0)
    expect_exit(moemill("run", "-c", folder / "run.yaml", env=srun), 2)


def several_programs_in_one_step():
    folder = prepare("step", count=2, max_tokens=2)
    script = folder / "loop.sh"
    script.write_text(f'for i in 1 2; do "{PROGRAM}" run -c {folder}/run.yaml -o {folder}/$1-$i || exit; done\n')
    one = command(1)[:-1]
    expect_exit(run([*one, "bash", script, "one"]), 0)
    check((folder / "one-2/outputs.h5").exists(), "the second run made nothing")
    done = run([*command(2)[:-1], "bash", script, "two"])
    check((folder / "two-1/outputs.h5").exists(), done.stderr)
    if done.returncode == 0: check((folder / "two-2/outputs.h5").exists(), done.stderr)  # Open MPI 5 starts a second world
    else: check("write mpirun or srun in front of each moemill" in done.stderr, done.stderr)


if __name__ == "__main__":
    main([made_up_launchers, several_programs_in_one_step, a_foreign_launcher_is_refused, the_same_bytes_under_mpich,
          codes_and_signals_under_mpich, killed_under_mpich])
