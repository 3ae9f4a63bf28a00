#!/usr/bin/env python3
"""scripts/prompts.py: every form of input, types of columns, chat templates, bad rows.

    prompts_in.py WORK_DIR [TEST ...]"""
import gzip
import json
import math
import os
import pathlib
import sys

import h5py
import numpy as np

from tools import HAS_PYARROW, SOURCE, check, columns, main, needs_pyarrow, read_lines, script, write_lines

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
    check("row 0" in (fault := made(work, work / "b.parquet", code=2)) and "image" in fault, fault)
    check("prompt" in made(work, work / "b.parquet", "--drop", "image"))


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


def sampling_columns(work):
    rows = [{"prompt": "a", "max_new_tokens": 5, "stop": "\n", "top_p": None, "seed": 7, "top_k": -1}, {"prompt": "b", "stop": ["x", "ü"], "top_p": 0.5},
            {"prompt": "c", "stop": None, "top_p": -1, "seed": 2**63 - 1}, {"prompt": "d", "stop": [], "temperature": 0}]
    got = made(work, write_lines(work / "a.jsonl", rows), "--map", "max_new_tokens=max_tokens", "--set", "n=4", "--set", "min_p=0.1")
    check(got["max_tokens"] == [5, -1, -1, -1] and got["n"] == [4] * 4 and got["min_p"] == [0.1] * 4, got)
    check(got["stop"] == ['["\\n"]', '["x", "ü"]', "", "[]"] and got["seed"] == [7, -1, 2**63 - 1, -1] and got["top_k"] == [-1] * 4, got)
    check(math.isnan(got["top_p"][0]) and got["top_p"][1] == 0.5 and math.isnan(got["top_p"][2]) and got["temperature"][3] == 0, got)
    for name, value in (("n", 0), ("temperature", -0.5), ("top_p", 0), ("top_p", 1.5), ("max_tokens", 2.5), ("seed", 2**63), ("stop", [""]),
                        ("n", True), ("n", "many"), ("temperature", [1]), ("stop", 5)):
        fault = made(work, write_lines(work / "b.jsonl", [{"prompt": "a"}, {"prompt": "b", name: value}]), code=2)
        check("line 2" in fault and name in fault, fault)


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


def ids(work):
    def faults(rows, *words): return made(work, write_lines(work / "a.jsonl", rows), *words, code=2)
    rows = [{"prompt": "x", "id": i % 3000} for i in range(4000)]
    fault = faults(rows)
    check("line 3001" in fault and "a.jsonl: line 1:" in fault and "id 0" in fault, fault)
    check("id" not in made(work, work / "a.jsonl", "--id-column", "none"))
    done = script("prompts", work / "a.jsonl", "-o", work / "s.h5", "--on-error", "skip", "--quiet")
    check(len(columns(work / "s.h5")["id"]) == 3000 and len(read_lines(work / "s.h5.skipped.jsonl")) == 1000, done.stderr)
    check("line 2" in faults([{"prompt": "x", "id": 1}, {"prompt": "y"}]))
    check("id" in faults([{"prompt": "x", "id": 1.5}]))
    got = made(work, write_lines(work / "b.jsonl", [{"prompt": "x", "id": 1}, {"prompt": "y", "id": "1b"}]))
    check(got["id"] == ["1", "1b"], got)
    check("line 2" in faults([{"prompt": "x", "id": 1}, {"prompt": "y", "id": "1"}]), "the same once both are text")
    check(made(work, write_lines(work / "c.jsonl", [{"q": "x", "key": -5}]), "--prompt-column", "q", "--id-column", "key")["id"] == [-5])


def bad_rows(work):
    good = json.dumps({"prompt": "fine"}).encode()
    cases = {"not JSON": b'{"prompt": ', "not UTF-8": b'{"prompt": "\xff"}', "object": b'["prompt"]', "no Unicode": b'{"prompt": "\\ud800"}',
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
    check("bad" in script("prompts", work / "c.jsonl", "-o", work / "c.h5", "--on-error", "skip", code=2).stderr)


def bad_files(work):
    write_lines(work / "a.jsonl", ROWS * 2000)
    packed = gzip.compress((work / "a.jsonl").read_bytes())
    (work / "b.jsonl.gz").write_bytes(packed[:len(packed) // 2])
    check("b.jsonl.gz" in (fault := made(work, work / "b.jsonl.gz", "--id-column", "none", code=2)) and "Traceback" not in fault, fault)
    (work / "c.jsonl").write_text(json.dumps(ROWS))
    check("array" in made(work, work / "c.jsonl", code=2))
    (work / "d.csv").write_text("id,prompt\n1,a\n2,b,c\n")
    check("line 3" in (fault := made(work, work / "d.csv", code=2)) and "3 cells" in fault, fault)
    (work / "e.csv").write_bytes(b"prompt\n\xff\xfe\n")
    check("line 2" in (fault := made(work, work / "e.csv", code=2)) and "Unicode" in fault, fault)
    check("no such file" in made(work, work / "none.jsonl", code=2))
    (work / "f.txt").write_text("x")
    check("ending" in made(work, work / "f.txt", code=2))
    (work / "empty").mkdir()
    check("holds no" in made(work, work / "empty", code=2))
    check("cannot be mixed" in made(work, [work / "a.jsonl", work / "d.csv"], code=2))
    (work / "g.h5").write_text("mine")
    done = script("prompts", work / "a.jsonl", "-o", work / "g.h5", "--id-column", "none", code=2)
    check("--overwrite" in done.stderr and (work / "g.h5").read_text() == "mine")
    if HAS_PYARROW:
        for name in ("h.parquet", "h.arrow"):
            (work / name).write_bytes(b"PAR1 nonsense")
            check(name in (fault := made(work, work / name, code=2)) and "Traceback" not in fault, fault)


def render(work, case, *words):
    write_lines(work / "c.jsonl", [{k: case[k] for k in ("messages", "tools") if case.get(k) is not None}])
    for name, value in case.get("arguments", {}).items(): words = (*words, "--template-arg", f"{name}={json.dumps(value)}")
    return made(work, work / "c.jsonl", *words)["prompt"][0]


def chat_as_transformers_does(work):
    count = 0
    for folder in [DATA / "deepseek_v3", DATA / "qwen3", *sorted(SHARED.glob("tokenizers/*/"))]:
        if not (folder / "chat.jsonl").exists(): continue
        for case in read_lines(folder / "chat.jsonl"):
            words = ["--model", folder] + ([] if case["add_generation_prompt"] else ["--no-generation-prompt"])
            if "enable_thinking" in case: words += ["--template-arg", f"enable_thinking={json.dumps(case['enable_thinking'])}"]
            text = render(work, case, *words)
            check(text == case["text"], folder.name, repr(text), repr(case["text"]))
            count += 1
    check(count >= 20, count)
    for case in read_lines(DATA / "templates.jsonl"):
        (work / "t.jinja").write_text(case["template"])
        text = render(work, case, "--chat-template", work / "t.jinja")
        check(text == case["text"], case["name"], repr(text), repr(case["text"]))


def where_templates_are_found(work):
    say = [{"messages": [{"role": "user", "content": "x"}]}]
    path, model = write_lines(work / "a.jsonl", say), work / "model"
    model.mkdir()
    def config(value): (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": value, "bos_token": {"content": "<s>"}}))
    def text(*words): return made(work, path, "--model", model, *words)["prompt"][0]
    config("one{{ bos_token }}{{ messages[0].content }}")
    check(text() == "one<s>x")
    config([{"name": "default", "template": "two"}, {"name": "tool_use", "template": "tools"}, {"name": "rag", "template": "rag"}])
    check(text() == "two" and text("--chat-template", "rag") == "rag")
    tools = work / "tools.json"
    tools.write_text('[{"type": "function"}]')
    check(text("--tools", tools) == "tools")
    (model / "chat_template.jinja").write_text("three")
    (model / "additional_chat_templates").mkdir()
    (model / "additional_chat_templates/rag.jinja").write_text("more")
    check(text() == "three" and text("--chat-template", "rag") == "more")
    check("no template of the model" in made(work, path, "--model", model, "--chat-template", "none", code=2))
    (model / "chat_template.jinja").write_text("{% for %}")
    check("line 1" in made(work, path, "--model", model, code=2))
    (model / "chat_template.jinja").write_text("{{ strftime_now('%d %B %Y') }}")
    check(text("--date", "2026-02-03") == "03 February 2026")
    (model / "chat_template.jinja").write_text("{{ raise_exception('no such role: ' + messages[0].role) }}")
    check("line 1" in (fault := made(work, path, "--model", model, code=2)) and "no such role: user" in fault, fault)
    (model / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}")
    check("refuses" in made(work, path, "--model", model, code=2), "the sandbox holds")
    check("--model" in made(work, path, code=2))
    (model / "tokenizer.json").write_text(json.dumps({"post_processor": {"type": "Sequence", "processors": [
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}]}}))
    (model / "chat_template.jinja").write_text("<s>x")
    done = script("prompts", path, "-o", work / "n.h5", "--model", model)
    check("add_special_tokens: false" in done.stderr and "<s>x" in done.stderr, done.stderr)
    check("add_special_tokens" not in script("prompts", path, "-o", work / "m.h5", "--model", model, "--chat-template",
                                             (work / "bare.jinja").write_text("x<s>") and work / "bare.jinja").stderr, "no BOS, no advice to drop it")
    write_lines(path, [{"messages": [{"role": "user", "content": c}]} for c in ("<s>", "y", "<s>z")])
    (work / "as.jinja").write_text("{{ messages[0].content }}")
    done = script("prompts", path, "-o", work / "l.h5", "--model", model, "--chat-template", work / "as.jinja")
    check("2 of the 3 prompts" in done.stderr and "add_special_tokens: false" not in done.stderr, done.stderr)
    for processor, told in (({"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2]}, True), ({"type": "ByteLevel"}, False), (None, False),
                            ({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "bos"}}, {"Sequence": {"id": "A"}}],
                              "special_tokens": {"bos": {"id": "bos", "tokens": ["<s>"]}}}, True),
                            ({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "<s>"}}]}, False)):
        (model / "tokenizer.json").write_text(json.dumps({"post_processor": processor}))
        done = script("prompts", path, "-o", work / "k.h5", "--overwrite", "--model", model, "--limit", 1, "--chat-template", work / "as.jinja")
        check(("add_special_tokens: false" in done.stderr) == told, processor, done.stderr)
    (model / "tokenizer.json").write_text('{"post_processor": {"type": "RobertaProcessing"}}')
    check("post_processor" in made(work, path, "--model", model, "--chat-template", work / "as.jinja", code=2))


def conversations(work):
    template = work / "t.jinja"
    template.write_text("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}")
    rows = [{"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "h"}, {"from": "gpt", "value": "g"}]},
            {"conversations": [{"from": "human", "value": "ü"}]}]
    path = write_lines(work / "a.jsonl", rows)
    got = made(work, path, "--chat-template", template)
    check(got["prompt"] == ["[system]s[user]h[assistant]g[assistant]", "[user]ü[assistant]"] and "conversations" not in got, got)
    got = made(work, path, "--chat-template", template, "--drop-last-answer", "--system", "be")
    check(got["prompt"] == ["[system]s[user]h[assistant]", "[system]be[user]ü[assistant]"] and got["dropped_answer"] == ["g", ""], got)
    check(json.loads(got["messages"][1]) == [{"role": "system", "content": "be"}, {"role": "user", "content": "ü"}], got)
    path = write_lines(work / "b.jsonl", [{"question": "q", "topic": "t"}])
    got = made(work, path, "--prompt-column", "question", "--user-turn", "--chat-template", template)
    check(got["prompt"] == ["[user]q[assistant]"] and got["question"] == ["q"] and json.loads(got["messages"][0])[0]["content"] == "q", got)
    text = json.dumps([{"role": "user", "content": "from text"}])
    check(made(work, write_lines(work / "c.jsonl", [{"messages": text}]), "--chat-template", template)["prompt"] == ["[user]from text[assistant]"])
    check(made(work, write_lines(work / "d.jsonl", [{"prompt": json.loads(text)}]), "--chat-template", template)["prompt"] == ["[user]from text[assistant]"])
    for bad in ([], [{"content": "x"}], "no list", [{"from": "alien", "value": "x"}], None, 5):
        path = write_lines(work / "e.jsonl", [{"messages": [{"role": "user", "content": "x"}]}, {"messages": bad}])
        check("line 2" in made(work, path, "--chat-template", template, code=2), bad)
    rows = [{"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"add": i}, "tools": "[]"} for i in range(2)]
    template.write_text("{{ add }}{{ tools }}")
    check(made(work, write_lines(work / "f.jsonl", rows), "--chat-template", template)["prompt"] == ["0[]", "1[]"])
    template.write_text("{% for m in messages %}{{ m.content is defined }}{% endfor %}")
    path = write_lines(work / "g.jsonl", [{"messages": [{"role": "user", "content": None}]}])
    check(made(work, path, "--chat-template", template)["prompt"] == ["False"])
    check(made(work, path, "--chat-template", template, "--keep-nulls")["prompt"] == ["True"])


def column_templates(work):
    path = write_lines(work / "a.jsonl", [{"a": "ü<b>", "l": [1, 2], "id": 4}, {"a": "x", "l": [], "id": 5}])
    got = made(work, path, "--template", "Say {{ a }}:\\n{% for x in l %}{{ x }},{% endfor %}")
    check(got["prompt"] == ["Say ü<b>:\n1,2,", "Say x:\n"] and got["a"] == ["ü<b>", "x"] and got["id"] == [4, 5], got)
    (work / "t.jinja").write_text("{{ a }}\n")
    check(made(work, path, "--template", f"@{work / 't.jinja'}")["prompt"] == ["ü<b>\n", "x\n"])
    fault = made(work, path, "--template", "{{ b }}", code=2)
    check("line 1" in fault and "'b' is undefined" in fault, fault)
    check("--template: line 1" in made(work, path, "--template", "{{ a", code=2))


def openai_batch(work):
    template = work / "t.jinja"
    template.write_text("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}")
    rows = [{"custom_id": f"r{i}", "method": "POST", "url": "/v1/chat/completions",
             "body": {"model": "m", "messages": [{"role": "user", "content": str(i)}], "max_completion_tokens": 5 + i, "temperature": 0.5,
                      "stop": "x", "presence_penalty": 0.5, "logit_bias": {"1": 2}, "metadata": {"k": i}}} for i in range(3)]
    path = write_lines(work / "a.jsonl", rows)
    got = made(work, path, "--chat-template", template)
    check(got["id"] == ["r0", "r1", "r2"] and got["prompt"] == ["[user]0", "[user]1", "[user]2"] and got["max_tokens"] == [5, 6, 7], got)
    check(got["stop"] == ['["x"]'] * 3 and got["url"][0] == "/v1/chat/completions" and json.loads(got["metadata"][2]) == {"k": 2}, got)
    done = script("prompts", path, "-o", work / "n.h5", "--chat-template", template)
    check("sampling: {presence_penalty: 0.5}" in done.stderr and "logit_bias" in done.stderr, done.stderr)
    plain = [{"custom_id": 7, "url": "/v1/completions", "body": {"prompt": "p", "top_k": -1, "seed": 3}}]
    got = made(work, write_lines(work / "b.jsonl", plain))
    check(got["prompt"] == ["p"] and got["top_k"] == [0] and got["seed"] == [3] and got["id"] == [7], got)
    check("line 4" in made(work, write_lines(work / "c.jsonl", rows + [{"custom_id": "x"}]), "--chat-template", template, code=2))
    check("line 4" in made(work, write_lines(work / "d.jsonl", rows + rows[:1]), "--chat-template", template, code=2))


def mixed_openai_batch(work):
    """Chat and completion lines in one file, an empty prompt; which request was left out."""
    template = work / "t.jinja"
    template.write_text("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}")
    say = [{"role": "user", "content": "hi"}]
    def line(name, url, **body): return {"custom_id": name, "method": "POST", "url": url, "body": {"model": "m", **body}}
    chat, plain = "/v1/chat/completions", "/v1/completions"
    rows = [line("a", plain, prompt="p"), line("b", chat, messages=say), line("c", plain, prompt=""), line("d", chat, messages=None, prompt="q"),
            line("e", chat, messages=say, prompt="no"), line("f", plain, messages=say, prompt="yes"), line("g", "/v1/responses", input=say)]
    for order in (rows, rows[1:] + rows[:1], rows[2:] + rows[:2]):
        got = made(work, write_lines(work / "a.jsonl", order), "--chat-template", template)
        want = {"a": "p", "b": "[user]hi", "c": "", "d": "q", "e": "[user]hi", "f": "yes", "g": "[user]hi"}
        check(dict(zip(got["id"], got["prompt"])) == want and "input_prompt" not in got, got)
        shown = dict(zip(got["id"], map(json.loads, got["messages"])))
        check(shown["b"] == say and shown["a"] == [{"role": "user", "content": "p"}] and shown["c"][0]["content"] == "", shown)
    check("--model" in made(work, work / "a.jsonl", code=2), "chat lines need a template")
    got = made(work, work / "a.jsonl", "--chat-template", template, "--system", "be")
    check(dict(zip(got["id"], got["prompt"]))["a"] == "[system]be[user]p", got)
    bad = [line("x", chat, messages=[]), line("y", plain), {"custom_id": "z"}, line("w", plain, prompt=5), {"custom_id": ["u"], "body": {"prompt": "p"}}, {"id": 1}]
    source = write_lines(work / "b.jsonl", rows[:3] + bad + rows[:1])
    check("line 6" in made(work, source, "--chat-template", template, code=2))
    script("prompts", source, "-o", work / "s.h5", "--on-error", "skip", "--quiet", "--chat-template", template)
    check(columns(work / "s.h5")["id"] == ["a", "b", "c"])
    skipped = sorted(read_lines(work / "s.h5.skipped.jsonl"), key=lambda s: s["line"])
    check([(s["line"], s["custom_id"]) for s in skipped] ==
          [(4, "x"), (5, "y"), (6, "z"), (7, "w"), (8, ["u"]), (9, None), (10, "a")], skipped)
    check("neither body.messages nor body.prompt" in skipped[1]["error"], skipped)


def token_ids(work):
    got = made(work, write_lines(work / "a.jsonl", [{"prompt_token_ids": [5, 6]}, {"prompt_token_ids": []}, {"prompt_token_ids": [7]}]))
    check(got["prompt_token_ids"] == [[5, 6], [], [7]], got)
    for bad in ("x", [1.5], [-1], [2**31], None):
        path = write_lines(work / "b.jsonl", [{"prompt_token_ids": [1]}, {"prompt_token_ids": bad}])
        check("line 2" in made(work, path, code=2), bad)


def same_input_same_bytes(work):
    path = write_lines(work / "a.jsonl", ROWS)
    for name in ("x.h5", "y.h5"): script("prompts", path, "-o", work / name, "--compression", "gzip-1")
    check((work / "x.h5").read_bytes() == (work / "y.h5").read_bytes())
    check(columns(work / "x.h5") == made(work, path))
    check(made(work, path, "--limit", "2")["id"] == ["q0", "q1"])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [
        jsonl_columns, csv_columns, parquet_and_datasets, parquet_types, types_of_columns, sampling_columns, names_of_columns, ids, bad_rows,
        bad_files, chat_as_transformers_does, where_templates_are_found, conversations, column_templates, openai_batch, mixed_openai_batch, token_ids,
        same_input_same_bytes], sys.argv[2:])
