#!/usr/bin/env python3
"""scripts/moemill_io.py with the program: the program reads what it writes, it reads what outputs.h5 contains, and it follows a running
run. The README's examples are run unchanged.

    python_io.py WORK_DIR MOEMILL [TEST ...]"""
import contextlib
import importlib.util
import io
import itertools
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading

import h5py
import numpy as np

from tools import SCRIPTS, SOURCE, Skip, check, column, columns, main, read_lines, script

sys.path.insert(0, str(SCRIPTS))
from moemill_io import follow, read_run, write_prompts  # the README's way to import it

PROGRAM = pathlib.Path(sys.argv[2]).resolve()
MODEL = SOURCE / "tests/data/models/mixtral"
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def command(work, *sets, model=MODEL):
    words = [word for pair in sets for word in ("--set", pair)]
    return [PROGRAM, "run", "--model", model, "-i", work / "prompts.h5", "-o", work / "runs/first", "--log-level", "off", *words]


def run(work, *sets, **more):
    done = subprocess.run(command(work, *sets, **more), text=True, capture_output=True, env=ENVIRONMENT, timeout=300)
    check(done.returncode == 0, done.stdout[-2000:], done.stderr[-2000:])
    return work / "runs/first"


def examples_of_the_readme(work):
    blocks = [b for b in re.findall(r"```python\n(.*?)```", (SOURCE / "README.md").read_text(), re.S) if "moemill_io" in b or "read_run" in b or "follow(" in b]
    check(len(blocks) == 3 and all(len(b.splitlines()) <= 4 for b in blocks), blocks)
    names, before = {}, os.getcwd()
    os.chdir(work)
    try:
        exec(blocks[0], names)
        run(work, "sampling.max_tokens=4", "sampling.ignore_eos=true")
        for block in blocks[1:]:
            said = io.StringIO()
            with contextlib.redirect_stdout(said): exec(block, names)
            check(said.getvalue(), block)
    finally:
        os.chdir(before)


def prompts_of_all_kinds(work):
    texts = ["one", "größe 水", ""]
    write_prompts(work / "p.h5", texts, id=["a", "b", "c"], n=[2, None, 1], temperature=0.5, stop=["x", ["y", "z"], None], stop_token_ids=[[1], 2, None], seed=[2**62, None, 0],
                  level=np.arange(3, dtype="i2"), gap=[1, None, 3], real=[0.5, None, 1], flag=[True, False, True], word=["u", None, "w"], tags=[["a"], {"b": 1}, None], **{"a b": 1, "path": "q"})
    got = columns(work / "p.h5")
    check(got["prompt"] == texts and got["id"] == ["a", "b", "c"] and got["n"] == [2, -1, 1] and got["temperature"] == [0.5] * 3, got)
    check(got["stop"] == ['["x"]', '["y", "z"]', ""] and got["stop_token_ids"] == ["[1]", "[2]", ""] and got["seed"] == [2**62, -1, 0], got)
    check(got["level"] == [0, 1, 2] and math.isnan(got["gap"][1]) and got["flag"] == [True, False, True] and got["word"] == ["u", "", "w"], got)
    check([json.loads(t) for t in got["tags"]] == [["a"], {"b": 1}, None] and got["a b"] == [1] * 3 and got["path"] == ["q"] * 3, got)
    write_prompts(work / "p.h5", [[5, 6], [], np.array([7])], id=[1, 2, 3])
    check(columns(work / "p.h5") == {"prompt_token_ids": [[5, 6], [], [7]], "id": [1, 2, 3]})
    before = (work / "p.h5").read_bytes()
    for bad in (lambda: write_prompts(work / "p.h5", []), lambda: write_prompts(work / "p.h5", ["a", 5]), lambda: write_prompts(work / "p.h5", [[1], "a"]),
                lambda: write_prompts(work / "p.h5", [[1.5]]), lambda: write_prompts(work / "p.h5", [[-1]]), lambda: write_prompts(work / "p.h5", ["\ud800"]), lambda: write_prompts(work / "p.h5", ["a"], id=[1, 2]),
                lambda: write_prompts(work / "p.h5", ["a", "b"], id=["x", "x"]), lambda: write_prompts(work / "p.h5", ["a", "b"], id=["x", 1]),
                lambda: write_prompts(work / "p.h5", ["a"], prompt=["b"]), lambda: write_prompts(work / "p.h5", ["a"], **{"a/b": [1]})):
        try:
            bad()
        except ValueError as fault:
            check("write_prompts: " in str(fault), fault)
        else: raise AssertionError("taken")
    check((work / "p.h5").read_bytes() == before and [p.name for p in work.iterdir()] == ["p.h5"], "a fault leaves the file as it was")


class NAType:
    """Like pandas.NA: neither equal nor unequal to anything."""
    def __bool__(self): raise TypeError("boolean value of NA is ambiguous")
    def __eq__(self, other): return self
    def __ne__(self, other): return self
    __hash__ = None


class Column:
    """Like pandas.Series: iterable, with a type of its own or one of numpy's."""
    def __init__(self, values, dtype=None): self.values, self.dtype = values, np.dtype(dtype) if dtype else "category"
    def __iter__(self): return iter(self.values)
    def __len__(self): return len(self.values)
    def to_numpy(self): return np.array(self.values, self.dtype if isinstance(self.dtype, np.dtype) else object)


def columns_of_other_libraries(work):
    """Arrays of texts, tuples, pandas columns: categories, nullable types; NA, NaT and NaN mean no value."""
    na, path = NAType(), work / "p.h5"
    write_prompts(path, Column(["one", "two", "three"]), id=np.array(["a", "b", "c"]), max_tokens=Column([5, na, 7]), temperature=Column([0.5, np.nan, 1], "f8"),
                  ignore_eos=Column([True, na, False]), stop=Column([("x", "y"), na, np.array(["z"])]), seed=Column([2**64 - 1, 2**63, 1], "u8"), kind=Column(["u", na, "u"]),
                  level=Column([1, na, 3]), words=("u", float("nan"), "w"), texts=np.array([b"u", "ü".encode(), b""]), day=np.array(["2026-01-02", "NaT", "2026-01-03"], "M8[D]"),
                  nested=[{"a": na, "b": np.float64(1)}, (np.int32(2),), None], real=np.array([0.5, 1, 2], "longdouble"), sizes=Column([1, 2, 3], "i2"))
    got = columns(path)
    check(got["prompt"] == ["one", "two", "three"] and got["id"] == ["a", "b", "c"] and got["kind"] == got["words"][:1] + ["", "u"], got)
    check(got["max_tokens"] == [5, -1, 7] and got["ignore_eos"] == [1, -1, 0] and got["stop"] == ['["x", "y"]', "", '["z"]'] and got["seed"] == [2**64 - 1, 2**63, 1], got)
    check(got["temperature"][::2] == [0.5, 1] and math.isnan(got["temperature"][1]) and got["level"][::2] == [1, 3] and math.isnan(got["level"][1]), got)
    check(got["words"] == ["u", "", "w"] and got["texts"] == ["u", "ü", ""] and got["day"] == ["2026-01-02", "", "2026-01-03"] and got["real"] == [0.5, 1, 2], got)
    check([json.loads(t) for t in got["nested"]] == [{"a": None, "b": 1}, [2], None], got)
    with h5py.File(path) as f: check(f["level"].attrs["moemill_kind"] == "whole" and f["sizes"].dtype == "i2" and f["ignore_eos"].dtype == "i1")
    write_prompts(path, ((1, 2), np.array([3])), big=[2**63, -1])
    check(columns(path) == {"prompt_token_ids": [[1, 2], [3]], "big": [str(2**63), "-1"]}, columns(path))
    for bad, said in (({"seed": [2**63, None]}, "every prompt needs one"), ({"seed": [2**64, 1]}, "from 0 to 2^64-1"), ({"seed": [1e19, 1]}, "not exact beyond 2^53"),
                      ({"seed": np.array([1e19, 1])}, "not exact"), ({"x": [b"\xff", b""]}, "neither text"), ({"x": [object(), 1]}, "column x holds"), ({"x": {"a": 1, "b": 2}}, "must be a list"),
                      ({"id": Column([1, na])}, "ids must be")):
        try:
            write_prompts(path, ["a", "b"], **bad)
        except ValueError as fault:
            check(said in str(fault), fault)
        else: raise AssertionError(bad)
    if not importlib.util.find_spec("pandas"): return
    import pandas
    table = pandas.DataFrame({"topic": pandas.Categorical(["u", None, "u"]), "level": pandas.array([1, None, 3], "Int64"), "word": pandas.array(["u", None, "w"], "string")})
    write_prompts(path, pandas.Series(["a", "b", "c"]), **table)
    got = columns(path)
    check(got["topic"] == ["u", "", "u"] and got["word"] == ["u", "", "w"] and got["level"][::2] == [1, 3], got)


def rows_and_tables(work):
    count = 40
    write_prompts(work / "prompts.h5", [f"prompt {i}" for i in range(count)], id=[f"r{i}" for i in range(count)], n=[1 + i % 3 for i in range(count)], topic=[f"t{i % 4}" for i in range(count)],
                  level=list(range(count)), price=[None if i == 3 else i / 4 for i in range(count)], pair=np.arange(2 * count).reshape(count, 2), max_tokens=[900 if i == 7 else 3 for i in range(count)])
    path = run(work, "sampling.logprobs=1", "sampling.prompt_logprobs=true", "errors.max_failed_fraction=1", "output.shard_prompts=8", "model.max_model_len=64", "sampling.ignore_eos=true")
    whole = read_run(path)
    rows = list(whole)
    with h5py.File(path / "outputs.h5") as f:
        c = f["completions"]
        check(len(whole) == len(rows) == len(c["status"]) == sum(1 + i % 3 for i in range(count)))
        for name in ("id", "prompt_index", "sample_index", "num_prompt_tokens", "num_completion_tokens", "seed", "text", "token_ids"):
            check([r[name] for r in rows] == column(c, name), name)
        check([{"ok": 1, "failed": 2}[r["status"]] for r in rows] == c["status"][:].tolist())
        scores = column(f, "prompt_logprobs")
        errors = {(p, s): code.decode() for p, s, code in zip(f["errors/prompt_index"][:].tolist(), f["errors/sample_index"][:].tolist(), f["errors/code"][:].tolist())}
    for row in rows:
        i = row["prompt_index"]
        check(row["topic"] == f"t{i % 4}" and row["level"] == i and row["price"] == (None if i == 3 else i / 4) and row["pair"] == [2 * i, 2 * i + 1], row)
        check(row["error_code"] == errors.get((i, row["sample_index"])) and (row["error_code"] is None) == (row["status"] == "ok"), row)
        check(len(row["logprobs"]) == len(row["token_ids"]) == len(row["top_logprobs"]) and [None if v != v else v for v in scores[i]] == row["prompt_logprobs"], row)
        check(row["status"] != "ok" or abs(sum(row["logprobs"]) - row["cumulative_logprob"]) < 1e-3, row)
    check(errors, "row 7 is too long")
    table = whole.table()
    check(set(table) == set(rows[0]) == set(whole.columns()) and all(isinstance(v, np.ndarray) and len(v) == len(rows) for v in table.values()))
    check(table["level"].dtype == "int64" and table["price"].dtype == "float64" and table["num_prompt_tokens"].dtype == "uint32" and table["text"].tolist() == [r["text"] for r in rows])
    few = whole.table("id", "text", "topic")
    check(list(few) == ["id", "text", "topic"] and (few["topic"][few["id"] == "r5"] == "t1").all(), few)
    if importlib.util.find_spec("pandas"):
        import pandas
        check(pandas.DataFrame(table).groupby("topic").size().sum() == len(rows))
    try:
        whole.table("nothing")
    except KeyError as fault:
        check("has no column nothing" in str(fault) and "topic" in str(fault), fault)
    shards = sorted((path / "shards").glob("*.h5"))
    if shards: check([r for s in shards for r in read_run(s)] == rows, "a shard's rows are those of the run")
    manifest = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**manifest, "completions": len(rows) + 1}))
    try:
        read_run(path)
    except ValueError as fault:
        check("was extended" in str(fault), fault)
    else: raise AssertionError("outputs.h5 of before a run was extended")
    for bad in (work / "nowhere", work / "prompts.h5", work):
        try:
            read_run(bad)
        except (OSError, ValueError) as fault:
            check(str(bad) in str(fault), fault)
        else: raise AssertionError(bad)


def settings_of_some_rows(work):
    """None means the run's setting, in a column of any kind, in some rows or in all: the program accepts the file."""
    nothing = dict.fromkeys(("n", "top_k", "min_tokens", "seed", "logprobs", "temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "stop"))
    write_prompts(work / "prompts.h5", [f"prompt {i}" for i in range(3)], max_tokens=[2, None, 5.0], ignore_eos=[True, None, True], add_special_tokens=[False, None, True],
                  stop_token_ids=[2, None, []], **nothing)
    done = {r["prompt_index"]: r for r in read_run(run(work, "sampling.max_tokens=4", "sampling.ignore_eos=true"))}
    check([done[i]["num_completion_tokens"] for i in range(3)] == [2, 4, 5], done)
    check(done[0]["num_prompt_tokens"] < done[2]["num_prompt_tokens"] == done[1]["num_prompt_tokens"], "one without a BOS", done)
    shutil.rmtree(work / "runs")
    write_prompts(work / "prompts.h5", ["a", "b"], max_tokens=None, ignore_eos=None, add_special_tokens=None, presence_penalty=[-1, None], frequency_penalty=[1, -1], top_p=np.array([np.nan, 1]),
                  min_tokens=np.array([np.nan, 2]), n=np.array([2, -1], "i2"))
    check([r["num_completion_tokens"] for r in read_run(run(work, "sampling.max_tokens=3", "sampling.ignore_eos=true"))] == [3] * 3)


def logprobs_of_some_rows(work):
    """Rows that asked for fewer logprobs, or for none, have no fillers as data, here and in outputs.py, whatever else the run stored."""
    asked = [3, 1, None, 0]
    write_prompts(work / "prompts.h5", ["a", "b", "c", "d"], logprobs=asked)
    for store in ("[text]", "[text, token_ids]"):
        path = run(work, "sampling.max_tokens=2", "sampling.ignore_eos=true", f"output.store={store}")
        rows = list(read_run(path))
        for row, k in zip(rows, asked):
            if k is None: check([row[n] for n in ("logprobs", "top_ids", "top_logprobs", "cumulative_logprob")] == [None] * 4, row)
            else: check(len(row["logprobs"]) == 2 and [len(t) for t in row["top_ids"]] == [len(t) for t in row["top_logprobs"]] == [k] * 2, k, row)
        for names in ("logprobs,top_ids,top_logprobs", "top_ids", "top_logprobs", "logprobs"):
            script("outputs", path, "-o", work / "o.jsonl", "--overwrite", "--columns", names)
            got, want = read_lines(work / "o.jsonl"), [{n: row[n] for n in names.split(",")} for row in rows]
            check(json.loads(json.dumps(got), parse_float=np.float32) == json.loads(json.dumps(want), parse_float=np.float32), got, want)
        shutil.rmtree(work / "runs")


def follow_shards(work):
    """Shards appear, are removed when outputs.h5 is complete, and each row is returned once."""
    write_prompts(work / "prompts.h5", [f"prompt {i}" for i in range(20)], n=2)
    path = run(work, "output.shard_prompts=4", "sampling.max_tokens=2", "output.keep_shards=true" if takes_keep_shards(work) else "sampling.seed=0")
    want = [(r["prompt_index"], r["sample_index"], r["text"]) for r in read_run(path)]
    fake = work / "fake"
    (fake / "shards").mkdir(parents=True)
    def bring(number): shutil.copy(path / f"shards/shard-{number:06}.h5", fake / "shards")
    rows = follow(fake, poll_seconds=0.01, timeout_seconds=60)
    def take(count): return [(r["prompt_index"], r["sample_index"], r["text"]) for r in itertools.islice(rows, count)]
    began = threading.Timer(0.2, lambda: (bring(0), shutil.copy(path / "run.json", fake / "run.json")))  # it may start before the run does
    began.start()
    got = take(8)
    began.join()
    bring(3), (fake / "shards/shard-000000.h5").unlink()
    got += take(8)
    check(got == want[:8] + want[24:32], got)
    shutil.copy(path / "outputs.h5", fake)
    (fake / "shards/shard-000003.h5").unlink()
    rest = [(r["prompt_index"], r["sample_index"], r["text"]) for r in rows]
    check(rest == want[8:24] + want[32:], rest)
    (fake / "outputs.h5").unlink()
    for number in range(5): bring(number)
    check([(r["prompt_index"], r["sample_index"], r["text"]) for r in follow(fake, 0.01, 60)] == want, "a run that makes no outputs.h5 ends with its last shard")
    (fake / "shards/shard-000002.h5").write_bytes(b"half")
    for wrong, kind in ((lambda: list(follow(fake, 0.01, 0.1)), TimeoutError), (lambda: list(follow(work / "none", 0.01, 0.1)), TimeoutError)):
        try:
            wrong()
        except kind as fault:
            check("moemill status" in str(fault), fault)
        else: raise AssertionError("ended")


def takes_keep_shards(work):
    done = subprocess.run([*command(work), "--set", "output.keep_shards=true", "--dry-run"], capture_output=True, text=True, env=ENVIRONMENT)
    return "unknown key" not in done.stderr + done.stdout


def follow_a_running_program(work):
    write_prompts(work / "prompts.h5", [f"prompt {i}" for i in range(48)])
    job = subprocess.Popen(command(work, "output.shard_prompts=2", "sampling.max_tokens=8", "parallel.max_num_seqs=2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT)
    rows = list(follow(work / "runs/first", poll_seconds=0.02, timeout_seconds=120))
    check(job.wait(timeout=120) == 0, job.stderr.read())
    job.stderr.close()
    check(sorted(r["prompt_index"] for r in rows) == list(range(48)))
    by_index = {r["prompt_index"]: r["text"] for r in rows}
    check(all(by_index[r["prompt_index"]] == r["text"] for r in read_run(work / "runs/first")))


def without_file_locks(work):
    if not shutil.which("cc"): raise Skip("there is no C compiler")
    write_prompts(work / "prompts.h5", ["one"])
    path = run(work, "sampling.max_tokens=2")
    (work / "no_flock.c").write_text("#include <errno.h>\nint flock(int fd, int op) { (void)fd; (void)op; errno = ENOLCK; return -1; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", work / "no_flock.so", work / "no_flock.c"], check=True)
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); from moemill_io import *; print(len(list(read_run({str(path)!r})))); write_prompts('new.h5', ['x'])"
    demo, without = SOURCE / "configs/demo", dict(os.environ, LD_PRELOAD=str(work / "no_flock.so"))
    for words in (["-c", code], [demo / "make_prompts.py", demo / "prompts.jsonl", work / "demo.h5"]):
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=without, cwd=work)
        check(done.returncode == 0 and done.stdout in ("1\n", f"{work}/demo.h5: 256 prompts\n"), done.stdout, done.stderr)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [examples_of_the_readme, prompts_of_all_kinds, columns_of_other_libraries, rows_and_tables, settings_of_some_rows, logprobs_of_some_rows, follow_shards, follow_a_running_program, without_file_locks], sys.argv[3:])
