#!/usr/bin/env python3
"""Messages of scripts/outputs.py, report.py and moemill_io.py about files that they cannot read, and about wrong names and options: the
advice loses nothing.

    faults_out.py WORK_DIR [TEST ...]"""
import json
import pathlib
import sys
import unittest.mock

import h5py

from tools import OutputsMaker, check, columns, main, read_lines, script, write_lines  # puts scripts/ on the path

import moemill_io
from moemill_tools import run_files

MANIFEST = {"run_id": "0123456789abcdef0123456789abcdef", "prompts": 2, "completions": 2, "shard_prompts": 1}


def run_of(folder, merged=True, shards=(), config="sampling:\n  n: 1\n"):
    """The parts of a run's folder that scripts read."""
    (folder / "shards").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({**MANIFEST, "shards_removed": not shards}))
    (folder / "config.yaml").write_text(config)
    files = [(folder / f"shards/shard-{i:06}.h5", [i]) for i in shards] + [(folder / "outputs.h5", [0, 1])] * merged
    for path, prompts in files:
        OutputsMaker(path, config_yaml=config).rows(prompts, [0] * len(prompts), prompts, [b"x"] * len(prompts), [[1]] * len(prompts)).done()
    return folder


def halve(path): path.write_bytes(path.read_bytes()[:3000])


def advice_that_loses_nothing(work):
    """A damaged outputs.h5 is moved away only if its shards exist to make it again."""
    alone, both = run_of(work / "alone"), run_of(work / "both", shards=(0, 1))
    for run in (alone, both): halve(run / "outputs.h5")
    said = script("outputs", alone, code=2).stderr
    check("restore it from a copy, and keep it until then" in said and f"moemill verify {alone}" in said and "remove" not in said and "move it away" not in said, said)
    said = script("outputs", both, code=2).stderr
    check("move it away" in said and "from the run's shards" in said, said)
    (both / "outputs.h5").unlink()
    halve(both / "shards/shard-000001.h5")
    check("computes its rows again" in (said := script("outputs", both, code=2).stderr), said)
    halve(run_of(work / "other") / "outputs.h5")
    (work / "other/outputs.h5").rename(work / "p.h5")
    check((said := script("outputs", work / "p.h5", code=2).stderr).rstrip().endswith("restore it from a copy"), said)


def files_of_others(work):
    """A file that may not be read is not damaged: the message is about permission."""
    run = run_of(work / "run")
    opened, parsed = run_files.open_unlocked, pathlib.Path.read_bytes
    def denied(path, *_): raise PermissionError(13, f"unable to open {path}, errno = 13")
    run_files.open_unlocked = denied
    try:
        said = script("outputs", run, code=2).stderr
    finally:
        run_files.open_unlocked = opened
    check(f"{run / 'outputs.h5'}: cannot be read: Permission denied (ask its owner" in said and "damaged" not in said and "copy" not in said, said)
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
    """read_run of a run without merge says how its rows can be read."""
    run = run_of(work / "run", merged=False, shards=(0, 1), config="output:\n  merge: false\n")
    try:
        moemill_io.read_run(run)
        check(False, "there is nothing to read")
    except FileNotFoundError as fault:
        check("makes no outputs.h5 (output.merge: false)" in str(fault) and "follow(" in str(fault), fault)
    check([row["id"] for row in moemill_io.follow(run)] == [0, 1] and len(moemill_io.read_run(run / "shards/shard-000001.h5")) == 1)


def faults_of_the_command_line(work):
    """One line with the name under which the command was called; its help uses that name too."""
    for name in ("prompts", "outputs", "report"):
        said = script(name, "--nonsense", code=2).stderr
        check(said.startswith(f"{name}.py: ") and said.endswith(f"({name}.py --help lists the options)\n") and said.count("\n") == 1, said)
        with unittest.mock.patch.object(sys, "argv", [f"/opt/bin/moemill-{name}"]):
            said, told = script(name, "--nonsense", code=2).stderr, script(name, "--help").stdout
            check(said.startswith(f"moemill-{name}: ") and told.startswith(f"usage: moemill-{name} ") and "prompts.py" not in told and "outputs.py" not in told, said)
            missing = ["-o", work / "p.h5"] if name == "prompts" else []
            check(script(name, work / "none.jsonl", *missing, code=2).stderr.startswith(f"moemill-{name}: "))


def words_of_notes(work):
    """Notes are understandable without the code, and names of files say what is in them."""
    run = run_of(work / "run")
    check("note: 2 left out: its status is not failed (--status)\n" == script("outputs", run, "--status", "failed").stderr)
    check("note: 2 left out: number of tokens (--min-tokens, --max-tokens)\n" == script("outputs", run, "--min-tokens", "2").stderr)
    said = script("outputs", run, "-o", work / "x.json", code=2).stderr
    check("x.json: .json is one JSON value" in said and "name it x.jsonl" in said and not (work / "x.json").exists(), said)
    check("name it y.jsonl.gz" in script("outputs", run, "-o", work / "y.json.gz", code=2).stderr)
    rows = write_lines(work / "a.jsonl", [{"prompt": "x", "logit_bias": {"5": 1}}])
    check("which 1 row asks for" in script("prompts", rows, "-o", work / "p.h5", "--quiet").stderr)


def rows_count_from_one(work):
    """As in lines, the first row of a table is row 1."""
    with h5py.File(work / "a.h5", "w") as file: file["prompt"], file["n"] = ["x", "y"], [1, 0]
    check("a.h5: row 2: n is 0" in script("prompts", work / "a.h5", "-o", work / "p.h5", code=2).stderr)
    script("prompts", work / "a.h5", "-o", work / "p.h5", "--on-error", "skip", "--quiet")
    check([line["row"] for line in read_lines(work / "p.h5.skipped.jsonl")] == [2])


def files_that_are_not_utf8(work):
    """The kinds of wrong files and how to convert them; a byte order mark of UTF-8 is not part of the first name."""
    def refused(name, data, *words):
        (work / name).write_bytes(data)
        return script("prompts", work / name, "-o", work / "p.h5", "--overwrite", *words, code=2).stderr
    csv, lines = "prompt,topic\nx,y\ngrün,é\n", '{"prompt": "grün"}\n'
    for encoding, told in (("utf-16", "UTF-16"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE")):
        for name, text in (("a.csv", csv), ("a.jsonl", lines)):
            said = refused(name, text.encode(encoding))
            check(f"{name}: is {told}, and text is read as UTF-8: iconv -f {told} -t UTF-8 {work / name} > NEW_FILE" in said, encoding, said)
    said = refused("b.csv", csv.encode("latin-1"))
    check("line 3: is not UTF-8: the byte 0xfc" in said and "iconv -f LATIN1 -t UTF-8 FILE" in said, said)
    check("its first line is not UTF-8" in refused("c.csv", "größe,prompt\n1,x\n".encode("latin-1")))
    check("line 1: is not UTF-8" in (said := refused("b.jsonl", lines.encode("latin-1"))) and "iconv -f LATIN1" in said, said)
    for name, text in (("d.csv", csv), ("d.jsonl", lines), ("d.json", "[" + lines.strip() + "]")):
        (work / name).write_bytes(text.encode("utf-8-sig"))
        script("prompts", work / name, "-o", work / "p.h5", "--overwrite", "--quiet")
        check(columns(work / "p.h5")["prompt"][-1] in ("grün", "é"), name)
    (work / "s.csv").write_bytes("id,score\n0,1\n".encode("utf-16"))
    check("iconv -f UTF-16 -t UTF-8" in script("outputs", run_of(work / "run"), "--scores", work / "s.csv", code=2).stderr)


def folders_that_take_no_file(work):
    """The output is named, not a temporary file."""
    rows = write_lines(work / "a.jsonl", [{"prompt": "x", "id": 1}])
    for name, words in (("prompts", [rows]), ("outputs", [run_of(work / "run")]), ("report", [work / "run"])):
        said = script(name, *words, "-o", "/proc/p.jsonl", code=1).stderr
        check(said.startswith(f"{name}.py: /proc/p.jsonl: No such file or directory"), said)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [advice_that_loses_nothing, files_of_others, runs_without_outputs, faults_of_the_command_line, words_of_notes,
                                               rows_count_from_one, files_that_are_not_utf8, folders_that_take_no_file], sys.argv[2:])
