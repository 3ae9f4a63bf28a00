#!/usr/bin/env python3
"""What scripts/outputs.py, report.py and moemill_io.py say of files that they cannot read, of names and of options that are not right: a
cure that loses nothing.

    faults_out.py WORK_DIR [TEST ...]"""
import json
import pathlib
import sys

from tools import OutputsMaker, check, main, script  # puts scripts/ on the path

import moemill_io
from moemill_tools import run_files

MANIFEST = {"run_id": "0123456789abcdef0123456789abcdef", "prompts": 2, "completions": 2, "shard_prompts": 1}


def run_of(folder, merged=True, shards=(), config=""):
    """A run's folder as far as scripts look."""
    (folder / "shards").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({**MANIFEST, "shards_removed": not shards}))
    (folder / "config.yaml").write_text(config)
    files = [(folder / f"shards/shard-{i:06}.h5", [i]) for i in shards] + [(folder / "outputs.h5", [0, 1])] * merged
    for path, prompts in files:
        OutputsMaker(path, config_yaml=config).rows(prompts, [0] * len(prompts), prompts, [b"x"] * len(prompts), [[1]] * len(prompts)).done()
    return folder


def halve(path): path.write_bytes(path.read_bytes()[:3000])


def advice_that_loses_nothing(work):
    """A damaged outputs.h5 is moved away only where the shards are there to make it of."""
    alone, both = run_of(work / "alone"), run_of(work / "both", shards=(0, 1))
    for run in (alone, both): halve(run / "outputs.h5")
    said = script("outputs", alone, code=2).stderr
    check("take it from a copy, and keep it until then" in said and f"moemill verify {alone}" in said and "remove" not in said and "move it away" not in said, said)
    said = script("outputs", both, code=2).stderr
    check("move it away" in said and "of the run's shards" in said, said)
    (both / "outputs.h5").unlink()
    halve(both / "shards/shard-000001.h5")
    check("computes its rows again" in (said := script("outputs", both, code=2).stderr), said)
    halve(run_of(work / "other") / "outputs.h5")
    (work / "other/outputs.h5").rename(work / "p.h5")
    check((said := script("outputs", work / "p.h5", code=2).stderr).rstrip().endswith("take it from a copy"), said)


def files_of_others(work):
    """A file that may not be read is not damaged: the answer is about permission."""
    run = run_of(work / "run")
    opened, parsed = run_files.open_unlocked, pathlib.Path.read_bytes
    def denied(path, *_): raise PermissionError(13, f"unable to open {path}, errno = 13")
    run_files.open_unlocked = denied
    try:
        said = script("outputs", run, code=2).stderr
    finally:
        run_files.open_unlocked = opened
    check(f"{run / 'outputs.h5'}: cannot be read: Permission denied (its owner" in said and "damaged" not in said and "copy" not in said, said)
    pathlib.Path.read_bytes = denied
    try:
        said = script("outputs", run, code=2).stderr
    finally:
        pathlib.Path.read_bytes = parsed
    check("run.json: cannot be read: Permission denied" in said and "damaged" not in said, said)
    opened, moemill_io.opened = moemill_io.opened, denied
    try:
        next(moemill_io.follow(run, 0.1, 2))
        check(False, "follow() waits for a file that it will never be given")
    except PermissionError:
        pass
    finally:
        moemill_io.opened = opened


def runs_without_outputs(work):
    """read_run of a run that merges nothing says how its rows are read."""
    run = run_of(work / "run", merged=False, shards=(0, 1), config="output:\n  merge: false\n")
    try:
        moemill_io.read_run(run)
        check(False, "there is nothing to read")
    except FileNotFoundError as fault:
        check("makes no outputs.h5 (output.merge: false)" in str(fault) and "follow(" in str(fault), fault)
    check([row["id"] for row in moemill_io.follow(run)] == [0, 1] and len(moemill_io.read_run(run / "shards/shard-000001.h5")) == 1)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [advice_that_loses_nothing, files_of_others, runs_without_outputs], sys.argv[2:])
