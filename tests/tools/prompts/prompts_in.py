#!/usr/bin/env python3
"""scripts/prompts.py: kinds of input, types of columns, ids, bad rows, memory.

    prompts_in.py WORK_DIR [TEST ...]"""
import gzip
import json
import math
import os
import pathlib
import sys
import uuid

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from million import measured  # noqa: E402
from tools import HAS_PYARROW, SCRIPTS, SOURCE, check, columns, main, needs_pyarrow, read_lines, script, write_lines  # noqa: E402

DATA = SOURCE / "tests/data/tools"
SHARED = pathlib.Path(os.environ.get("MOEMILL_SHARED", SOURCE.parent / "shared"))
ROWS = [{"id": f"q{i}", "prompt": text, "temperature": 0.25 * (i % 3), "n": 1 + i, "level": i - 2, "score": i / 4, "topic": topic,
         "good": i % 2 == 0} for i, (text, topic) in enumerate([("one", "a"), ("größe 水 👋🏽", "b,c"), ('line\nbreak "q"', "ü"), ("", "")])]


def made(folder, source, *words, code=0):
    done = script("prompts", *(source if isinstance(source, list) else [source]), "-o", folder / "p.h5", "--overwrite", "--quiet",
                  *words, code=code)
    return columns(folder / "p.h5") if code == 0 else done.stderr


def jsonl_columns(work):
    got = made(work, write_lines(work / "a.jsonl", ROWS))
    for name in ROWS[0]: check(got[name] == [r[name] for r in ROWS], name, got[name])
    with h5py.File(work / "p.h5") as f:
        check({n: str(f[n].dtype) for n in ("n", "temperature", "level", "score", "good")} ==
              {"n": "int64", "temperature": "float64", "level": "int64", "score": "float64", "good": "bool"})
        check(f["prompt/values"].dtype == np.uint8 and f["prompt/offsets"].dtype == np.uint64)
    with open(work / "a.jsonl", "rb") as f: (work / "b.jsonl").write_bytes(b"\xef\xbb\xbf" + f.read().replace(b"\n", b"\r\n\r\n"))
    check(made(work, work / "b.jsonl") == got, "a BOM, CRLF and empty lines are no rows")
    with gzip.open(work / "c.jsonl.gz", "wb") as f: f.write((work / "a.jsonl").read_bytes())
    check(made(work, work / "c.jsonl.gz") == got)
    twice = [write_lines(work / f"{k}.jsonl", ROWS[k * 2:k * 2 + 2]) for k in range(2)]
    check(made(work, twice) == got, "two files behind one another")


def csv_columns(work):
    (work / "a.csv").write_text('id,prompt,n,temperature,level,zip,note,empty,price\n'
                                'q0,"line\nbreak, ""q""",2,0.5,-3,01234,x,,1.50\nq1,größe,,1,4,5,,,2\n', encoding="utf-8")
    got = made(work, work / "a.csv")
    check(got["prompt"] == ['line\nbreak, "q"', "größe"] and got["n"] == [2, -1] and got["temperature"] == [0.5, 1.0], got)
    check(got["level"] == [-3, 4] and got["zip"] == ["01234", "5"] and got["note"] == ["x", ""] and got["empty"] == ["", ""], got)
    check(got["price"] == [1.5, 2.0], got)
    (work / "b.tsv").write_text("id\ttext\n007\tone\n8\ttwo\n")
    got = made(work, work / "b.tsv", "--prompt-column", "text")
    check(got == {"id": ["007", "8"], "prompt": ["one", "two"]}, got)
    (work / "c.csv").write_text("id;prompt\n3;one\n-1;two\n")
    got = made(work, work / "c.csv", "--delimiter", ";")
    check(got["id"] == [3, -1], got)
    check(made(work, work / "b.tsv", "--delimiter", "\\t", "--prompt-column", "text")["id"] == ["007", "8"], "a tab as typed in a shell")
    for bad in ("||", "", "\n", '"'): check("one character" in made(work, work / "c.csv", "--delimiter", bad, code=2), bad)
    (work / "d.csv").write_text("\n\nid,prompt\n1,a\n\n2,b\n")
    got = made(work, work / "d.csv")
    check(got == {"id": [1, 2], "prompt": ["a", "b"]}, got)


def parquet_and_datasets(work):
    needs_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq
    want = made(work, write_lines(work / "a.jsonl", ROWS))
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, work / "a.parquet", row_group_size=3)
    check(made(work, work / "a.parquet") == want)

    def arrow(path, part, opener=pa.ipc.new_stream):
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(str(path), "wb") as f, opener(f, part.schema) as w: w.write_table(part)
    saved = work / "saved"
    arrow(saved / "data-00000-of-00002.arrow", table.slice(0, 3))
    arrow(saved / "data-00001-of-00002.arrow", table.slice(3))
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": f"data-0000{i}-of-00002.arrow"} for i in range(2)]}))
    (saved / "dataset_info.json").write_text("{}")
    check(made(work, saved) == want)
    arrow(work / "file.arrow", table, pa.ipc.new_file)
    check(made(work, work / "file.arrow") == want)
    both = work / "both"
    both.mkdir()
    (both / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    saved.rename(both / "train")
    check("train" in (fault := made(work, both, code=2)) and "--split" in fault, fault)
    check(made(work, both, "--split", "train") == want)
    hub = work / "hub/data"
    hub.mkdir(parents=True)
    for i in range(2): pq.write_table(table.slice(2 * i, 2), hub / f"train-0000{i}-of-00002.parquet")
    pq.write_table(table.slice(1, 1), hub / "test-00000-of-00001.parquet")
    check("test, train" in made(work, work / "hub", code=2))
    check(made(work, work / "hub", "--split", "train") == want and len(made(work, work / "hub", "--split", "test")["id"]) == 1)


def parquet_types(work):
    needs_pyarrow()
    import datetime
    import decimal
    import pyarrow as pa
    import pyarrow.parquet as pq
    pq.write_table(pa.table({"prompt": ["a", "b"], "day": [datetime.date(2026, 1, 2), None], "cost": [decimal.Decimal("1.50"), None],
                             "tags": [["x", "ü"], None], "small": pa.array([1, None], pa.int8()), "f": pa.array([0.5, None], pa.float32()),
                             "big": pa.array([2**64 - 1, 0], pa.uint64()), "code": [b"text", b""], "at": [{"x": 1, "y": [2]}, None]}),
                   work / "a.parquet")
    got = made(work, work / "a.parquet")
    check(got["day"] == ["2026-01-02", ""] and got["cost"] == ["1.50", ""] and got["code"] == ["text", ""], got)
    check([json.loads(t) for t in got["tags"]] == [["x", "ü"], None] and json.loads(got["at"][0]) == {"x": 1, "y": [2]}, got)
    check(got["small"][0] == 1 and math.isnan(got["small"][1]) and got["f"][0] == 0.5 and got["big"] == [2**64 - 1, 0], got)
    pq.write_table(pa.table({"prompt": ["a"], "image": [b"\xff\xd8"]}), work / "b.parquet")
    check("row 1" in (fault := made(work, work / "b.parquet", code=2)) and "image" in fault, fault)
    check("prompt" in made(work, work / "b.parquet", "--drop", "image"))
    for name, odd in (("ns", pa.array([10**9, 1], pa.timestamp("ns"))), ("lasts", pa.array([10**9, 1], pa.duration("ns"))), ("t", pa.array([0, 1], pa.time64("ns"))),
                      ("old", pa.array([0, -800000], pa.date32())), ("far", pa.array([0, 10**15], pa.timestamp("ms"))), ("list", pa.array([[], [1]], pa.list_(pa.timestamp("ns"))))):
        pq.write_table(pa.table({"prompt": ["a", "b"], name: odd}), work / "c.parquet", row_group_size=1)
        fault = made(work, work / "c.parquet", code=2)
        check(f"c.parquet: column {name} (" in fault and f"--drop {name}" in fault, fault)
        check(made(work, work / "c.parquet", "--drop", name) == {"prompt": ["a", "b"]})
    if hasattr(pa, "uuid"):
        ids = [bytes([i] * 16) for i in range(2)]
        pq.write_table(pa.table({"prompt": ["a", "b"], "id": pa.array(ids, pa.uuid()), "parent": pa.array([None, ids[0]], pa.uuid())}), work / "d.parquet")
        got = made(work, work / "d.parquet")
        check(got["id"] == [str(uuid.UUID(bytes=i)) for i in ids] and got["parent"] == ["", got["id"][0]], got)


def types_of_columns(work):
    rows = [{"prompt": "a", "i": 1, "f": 1, "m": 1, "late": 5, "nul": "x\0y", "u": 2**63, "b": True, "bn": True, "big": 2**60, "all": None},
            {"prompt": "b", "i": None, "f": 0.5, "m": "x", "nul": "z", "u": 0, "b": False, "bn": None, "big": None, "nest": {"ü": [1]}}]
    got = made(work, write_lines(work / "a.jsonl", rows))
    check(got["i"][0] == 1 and math.isnan(got["i"][1]) and got["f"] == [1.0, 0.5] and got["u"] == [2**63, 0], got)
    check(got["b"] == [True, False] and got["all"] == ["", ""], got)
    for name in ("m", "nul", "bn", "big", "nest"):
        check([json.loads(v) for v in got[name]] == [r.get(name) for r in rows], name, got[name])
    with h5py.File(work / "p.h5") as f:
        check({n: f[n].attrs["moemill_kind"] for n in f if "moemill_kind" in f[n].attrs} ==
              {"m": "json", "nul": "json", "bn": "json", "big": "json", "nest": "json", "i": "whole", "late": "whole"})
    many = [{"prompt": "x", "late": i} if i > 4000 else {"prompt": "x"} for i in range(5000)]
    late = made(work, write_lines(work / "b.jsonl", many))["late"]
    check(math.isnan(late[0]) and late[4001:] == list(range(4001, 5000)), "a column that comes late")


def mistyped_options(work):
    path = write_lines(work / "a.jsonl", [{"prompt": "x", "a": 1, "b": 2}])
    def fault(*words): return made(work, path, *words, code=2)
    check("--map max_new_token=max_tokens: there is no column max_new_token" in fault("--map", "max_new_token=max_tokens"))
    check("--map a=b: the column b exists already" in fault("--map", "a=b"))
    for words in (("a=c", "b=c"), ("a=c", "a=d")): check("twice" in fault("--map", words[0], "--map", words[1]), words)
    got = made(work, path, "--map", "a=b", "--map", "b=a")
    check(got["a"] == [2] and got["b"] == [1], got)
    (work / "t.jinja").write_text("{% if thinking %}yes{% else %}no{% endif %}{{ thinking is none }}")
    for value, want in (("False", "noFalse"), ("false", "noFalse"), ("True", "yesFalse"), ("None", "noTrue"), ("off", "yesFalse")):
        got = made(work, path, "--user-turn", "--chat-template", work / "t.jinja", "--template-arg", f"thinking={value}")
        check(got["prompt"] == [want], value, got)


def names_of_columns(work):
    row = {"prompt": "a", "a/b": 1, "input_prompt": 2, "messages": [{"role": "user", "content": "x"}], "keep": 3}
    path = write_lines(work / "a.jsonl", [row])
    got = made(work, path, "--prompt-column", "prompt", "--map", "keep=id")
    check(set(got) == {"prompt", "a_b", "input_prompt", "messages", "id"} and got["id"] == [3], got)
    check("messages and prompt" in made(work, path, code=2))
    check(set(made(work, path, "--prompt-column", "prompt", "--keep", "keep,a/b", "--drop", "keep")) == {"prompt", "a_b"})
    check("--drop/--keep nothing" in made(work, path, "--prompt-column", "prompt", "--drop", "nothing", code=2))
    check("there is no such column" in made(work, path, "--prompt-column", "text", code=2))
    check("prompt or messages" in made(work, write_lines(work / "b.jsonl", [{"text": "x"}]), code=2))
    got = made(work, write_lines(work / "c.jsonl", [{"text": "x", "prompt": "y", "n": 5}]), "--prompt-column", "text", "--map", "n=count")
    check(got == {"prompt": ["x"], "input_prompt": ["y"], "count": [5]}, got)
    path = write_lines(work / "d.jsonl", [{"prompt": "a", "a/b": 1, "a_b": 2, "": 3, "column": 4, "id": 5, "x": 6}])
    done = script("prompts", path, "-o", work / "d.h5", "--id-column", "x", "--quiet")
    got = {name: values[0] for name, values in columns(work / "d.h5").items()}
    check(got == {"prompt": "a", "a_b_": 1, "a_b": 2, "column_": 3, "column": 4, "input_id": 5, "id": 6}, "no column takes the name of another", got)
    check(done.stderr.count("other names: a/b is a_b_, '' is column_, id is input_id") == 1, done.stderr)


def ids(work):
    def faults(rows, *words): return made(work, write_lines(work / "a.jsonl", rows), *words, code=2)
    rows = [{"prompt": "x", "id": i % 3000} for i in range(4000)]
    fault = faults(rows)
    check("line 3001" in fault and "a.jsonl: line 1:" in fault and "id 0" in fault, fault)
    check("id" not in made(work, work / "a.jsonl", "--id-column", "none"))
    done = script("prompts", work / "a.jsonl", "-o", work / "s.h5", "--on-error", "skip", "--quiet")
    check(len(columns(work / "s.h5")["id"]) == 3000 and len(read_lines(work / "s.h5.skipped.jsonl")) == 1000, done.stderr)
    check("line 2" in faults([{"prompt": "x", "id": 1}, {"prompt": "y"}]))
    check("ids must be text or whole numbers, some are float" in faults([{"prompt": "x", "id": 1.5}]))
    check("some are bool" in faults([{"prompt": "x", "id": True}]))
    for empty in ({"prompt": "y", "id": ""}, {"prompt": "y", "id": None}):
        for first in (1, "a"): check("line 2: id (id) is missing, null or empty" in faults([{"prompt": "x", "id": first}, empty]), empty)
    got = made(work, write_lines(work / "b.jsonl", [{"prompt": "x", "id": 1.0}, {"prompt": "y", "id": 2}]))
    check(got["id"] == [1, 2] and type(got["id"][0]) is int, got)
    check("line 2" in faults([{"prompt": "x", "id": 1.0}, {"prompt": "x", "id": 1}]))
    got = made(work, write_lines(work / "b.jsonl", [{"prompt": "x", "id": 1.0}, {"prompt": "y", "id": "1.0"}, {"prompt": "z", "id": "a"}]))
    check(got["id"] == ["1", "1.0", "a"], got)
    (work / "d.csv").write_text("id,prompt\n1.0,x\n2.0,y\n")  # as pandas writes whole numbers beside a null
    check(made(work, work / "d.csv")["id"] == [1, 2])
    (work / "d.csv").write_text("id,prompt\n1.0,x\n,y\n3.0,z\n")
    check("line 3: id (id) is missing, null or empty" in made(work, work / "d.csv", code=2))
    script("prompts", work / "d.csv", "-o", work / "s.h5", "--overwrite", "--on-error", "skip", "--quiet")
    check(columns(work / "s.h5")["id"] == [1, 3])
    (work / "d.csv").write_text("id,prompt\n12345678901234567.0,x\n2,y\n")
    check(made(work, work / "d.csv")["id"] == [12345678901234567, 2])
    (work / "d.csv").write_text("id,prompt\n1.0,x\n1.5,y\n")
    check(made(work, work / "d.csv")["id"] == ["1.0", "1.5"])
    got = made(work, write_lines(work / "b.jsonl", [{"prompt": "x", "id": 1}, {"prompt": "y", "id": "1b"}]))
    check(got["id"] == ["1", "1b"], got)
    check("line 2" in faults([{"prompt": "x", "id": 1}, {"prompt": "y", "id": "1"}]), "the same once both are text")
    check(made(work, write_lines(work / "c.jsonl", [{"q": "x", "key": -5}]), "--prompt-column", "q", "--id-column", "key")["id"] == [-5])


def odd_first_rows(work):
    """The first row alone decides nothing: all rows of the first block decide where prompts and ids come from."""
    def skipping(rows, *words):
        done = script("prompts", write_lines(work / "a.jsonl", rows), "-o", work / "s.h5", "--on-error", "skip", "--quiet", "--overwrite", *words)
        return columns(work / "s.h5"), done.stderr
    plain = [{"id": f"k{i}", "prompt": "x"} for i in range(3)]
    fault = made(work, write_lines(work / "b.jsonl", [{"prompt": "a"}, *plain]), code=2)
    check("line 1: id (id) is missing" in fault and "--id-column none" in fault, fault)
    check(made(work, work / "b.jsonl", "--id-column", "none")["input_id"] == ["", "k0", "k1", "k2"])
    for odd in ({"prompt": "a"}, {"id": None, "prompt": "a"}, {"id": "k"}, {"other": 5}, {"id": 7, "messages": None, "prompt": None}):
        got, told = skipping([odd, *plain])
        check(got["id"] == ["k0", "k1", "k2"] and got["prompt"] == ["x"] * 3 and "1 bad rows" in told, odd, got, told)
    (work / "t.jinja").write_text("{{ messages[0].content }}")
    words = ["--chat-template", work / "t.jinja"]
    chats = [{"id": i, "messages": [{"role": "user", "content": str(i)}]} for i in range(2)]
    check(skipping([{"id": 9, "messages": None}, *chats], *words)[0]["prompt"] == ["0", "1"])
    for both in ({"prompt": "p", "messages": [{"role": "user", "content": "m"}]}, {"messages": chats[0]["messages"], "conversations": chats[1]["messages"]}):
        for at, form in ((0, plain), (1, plain), (3, plain), (1, [{"id": f"k{i}", "messages": c["messages"]} for i, c in enumerate((*chats, chats[0]))])):
            rows = [*form[:at], {"id": "two", **both}, *form[at:]]
            got, told = skipping(rows, *words)
            check(got["id"] == ["k0", "k1", "k2"] and "1 of them: has " in told, "two forms, by the row alone", at, told)
            check(f"line {at + 1}: has {' and '.join(n for n in ('messages', 'conversations', 'prompt') if n in both)}: choose one" in made(work, work / "a.jsonl", *words, code=2))
    many = [{"other": 1}] * 2500  # more than a block
    check(skipping([*many, *plain], "--id-column", "none")[0]["prompt"] == ["x"] * 3, "the first block has no prompt")
    texts = [{"id": row["id"], "text": row["prompt"]} for row in plain]
    got, _ = skipping([*many, *texts], "--prompt-column", "text")
    check(got["id"] == ["k0", "k1", "k2"] and got["prompt"] == ["x"] * 3, "nor the column that is named, nor ids", got)
    fault = script("prompts", write_lines(work / "a.jsonl", many), "-o", work / "n.h5", "--on-error", "skip", "--prompt-column", "text", code=2).stderr
    check("--prompt-column text: there is no such column; there are: other" in fault, fault)
    check("there are: other" in script("prompts", write_lines(work / "a.jsonl", many), "-o", work / "n.h5", "--on-error", "skip", code=2).stderr)
    batch = [{"custom_id": f"b{i}", "body": {"prompt": str(i)}} for i in range(2)]
    for odd in ({"custom_id": "z"}, {"custom_id": "z", "body": "oops"}, {"prompt": "no line of a batch"}):
        got, told = skipping([odd, *batch])
        check(got["id"] == ["b0", "b1"] and got["prompt"] == ["0", "1"] and "1 bad rows" in told, odd, got, told)
    check("has no custom_id or no body" in made(work, write_lines(work / "c.jsonl", [{"custom_id": "z", "url": "/v1/completions"}]), code=2))
    got = made(work, write_lines(work / "d.jsonl", [{"custom_id": "z", "q": "x"}]), "--prompt-column", "q", "--id-column", "custom_id")
    check(got == {"id": ["z"], "prompt": ["x"]}, got)
    got = made(work, write_lines(work / "e.jsonl", [{"custom_id": "z", "q": "x"}]), "--map", "q=prompt")
    check(got == {"prompt": ["x"], "custom_id": ["z"]}, got)
    late = write_lines(work / "f.jsonl", [{"prompt": "x"}] * 3000 + [{"prompt": "x", "id": "late"}])
    fault = made(work, late, code=2)
    check("f.jsonl" in fault and "--id-column none" in fault, fault)
    check(made(work, late, "--id-column", "none")["input_id"][2999:] == ["", "late"])


def bad_rows(work):
    good = json.dumps({"prompt": "fine"}).encode()
    cases = {"not JSON": b'{"prompt": ', "not UTF-8": b'{"prompt": "\xff"}', "object": b'["prompt"]', "valid Unicode": b'{"prompt": "\\ud800"}',
             "missing or null": b'{"prompt": null}', "must be text": b'{"prompt": 5}', "not JSON:": b"[" * 100000}
    for word, line in cases.items():
        (work / "a.jsonl").write_bytes(good + b"\n\n" + line + b"\n" + good + b"\n")
        fault = made(work, work / "a.jsonl", code=2)
        check("a.jsonl: line 3" in fault and word in fault, word, fault[:500])
        check(not (work / "p.h5").exists() and not (work / "p.h5.tmp").exists(), "something was left behind")
        done = script("prompts", work / "a.jsonl", "-o", work / "s.h5", "--on-error", "skip", "--quiet", "--overwrite")
        check(columns(work / "s.h5")["prompt"] == ["fine"] * 2 and "1 bad rows" in done.stderr, done.stderr)
        skipped = read_lines(work / "s.h5.skipped.jsonl")
        check(len(skipped) == 1 and skipped[0]["line"] == 3 and word in skipped[0]["error"], skipped)
    check("no row" in made(work, write_lines(work / "b.jsonl", []), code=2))
    (work / "c.jsonl").write_bytes(b"nonsense\n" * 3)
    check("all were bad" in script("prompts", work / "c.jsonl", "-o", work / "c.h5", "--on-error", "skip", code=2).stderr)


def bad_files(work):
    write_lines(work / "a.jsonl", ROWS * 2000)
    packed = gzip.compress((work / "a.jsonl").read_bytes())
    (work / "b.jsonl.gz").write_bytes(packed[:len(packed) // 2])
    check("b.jsonl.gz" in (fault := made(work, work / "b.jsonl.gz", "--id-column", "none", code=2)) and "Traceback" not in fault, fault)
    (work / "d.csv").write_text("id,prompt\n1,a\n2,b,c\n")
    check("line 3" in (fault := made(work, work / "d.csv", code=2)) and "3 cells" in fault, fault)
    (work / "e.csv").write_bytes(b"prompt\n\xff\xfe\n")
    check("line 2" in (fault := made(work, work / "e.csv", code=2)) and "Unicode" in fault, fault)
    check("no such file" in made(work, work / "none.jsonl", code=2))
    (work / "f.txt").write_text("x")
    check("ending" in made(work, work / "f.txt", code=2))
    (work / "latin.jinja").write_bytes("größe".encode("latin-1"))
    rows = write_lines(work / "x.jsonl", [{"prompt": "x"}])
    for words in (["--user-turn", "--chat-template", work / "latin.jinja"], ["--template", f"@{work / 'latin.jinja'}"]):
        check("latin.jinja: is not UTF-8" in (fault := made(work, rows, *words, code=2)), fault)
    model = work / "model"
    model.mkdir()
    for config in ([], [1], 5, {"chat_template": 5}, {"chat_template": [{"name": "default"}]}, {"chat_template": "x", "bos_token": {"no": 1}},
                   {"chat_template": {"default": 5}}):
        (model / "tokenizer_config.json").write_text(json.dumps(config))
        fault = made(work, rows, "--user-turn", "--model", model, code=2)
        check("tokenizer_config.json: is not in the form that transformers writes" in fault, config, fault)
    (model / "tokenizer_config.json").write_bytes(b'{"chat_template": "\xff"}')
    check("tokenizer_config.json: is not UTF-8" in made(work, rows, "--user-turn", "--model", model, code=2))
    for text, told in (("{}", "must be a JSON list"), ("nonsense", "is not JSON"), (None, "tools.json: no such file")):
        (work / "tools.json").write_text(text) if text else (work / "tools.json").unlink()
        fault = made(work, rows, "--user-turn", "--chat-template", work / "x.jsonl", "--tools", work / "tools.json", code=2)
        check(told in fault, fault)
    (work / "empty").mkdir()
    check("holds no" in made(work, work / "empty", code=2))
    (work / "g.h5").write_text("mine")
    done = script("prompts", work / "a.jsonl", "-o", work / "g.h5", "--id-column", "none", code=2)
    check("--overwrite" in done.stderr and (work / "g.h5").read_text() == "mine")
    if HAS_PYARROW:
        for name in ("h.parquet", "h.arrow"):
            (work / name).write_bytes(b"PAR1 nonsense")
            check(name in (fault := made(work, work / name, code=2)) and "Traceback" not in fault, fault)


FEW, MANY = 200, 1400  # rows of 100 KB


def long_texts(count): return [f"{i} " + "größe " * 14000 for i in range(count)]


def peak_mb(work, source, *words): return measured(SCRIPTS / "prompts.py", source, "-o", work / "p.h5", "--overwrite", "--quiet", *words)[2]


def long_rows_in_flat_memory(work):
    """Seven times as many rows, 120 MB more, take no more memory in reading, in writing and in reading back."""
    (work / "t.jinja").write_text("{{ messages[0].content }}")
    peaks = []
    for count in (FEW, MANY):
        path = write_lines(work / "a.jsonl", [{"messages": [{"role": "user", "content": t}]} for t in long_texts(count)])
        peaks.append(peak_mb(work, path, "--chat-template", work / "t.jinja"))
    check(peaks[1] < peaks[0] + 80, "JSONL, MB:", peaks)


def long_rows_of_parquet(work):
    needs_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq
    peaks = []
    for count in (FEW, MANY):  # pages of 1 MB, as most writers make them: no page can be read in parts
        pq.write_table(pa.table({"prompt": long_texts(count)}), work / "a.parquet", write_batch_size=8, use_dictionary=False)
        peaks.append(peak_mb(work, work / "a.parquet"))
    check(peaks[1] < peaks[0] + 80, "Parquet, MB:", peaks)


def same_input_same_bytes(work):
    path = write_lines(work / "a.jsonl", ROWS)
    for name in ("x.h5", "y.h5"): script("prompts", path, "-o", work / name, "--compression", "gzip-1")
    check((work / "x.h5").read_bytes() == (work / "y.h5").read_bytes())
    check(columns(work / "x.h5") == made(work, path))
    check(made(work, path, "--limit", "2")["id"] == ["q0", "q1"])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [
        jsonl_columns, csv_columns, parquet_and_datasets, parquet_types, types_of_columns, mistyped_options, names_of_columns, ids, odd_first_rows, bad_rows,
        bad_files, long_rows_in_flat_memory, long_rows_of_parquet, same_input_same_bytes], sys.argv[2:])
