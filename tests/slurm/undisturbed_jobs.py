"""Every script of jobs/ on undisturbed nodes: launchers, run directories, arrays, the time of its end."""
import pathlib
import re
import subprocess

from moemill_program import PROGRAM, SOURCE, check, fresh
from slurm_bench import MOST_RANKS, write_inputs, write_script
from slurm_cluster import ENDED, until


def one_node(bench, nodes):
    """In the run directory that the config names, and in a different one if RUN_DIR is set."""
    folder = bench.folder("one_node")
    job = bench.job("one-node.sbatch", folder, nodes, per_node=MOST_RANKS, RUN_DIR="").ends(0)
    check(",mem=4000M," in job.facts()["TRES"], "not all of the node's memory:", job.facts())
    bench.is_whole(folder / "out")
    bench.job("one-node.sbatch", folder, nodes, per_node=MOST_RANKS, run_dir=folder / "wanted").ends(0)
    bench.is_whole(folder / "wanted")


def on_three_nodes(bench, nodes, script):
    folder = bench.folder(script)
    job = bench.job(script, folder, nodes, per_node=MOST_RANKS, run_dir=folder / "wanted").ends(0)
    check(f"{3 * MOST_RANKS} ranks on 3 nodes" in job.text(), job.tell())
    check(not (folder / "out").exists(), "RUN_DIR did not overrule the config")
    bench.is_whole(folder / "wanted")


def srun_on_three_nodes(bench, nodes):
    on_three_nodes(bench, nodes, "nodes-srun.sbatch")


def mpirun_on_three_nodes(bench, nodes):
    on_three_nodes(bench, nodes, "nodes-mpirun.sbatch")


def srun_without_pmix(bench, nodes):
    """Each rank would believe that it is alone, and all would write the same files."""
    folder = bench.folder("no-pmix")
    for kind in ("none", "pmi2"):
        done = bench.cluster.run("srun", f"--mpi={kind}", "-w", ",".join(nodes), "-N", len(nodes), PROGRAM, "run", "-c",
                                 folder / "run.yaml")
        check(done.returncode == 2 and "use srun --mpi=pmix" in done.stderr, kind, done.returncode, done.stderr)
    check(not (folder / "out").exists(), "it made a run directory")


def srun_that_fails(bench, nodes):
    """Without a run directory the job ends with srun's code, or with 1 if that is 0."""
    folder = bench.folder("srun-fails")
    for said, code in ((9, 9), (0, 1)):
        broken = write_script(folder / "bin/srun", f"exit {said}").parent
        path = f"{broken}:{bench.cluster.environment['PATH']}"
        bench.job("nodes-srun.sbatch", folder, nodes, "--cpus-per-task=1", PATH=path).ends(code)


def array(bench, nodes):
    """One run per input, even without a newline after the last; submitting the array again leaves finished runs alone."""
    folder = bench.folder("array")
    names = ["first", "second"]
    for seed, name in enumerate(names): write_inputs(folder / f"{name}.h5", seed, count=10)
    (folder / "inputs.txt").write_text("\n".join(f"{folder / name}.h5" for name in names))
    advised = re.search(r"sbatch (--array=\S+.*\S+) array.sbatch", (SOURCE / "jobs/array.sbatch").read_text())[1]
    advised = subprocess.check_output(["bash", "-c", f"echo {advised}"], cwd=folder, text=True).strip()
    check(advised == "--array=1-2%4", "the script's advice for two lines gives", advised)
    for attempt in ("done", "nothing to do"):
        logs = [folder / f"{attempt[:4]}-{task}.log" for task in (1, 2, 3)]
        job = bench.job("array.sbatch", folder, nodes, "--array=1-3", "--mem=100", "-o", folder / f"{attempt[:4]}-%a.log",
                        RUNS=folder / "runs")
        def states():
            lines = bench.cluster.must("squeue", "-h", "-t", "all", "-r", "-j", job.id, "-o", "%K %T").splitlines()
            return sorted(lines) if all(line.split()[1] in ENDED for line in lines) else None
        got = until(states, "the end of the array")
        first, second, third = (log.read_text() for log in logs)
        check(got == ["1 COMPLETED", "2 COMPLETED", "3 FAILED"], got, first, second, third)
        check("has no line 3" in third and attempt in first, first, third)
    for name in names:
        whole = bench.undisturbed(fresh(f"array-{name}"), "-c", folder / "run.yaml", "-i", folder / f"{name}.h5")
        bench.is_whole(folder / "runs" / name, whole)
    job = bench.job("array.sbatch", folder, nodes, RUNS=folder / "none").ends(2)
    check("this job is not an array" in job.text(), job.tell())


def end_time(bench, nodes):
    """The program gets the job's end from SLURM_JOB_END_TIME if it is set, otherwise from squeue, for any time format of the user and
    for each task of an array; and nothing if squeue fails."""
    folder = bench.folder("end-time")
    (folder / "inputs.txt").write_text("first.h5\nsecond.h5\n")
    program = write_script(folder / "moemill", '[ "$1" = run ] || exit 0', "sleep 1",  # so that tasks run at once
                           'mkdir -p "$RUN_DIR" && touch "$RUN_DIR/run.json"',
                           'echo "the end: ${SLURM_JOB_END_TIME-unknown}."')
    silent = write_script(folder / "bin/squeue", "exit 1").parent
    cases = {"asked": {"SLURM_TIME_FORMAT": "relative"}, "known": {"SLURM_JOB_END_TIME": 4000000000},
             "silent": {"PATH": f"{silent}:{bench.cluster.environment['PATH']}"}}
    ends = {"known": 4000000000, "silent": "unknown"}
    tasks = []
    for case, variables in cases.items():
        for script in sorted((SOURCE / "jobs").glob("*.sbatch")):
            log = f"{folder}/{case}-{script.stem}"
            job = bench.job(script, folder, nodes, "--array=1-2", f"-o{log}-%a.log", "--cpus-per-task=1", "--mem=100",
                            "--gpus-per-node=1", MOEMILL=program, **variables)
            tasks += [(case, job, f"{job.id}_{task}", pathlib.Path(f"{log}-{task}.log")) for task in (1, 2)]
    for case, job, job.id, job.log in tasks:
        job.ends(0)
        want = f"the end: {ends.get(case, int(job.started()) + 30 * 60)}."
        check(want in job.text(), f"{job.log.name}: not '{want}' but", job.tell())
