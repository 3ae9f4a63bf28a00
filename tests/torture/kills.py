#!/usr/bin/env python3
"""Runs jobs on random numbers of ranks, kills random processes at random times, and resumes with different ranks, expert domains
and batch limits. The first jobs do part of the prompts, later ones extend the run to all, until one finishes; then every row must
exist once with the bytes of an undisturbed run.

    kills.py MOEMILL SOURCE_DIR WORK_DIR [--kills N] [--seed S]

The script kills one rank, all ranks at once, the launcher, or the daemon of a pretended node; or it drains the job (SIGUSR1),
terminates it (SIGTERM) or interrupts it twice. Two times in five the next job starts at once, while ranks of the previous
one may still exist. Prints one line per job and a table at the end."""
import argparse
import collections
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
arguments = argparse.ArgumentParser()
arguments.add_argument("--kills", type=int, default=12)
arguments.add_argument("--seed", type=int, default=None)
options, sys.argv[4:] = arguments.parse_args(sys.argv[4:]), []
from moemill_program import MODELS, PROGRAM, SECONDS, SOURCE, check, differences, expect_exit, fresh, moemill, mpirun_is_stuck, summary, write_prompts  # noqa: E402

FLUSH_SECONDS = 0.2
END_SECONDS = 10  # seconds; after a rank has died, all of its job must be gone
SLOW = 4  # if an undisturbed job takes long because the machine is busy: a multiple of that time


def prepare(draw):
    folder = fresh("job")
    words = "alpha beta gamma delta epsilon zeta eta theta".split()
    count = 160
    shard_prompts = draw.choice((7, 80))  # with two shards some ranks of most jobs keep none, and send all their rows
    beginnings = ["", "", *(" ".join(draw.choices(words, k=8)) + " " for _ in range(3))]  # some prompts begin alike
    def text(): return draw.choice(beginnings) + " ".join(draw.choices(words, k=draw.randint(1, 12)))
    write_prompts(folder / "p.h5", {"prompt": [text() for _ in range(count)],
                                    "n": [draw.randint(1, 3) for _ in range(count)],
                                    "max_tokens": [draw.choice((3, 40, 250)) for _ in range(count)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        "sampling: {ignore_eos: true, logprobs: 1, prompt_logprobs: true}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: {shard_prompts}, journal_flush_seconds: {FLUSH_SECONDS}}}\n")
    begun = time.monotonic()
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "whole", ranks=2), 0)
    return folder, time.monotonic() - begun, -(-count // shard_prompts)


def layout(draw):
    """Settings that may change at every start."""
    return ["--set", f"parallel.max_num_seqs={draw.choice((2, 5, 16, 64))}",
            "--set", f"parallel.max_num_batched_tokens={draw.choice((16, 64, 512))}",
            "--set", f"parallel.prefix_cache={draw.choice(('auto', 'auto', 'off'))}",
            "--set", f"parallel.micro_batches={draw.choice((1, 2, 'auto'))}",
            "--set", f"parallel.expert_domain={draw.choice(('auto', 'world', 'node', '1'))}"]


def start(folder, draw, nodes, more):
    """A job on 1 to 4 ranks; with nodes, on as many pretended ones with a daemon each. `more` is added to its command."""
    ranks = draw.randint(1, 4)
    command = [str(PROGRAM), "run", "-c", str(folder / "run.yaml"), *layout(draw), *more]
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    if nodes > 1:
        launcher = [str(SOURCE / "tests/torture/pretend_nodes.sh"), str(nodes), str((ranks + 1) // 2)]
    else:
        launcher = ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]
    log = open(folder / "job.log", "ab")
    return subprocess.Popen(launcher + command, env=environment, stdout=log, stderr=log, start_new_session=True)


def processes(session):
    """{pid: command line} of all descendants of the job's launcher, even if their parent is gone."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit(): continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z" and (int(fields[3]) == session or str(WORK_KEY).encode() in b" ".join(words)):
            found[int(entry.name)] = [w.decode(errors="replace") for w in words]
    return found


def ranks_of(session):
    return [pid for pid, words in processes(session).items() if words and words[0] == str(PROGRAM)]


def launchers_of(session):
    """The mpirun of this job alone; none while it is being started."""
    return [pid for pid, words in processes(session).items() if words and words[0] == "mpirun" and session_of(pid) == session]


def session_of(pid):
    try: return os.getsid(pid)
    except ProcessLookupError: return None


def agents_of(ranks):
    """Daemons that hold the ranks of a pretended node: they are parents of ranks, and have their own sessions."""
    found = set()
    for rank in ranks:
        try:
            parent = pathlib.Path("/proc") / pathlib.Path(f"/proc/{rank}/stat").read_text().rsplit(")", 1)[1].split()[1]
            if (parent / "cmdline").read_bytes().split(b"\0")[0].endswith(b"orted"): found.add(int(parent.name))
        except OSError:
            continue
    return sorted(found)


def send(pids, number):
    for pid in pids:
        try: os.kill(pid, number)
        except ProcessLookupError: pass


def place_of(pid, shards):
    """What the tally calls the death of a rank: with fewer shards than ranks, only some ranks keep one (keeper_of in lib/schedule)."""
    try:
        text = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
        variables = dict(v.split("=", 1) for v in text.split("\0") if "=" in v)
        rank, ranks = int(variables["OMPI_COMM_WORLD_RANK"]), int(variables["OMPI_COMM_WORLD_SIZE"])
    except (OSError, KeyError):
        return "one rank"
    keeps = shards >= ranks or rank in {s * ranks // shards for s in range(shards)}
    return "one rank, a keeper" if keeps else "one rank, which keeps no shard"


def disturb(job, draw, others, shards):
    """What was done, or None if there was nothing to do it to: what is left of the previous job does not count."""
    ranks = [pid for pid in ranks_of(job.pid) if pid not in others]
    agents, launchers = agents_of(ranks), launchers_of(job.pid)
    kind = draw.choice(("one rank", "one rank", "all ranks", "launcher", "agent", "drain", "terminate", "interrupt twice"))
    if kind == "agent" and not agents: kind = "one rank"
    if not (launchers if kind == "launcher" else ranks): return None
    if kind == "one rank":
        killed = draw.choice(ranks)
        kind = place_of(killed, shards)
        send([killed], signal.SIGKILL)
    if kind == "all ranks": send(ranks, signal.SIGKILL)
    if kind == "launcher": send(launchers, signal.SIGKILL)
    if kind == "agent": send([draw.choice(agents)], signal.SIGKILL)
    if kind == "drain": send(ranks[:1], signal.SIGUSR1)
    if kind == "terminate": send(ranks, signal.SIGTERM)
    if kind == "interrupt twice":
        send(ranks, signal.SIGINT)
        time.sleep(0.1 + draw.random() * 0.1)
        send(ranks, signal.SIGINT)
    return kind


def alive(pids):
    """The ranks among these that still exist."""
    return [pid for pid in pids if pid in ranks_of(0)]


def gone_within(job, ranks, seconds):
    """Whether the job's launcher and all of these ranks end within that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if job.poll() is not None and not alive(ranks): return True
        time.sleep(0.02)
    return False


def check_gone(job, ranks, seconds, folder, said, kind, tally):
    if gone_within(job, ranks, seconds): return
    check(not alive(ranks) and mpirun_is_stuck(since(folder, said)),
          f"{kind}: processes of the job live on after {seconds:.0f} s", processes(job.pid))
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    tally["mpirun was stuck with all ranks gone"] += 1


def since(folder, size):
    """The part of the jobs' log after the first `size` bytes."""
    return (folder / "job.log").read_bytes()[size:].decode(errors="replace")


def pairs(path):
    """(prompt, sample) of every row."""
    with h5py.File(path) as f: return list(zip(f["completions/prompt_index"][:].tolist(), f["completions/sample_index"][:].tolist()))


def one_job(draw, tally, kills_left):
    """Kills until the job ends by itself, or until enough kills were made; then it may end undisturbed."""
    folder, whole_seconds, shards = prepare(draw)
    end_seconds = max(END_SECONDS, SLOW * whole_seconds)
    done = 0
    growing = False  # from some attempt on, or when a part is done
    before = None  # checks that remain for a job that the next one did not wait for
    for attempt in range(1000):
        nodes = draw.choice((1, 1, 2))
        said = (folder / "job.log").stat().st_size if (folder / "job.log").exists() else 0
        growing = growing or draw.random() < 0.25
        job = start(folder, draw, nodes, ["--extend"] if growing else ["--limit", "100"])
        kind = None
        if done < kills_left:
            begun = time.monotonic()
            wait = whole_seconds * draw.choice((0.3, 1.0, 1.0)) * draw.random()
            while time.monotonic() < begun + wait and job.poll() is None: time.sleep(0.01)
            ranks = ranks_of(job.pid)
            kind = disturb(job, draw, before[1] if before else [], shards) if job.poll() is None else None
        if kind:
            done += 1
            tally[kind] += 1
            if before: check_gone(*before, tally)
            before = (job, ranks, end_seconds, folder, said, kind)
            if draw.random() < 0.4:
                tally["resumed at once"] += 1
                continue
            check_gone(*before, tally)
            before = None
            continue
        code = job.wait(timeout=SECONDS)
        if before: check_gone(*before, tally)
        hurried, before = before is not None, None
        check(gone_within(job, ranks_of(job.pid), end_seconds), "processes of an ended job live on", processes(job.pid))
        if code == 0 and growing: break
        if code == 0:
            growing = True
            tally["grown when it was done"] += 1
            continue
        refused = code == 2 and hurried and "another job works in this run directory" in since(folder, said)
        tally["refused because the job before was still there"] += refused
        check(code == 75 or refused, f"an undisturbed attempt ended with {code}", (folder / "job.log").read_text()[-3000:])
    made, wanted = pairs(folder / "out/outputs.h5"), set(pairs(folder / "whole/outputs.h5"))
    tally["rows lost"] += len(wanted - set(made))
    tally["rows twice"] += len(made) - len(set(made))
    different = differences(folder / "whole/outputs.h5", folder / "out/outputs.h5")
    check(not different, "the outputs differ:", different)
    expect_exit(moemill("verify", folder / "out", "--deep"), 0)
    told = summary(folder / "out")
    check(told["completions"] == len(made), "summary.json counts other rows", told["completions"], len(made))
    tally["jobs"] += 1
    tally["rows"] += len(made)
    print(f"job {tally['jobs']}: {attempt + 1} attempts, {len(made)} rows, {told['resumed_rows']} of them from before "
          "the last attempt; verified, bytes equal", flush=True)
    return done


def main():
    seed = options.seed if options.seed is not None else 1
    draw = random.Random(seed)
    tally = collections.Counter()
    kills = 0
    while kills < options.kills: kills += one_job(draw, tally, min(options.kills - kills, 25))
    print(f"\nseed {seed}: {tally.pop('jobs')} jobs, {tally.pop('rows')} rows; rows lost {tally.pop('rows lost')}, "
          f"rows twice {tally.pop('rows twice')}, bytes equal")
    for kind, count in sorted(tally.items()): print(f"  {count:5}  {kind}")


if __name__ == "__main__":
    from moemill_program import WORK as WORK_KEY
    main()
