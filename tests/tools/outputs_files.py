#!/usr/bin/env python3
"""scripts/outputs.py: the files that it reads. Shards, unfinished runs, damaged or wrong files, prompts that have changed.

    outputs_files.py WORK_DIR [TEST ...]"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import h5py
import numpy as np

from outputs_out import IDS, MANIFEST, outputs, refused, taken
from tools import SCRIPTS, OutputsMaker, check, main, read_lines, script

from moemill_tools.contents import input_columns


def files_under_a_lock(work):
    """A lock that another process holds, or that the file system refuses, does not stop a reader."""
    import fcntl
    source, prompts = outputs(work / "a.h5"), work / "p.h5"
    with h5py.File(prompts, "w") as f: f["prompt"] = [f"say {i}" for i in range(5)]
    with h5py.File(prompts, "r+") as f: f["id"] = IDS
    with open(source, "rb") as one, open(prompts, "rb") as two:
        for file in (one, two): fcntl.flock(file, fcntl.LOCK_EX)
        done = subprocess.run([sys.executable, SCRIPTS / "outputs.py", source, "--prompts", prompts, "--columns", "id,prompt"], capture_output=True, text=True)
        check(done.returncode == 0 and len(done.stdout.splitlines()) == 7, done.stdout, done.stderr)


def files_that_are_open_already(work):
    """In the same process, opened with h5py directly, as lib/dataset/README.md shows it."""
    source = outputs(work / "a.h5")
    with h5py.File(source):
        check(len(taken(work, source, "--status", "all")) == 10, "outputs.py")
    code = (f"import sys, h5py; sys.path.insert(0, {str(SCRIPTS)!r}); from moemill_io import read_run; file = h5py.File({str(source)!r}); "
            f"print(len(list(read_run({str(source)!r}))))")  # automatic, because scripts have set this process's HDF5 to use no locks
    environment = {name: value for name, value in os.environ.items() if name != "HDF5_USE_FILE_LOCKING"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    check(done.stdout == "10\n", done.stdout, done.stderr)


def runs_and_shards(work):
    whole = taken(work, outputs(work / "a.h5"), "--status", "all")
    run = work / "run"
    (run / "shards").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps(MANIFEST))
    check("no shard" in script("outputs", run, code=2).stderr)
    for i, (first, last) in enumerate(((0, 2), (2, 4), (4, 5))):
        if i == 2:
            done = script("outputs", run, code=2)
            check("2 of 3 shards" in done.stderr and "--allow-incomplete" in done.stderr, done.stderr)
            check(taken(work, run, "--status", "all", "--allow-incomplete") == whole[:8])
        outputs(run / f"shards/shard-00000{i}.h5", first, last)
    check(taken(work, run, "--status", "all") == whole, "all shards without outputs.h5")
    check(taken(work, run / "shards/shard-000002.h5", "--status", "all") == whole[8:])
    (work / "a.h5").rename(run / "outputs.h5")
    check(taken(work, run, "--status", "all") == whole)


def files_that_are_not_right(work):
    for name, more, word in (("a.h5", {"complete": None}, "not finished"), ("b.h5", {"complete": 0}, "not finished")):
        done = script("outputs", outputs(work / name, **more), code=2)
        check(word in done.stderr, done.stderr)
        check(len(taken(work, work / name, "--allow-incomplete")) == 7)
    (work / "c.h5").write_bytes(outputs(work / "d.h5").read_bytes()[:5000])
    check("c.h5" in script("outputs", work / "c.h5", code=2).stderr)
    with h5py.File(work / "e.h5", "w") as f: f["prompt"] = ["x"]
    check("is not a file of moemill" in script("outputs", work / "e.h5", code=2).stderr)
    check("not a run directory" in script("outputs", work, code=2).stderr)
    check("no such file" in script("outputs", work / "none", code=2).stderr)
    (work / "mine.jsonl").write_text("mine")
    check("--overwrite" in script("outputs", work / "d.h5", "-o", work / "mine.jsonl", code=2).stderr and (work / "mine.jsonl").read_text() == "mine")
    check("ending" in script("outputs", work / "d.h5", "-o", work / "x.txt", code=2).stderr)


def outputs_under_other_names(work):
    """A link is kept and its target replaced; a pipe, which a rename would remove, is refused at the start."""
    source = outputs(work / "a.h5")
    want = taken(work, source)
    (work / "far").mkdir()
    link, target = work / "link.jsonl", work / "far/target.jsonl"
    link.symlink_to(target)
    script("outputs", source, "-o", link)  # the target does not exist yet
    check(link.is_symlink() and read_lines(target) == want and len(list((work / "far").iterdir())) == 1)
    target.write_text("old")
    check("--overwrite" in script("outputs", source, "-o", link, code=2).stderr and target.read_text() == "old")
    script("outputs", source, "-o", link, "--overwrite")
    check(link.is_symlink() and read_lines(target) == want)
    os.mkfifo(work / "pipe.jsonl")
    (work / "to-pipe.jsonl").symlink_to(work / "pipe.jsonl")
    for name in ("pipe.jsonl", "to-pipe.jsonl"):
        for words in ([], ["--overwrite"]):
            said = script("outputs", source, "-o", work / name, *words, code=2).stderr
            check(f"{name}: is not a regular file" in said and said.count("\n") == 1 and (work / "pipe.jsonl").is_fifo(), said)


def damages(path):
    """The file with one damage after another, restored after each."""
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0x80
    for name, what in (("empty", b""), ("garbage", bytes(range(255, 0, -1)) * 8), ("zeroed", bytes(len(whole))), ("half", whole[:len(whole) // 2]),
                       ("a flipped bit", bytes(flipped)), ("appended to", whole + b"\xff more")):
        path.write_bytes(what)
        yield name
    path.unlink()
    path.mkdir()
    yield "a directory"
    path.rmdir()
    path.write_bytes(whole)


def damaged_run_directories(work):
    config = "model:\n  path: /m\ninput:\n  path: none\nsampling:\n  n: 2\n"
    run = work / "run"
    (run / "shards").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps(MANIFEST))
    (run / "config.yaml").write_text(config)
    for name in ("summary.json", "metrics.jsonl", "attempts.jsonl"): (run / name).write_text('{"a": 1}\n')
    for i, (first, last) in enumerate(((0, 2), (2, 4), (4, 5))): outputs(run / f"shards/shard-00000{i}.h5", first, last, config_yaml=config)
    outputs(run / "outputs.h5", config_yaml=config)
    whole = taken(work, run)
    for merged in (True, False):
        if not merged: (run / "outputs.h5").rename(work / "aside.h5")
        for name in ("run.json", "config.yaml"):
            for damage in damages(run / name): check(f"{run / name}: " in refused(run), name, damage)
        for name in ("summary.json", "metrics.jsonl", "attempts.jsonl"):
            for damage in damages(run / name): check(taken(work, run) == whole, name, damage, "what is not needed is not read")
        h5 = run / ("outputs.h5" if merged else "shards/shard-000001.h5")
        for damage in damages(h5):
            if damage == "appended to": check(taken(work, run) == whole, h5, "HDF5 knows where its file ends")
            elif damage == "a flipped bit":  # damage in a number is not noticed, but causes no traceback
                done = script("outputs", run, "--status", "all", code=None)
                check(done.returncode == 0 or done.returncode == 2 and done.stderr.count("\n") == 1, h5, done.stderr)
            else: check(f"{h5}: " in refused(run), h5, damage)
        check(taken(work, run) == whole)
    for text in ("[1]", json.dumps({**MANIFEST, "prompts": "5"}), json.dumps({**MANIFEST, "shard_prompts": 0}), '{"prompts": 5}', "[" * 100000):
        (run / "run.json").write_text(text)
        check("run.json: " in refused(run), text[:80])
    (run / "run.json").unlink()
    check("run.json: " in refused(run), "shards without run.json")
    (work / "aside.h5").rename(run / "outputs.h5")
    check(taken(work, run) == whole, "outputs.h5 needs no run.json")
    (run / "config.yaml").unlink()
    check(taken(work, run) == whole, "nor config.yaml")
    for member in ("completions/status", "completions/text", "completions/prompt_index", "completions/id", "carry/level", "errors/code"):
        source = outputs(work / "m.h5")
        with h5py.File(source, "r+") as f: del f[member]
        if member not in ("carry/level", "completions/text"): check("m.h5: " in refused(source), member)
        with h5py.File(source, "r+") as f: f.create_group(member)
        check("m.h5: " in refused(source), member)
    for ident in ("created_utc", "run_id", "format_version"):
        source = outputs(work / "n.h5", logprobs=False)
        with h5py.File(source, "r+") as f: f.attrs[ident] = np.void(b"\xff\xfe")
        done = script("outputs", source, "--format", "openai-batch", "--limit", "1", code=None)
        check(done.returncode in (0, 2) and done.stderr.count("\n") == (1 if done.returncode else 0), ident, done.stderr)


def outputs_of_another_run(work):
    run = work / "run"
    (run / "shards").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps(MANIFEST))
    outputs(run / "outputs.h5", run_id="f" * 32)
    for source in (run, run / "outputs.h5"):
        said = refused(source)
        check("f" * 32 in said and MANIFEST["run_id"] in said and "outputs.h5" in said and "run.json" in said, said)
    (run / "outputs.h5").unlink()
    for i, (first, last) in enumerate(((0, 2), (2, 4), (4, 5))):
        outputs(run / f"shards/shard-00000{i}.h5", first, last, **({"run_id": "e" * 32} if i == 1 else {}))
    said = refused(run)
    check("shard-000001.h5" in said and "e" * 32 in said, said)


def prompts_that_are_not_there(work):
    """Without prompts.h5 JSON and text, or whole numbers and floats, cannot be distinguished: a note names the columns."""
    prompts = work / "prompts.h5"
    with h5py.File(prompts, "w") as f:
        f["prompt"], f["nest"], f["gap"] = ["p", "q"], ['{"a": 1}', ""], [3.0, float("nan")]
        f["nest"].attrs["moemill_kind"], f["gap"].attrs["moemill_kind"] = "json", "whole"
    maker = OutputsMaker(work / "a.h5", config_yaml=f"input:\n  path: {prompts}\n").rows([0, 1], [0, 0], [0, 1], [b"x", b"y"], [[1]] * 2)
    maker.carry("nest", ['{"a": 1}', ""]).carry("gap", [3.0, float("nan")]).carry("level", [1, 2], "i8").done()
    def kept(*words):
        done = script("outputs", work / "a.h5", "-o", work / "o.jsonl", "--overwrite", *words)
        return [json.dumps([r.get("nest"), r.get("gap")]) for r in read_lines(work / "o.jsonl")], done.stderr
    check(kept() == (['[{"a": 1}, 3]', "[null, null]"], ""), kept())
    prompts.rename(work / "elsewhere.h5")
    rows, said = kept()
    check(rows == ['["{\\"a\\": 1}", 3.0]', '["", null]'] and "note: the prompts.h5 of this run is not available" in said and "gap, nest;" in said, rows, said)
    check(kept("--columns", "level,text")[1] == "" and "gap;" in kept("--json-column", "nest")[1] and "nest" not in kept("--json-column", "nest")[1])
    check(kept("--prompts", work / "elsewhere.h5") == (['[{"a": 1}, 3]', "[null, null]"], ""))


def prompts_that_have_changed(work):
    """Different prompts under the same name and with the same ids: the old answers are not paired with them."""
    prompts = work / "prompts.h5"
    def write(path, words):
        with h5py.File(path, "w") as f: f["prompt"], f["id"] = words, ["a", "b"]
    write(prompts, ["old p", "old q"])
    maker = OutputsMaker(work / "a.h5", config_yaml=f"input:\n  path: {prompts}\n").rows([0, 1], [0, 0], ["a", "b"], [b"x", b"y"], [[1]] * 2)
    maker.file.attrs["input_sha256"] = hashlib.sha256(prompts.read_bytes()).hexdigest()
    maker.carry("topic", ["t", "u"]).done()
    words = ("--format", "prompt-completion")
    want = taken(work, work / "a.h5", *words)
    check([row["prompt"] for row in want] == ["old p", "old q"], want)
    prompts.rename(work / "old.h5")
    write(prompts, ["new p", "new q"])
    for more in (words, ["--prompts", prompts], []):  # also if it is read only for the kinds of the columns
        said = script("outputs", work / "a.h5", *more, code=2).stderr
        check(said.startswith(f"outputs.py: {prompts}: has changed since this run was made") and "--prompts" in said and said.count("\n") == 1, said)
    check(taken(work, work / "a.h5", *words, "--prompts", work / "old.h5") == want)
    prompts.unlink()
    check([row["topic"] for row in taken(work, work / "a.h5")] == ["t", "u"], "the way out where the old file is lost")


def prompts_that_are_stored_another_way(work):
    """The contents of the columns count, not the bytes of the file: an attribute, chunks, or a column unknown to the run change nothing."""
    prompts = work / "prompts.h5"
    def write(word="old", **how):
        with h5py.File(prompts, "w") as f:
            f.create_dataset("prompt", data=[f"{word} p", f"{word} q", "not in the run"], **how)
            f["id"] = ["a", "b", "c"]
    write()
    with h5py.File(prompts) as f: columns = input_columns(f, ["prompt", "id"], 2)
    maker = OutputsMaker(work / "a.h5", config_yaml=f"input:\n  path: {prompts}\n  limit: 2\n")
    maker.rows([0, 1], [0, 0], ["a", "b"], [b"x", b"y"], [[1]] * 2)
    maker.file.attrs["input_columns"], maker.file.attrs["input_sha256"] = columns, hashlib.sha256(columns.encode()).hexdigest()
    maker.done()
    want = taken(work, work / "a.h5", "--format", "prompt-completion")
    write(chunks=(1,), compression="gzip")
    with h5py.File(prompts, "a") as f: f.attrs["note"], f["more"] = "added", [1, 2, 3]
    check(taken(work, work / "a.h5", "--format", "prompt-completion") == want)
    write("new")
    check("differ in prompt)" in script("outputs", work / "a.h5", code=2).stderr)
    with h5py.File(prompts, "a") as f: del f["id"]
    check("differ in id)" in script("outputs", work / "a.h5", code=2).stderr)


def a_run_that_was_extended(work):
    """An outputs.h5 from before the run was extended is not reported as complete."""
    (work / "run").mkdir()
    (work / "run/run.json").write_text(json.dumps({**MANIFEST, "completions": 14}))
    outputs(work / "run/outputs.h5")
    check("has 10 of the 14 rows" in refused(work / "run"))
    done = script("outputs", work / "run", "-o", work / "o.jsonl", "--allow-incomplete")
    check("note: " in done.stderr and "has 10 of the 14 rows" in done.stderr and len(read_lines(work / "o.jsonl")) == 7, done.stderr)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [
        runs_and_shards, files_that_are_not_right, outputs_under_other_names, damaged_run_directories, outputs_of_another_run, prompts_that_are_not_there,
        prompts_that_have_changed, prompts_that_are_stored_another_way, files_under_a_lock, files_that_are_open_already, a_run_that_was_extended], sys.argv[2:])
