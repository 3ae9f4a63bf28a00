#!/usr/bin/env python3
"""scripts/prompts.py: where rows come from. Compressed files, standard input, JSON arrays, pandas' HDF5, instructions, several files in
one call, rows of several forms in one file, and rows with any content.

    prompts_sources.py WORK_DIR [TEST ...]"""
import bz2
import gzip
import importlib.util
import json
import lzma
import math
import os
import pathlib
import pickle
import random
import shutil
import subprocess
import sys
import unittest.mock

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from tools import HAS_PYARROW, SCRIPTS, SOURCE, Skip, check, columns, main, read_lines, script, write_lines  # noqa: E402

DATA = SOURCE / "tests/data/tools"
ROWS = [{"id": f"q{i}", "prompt": f"{i} größe 水", "level": i, "topic": "t"} for i in range(3000)]
TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"


def made(work, sources, *words, code=0):
    sources = sources if isinstance(sources, list) else [sources]
    done = script("prompts", *sources, "-o", work / "p.h5", "--overwrite", "--quiet", *words, code=code)
    return columns(work / "p.h5") if code == 0 else done.stderr


def zstd(data, frames=1):
    if not importlib.util.find_spec("zstandard"): raise Skip("zstandard is not here")
    import zstandard
    step = -(-len(data) // frames)
    return b"".join(zstandard.ZstdCompressor().compress(data[i:i + step]) for i in range(0, len(data), step))


def packed_files(work):
    want = made(work, write_lines(work / "a.jsonl", ROWS))
    data = (work / "a.jsonl").read_bytes()
    for name, pack in (("b.jsonl.gz", gzip.compress), ("b.jsonl.bz2", bz2.compress), ("b.jsonl.xz", lzma.compress)):
        (work / name).write_bytes(pack(data))
        check(made(work, work / name) == want, name)
        (work / ("cut." + name)).write_bytes(pack(data)[:-20])
        fault = made(work, work / ("cut." + name), code=2)
        check(f"cut.{name}: cannot be read" in fault and "Traceback" not in fault, fault)
        (work / "c.csv").write_bytes(pack(b"prompt,n\nx,2\n"))
        check(made(work, work / "c.csv") == {"prompt": ["x"], "n": [2]}, "known by its content, whatever its name")


def zstandard_files(work):
    want = made(work, write_lines(work / "a.jsonl", ROWS))
    data = (work / "a.jsonl").read_bytes()
    for frames in (1, 3):
        (work / "b.jsonl.zst").write_bytes(zstd(data, frames))
        check(made(work, work / "b.jsonl.zst") == want, frames)
    for end in (-1, 1000, len(zstd(data)) // 2):
        (work / "c.jsonl.zst").write_bytes(zstd(data)[:end])
        check("truncated" in (fault := made(work, work / "c.jsonl.zst", code=2)), end, fault)
    (work / "d.jsonl.zst").write_bytes(zstd(data)[:200] + b"nonsense" * 99)
    check("d.jsonl.zst: cannot be read" in made(work, work / "d.jsonl.zst", code=2))


def zstandard_missing(work):
    (work / "a.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd and so on")
    with unittest.mock.patch.dict(sys.modules, {"zstandard": None}):
        fault = made(work, work / "a.jsonl.zst", code=2)
    check("zstandard" in fault and "python3-zstandard" in fault and "zstd -d" in fault, fault)


def standard_input(work):
    want = made(work, write_lines(work / "a.jsonl", ROWS))
    data = (work / "a.jsonl").read_bytes()
    def piped(data, *words, code=0):
        done = subprocess.run([sys.executable, SCRIPTS / "prompts.py", "-o", work / "s.h5", "--overwrite", "--quiet", *words, "-"], input=data, capture_output=True)
        check(done.returncode == code, done.stderr)
        check(not list(work.glob("s.h5.*tmp*")) and not list(work.glob("s.h5.stdin*")), list(work.iterdir()))
        return columns(work / "s.h5") if code == 0 else done.stderr.decode()
    for name, text in (("lines", data), ("gzip", gzip.compress(data)), ("array", json.dumps(ROWS).encode())): check(piped(text) == want, name)
    check(piped(b"prompt,n\nx,2\n") == piped(b"prompt\tn\nx\t2\n") == {"prompt": ["x"], "n": [2]})
    check(piped(b"prompt;n\nx;2\n", "--delimiter", ";") == {"prompt": ["x"], "n": [2]})
    check("standard input: line 2: is not JSON" in (fault := piped(data.replace(b'"q1"', b'"q1')[:400], code=2)), fault)
    check("no row" in (fault := piped(b"", "--from", "jsonl", code=2)), fault)
    check("only once" in (fault := piped(b"", "-", code=2)), fault)
    (work / "odd.name").write_bytes(data)
    check(made(work, work / "odd.name", "--from", "jsonl") == want)
    if HAS_PYARROW:
        import pyarrow as pa
        import pyarrow.parquet as pq
        pq.write_table(pa.Table.from_pylist(ROWS), work / "a.parquet")
        check(piped((work / "a.parquet").read_bytes()) == want)


def json_arrays(work):
    want = made(work, write_lines(work / "a.jsonl", ROWS))
    for name, text in (("flat", json.dumps(ROWS)), ("indented", "\n " + json.dumps(ROWS, indent=2, ensure_ascii=False) + "\n\n"), ("BOM", "\ufeff" + json.dumps(ROWS))):
        (work / "b.json").write_text(text, encoding="utf-8")
        check(made(work, work / "b.json") == want, name)
    (work / "c.json").write_text(json.dumps([{"prompt": "x" * 300000}, {"prompt": "y"}, 5]))
    check("c.json: item 3: is a JSON int" in made(work, work / "c.json", code=2))
    check([len(p) for p in made(work, work / "c.json", "--limit", 2)["prompt"]] == [300000, 1])
    for bad in ('[{"prompt": "x"}', '[{"prompt": "x"},', '[{"prompt": "x"}, ]', '[{"prompt": "x"} {"prompt": "y"}]', '[{"prompt": "x"}] 5', '[{"prompt": nix}]'):
        (work / "d.json").write_text(bad)
        fault = made(work, work / "d.json", code=2)
        check("d.json: is one JSON array that cannot be read after item" in fault, bad, fault)
    (work / "e.json").write_text("[]")
    check("no row" in made(work, work / "e.json", code=2))


def pandas_tables(work):
    """Files that pandas 3.1 wrote (to_hdf in both formats, a named index), read without pandas."""
    for name in ("fixed", "table"):
        got = made(work, DATA / f"pandas/{name}.h5")
        check(got["prompt"] == ["Once", "größe 水", "nan"] and got["id"] == [7, 8, 9] and got["n"] == [1, 2, 3] and got["topic"] == ["a", "", "c"], name, got)
        check(got["good"] == [True, False, True] and got["when"] == ["2026-01-01T00:00:00", "2026-01-02T00:00:00", ""], name, got)
        check(got["score"][0] == 0.5 and math.isnan(got["score"][1]), name, got)

    class Evil:
        def __reduce__(self): return os.mkdir, (str(work / "evil"),)
    shutil.copy(DATA / "pandas/table.h5", work / "evil.h5")
    with h5py.File(work / "evil.h5", "a") as f: f["a/b"].attrs["non_index_axes"] = np.bytes_(pickle.dumps(Evil(), 0))
    fault = made(work, work / "evil.h5", code=2)
    check("evil.h5: cannot be read as HDF5" in fault and not (work / "evil").exists(), fault)
    with h5py.File(work / "two.h5", "w") as f:
        for name in ("x", "y"):
            with h5py.File(DATA / "pandas/table.h5") as g: g.copy("a/b", f, name)
    check("several tables" in (fault := made(work, work / "two.h5", code=2)) and "--key: x, y" in fault, fault)
    check(made(work, work / "two.h5", "--key", "y")["n"] == [1, 2, 3])


def hdf5_columns(work):
    """Columns of the same length, as h5py and prompts.py itself write them."""
    want = made(work, write_lines(work / "a.jsonl", [{"id": i, "prompt": f"{i} ü", "n": i + 1, "tags": ["a", i], "gap": None if i else 3, "good": True} for i in range(5)]))
    shutil.copy(work / "p.h5", work / "b.h5")
    got = made(work, work / "b.h5")
    for name in ("prompt", "id", "n", "tags", "good"): check(got[name] == want[name], name, got[name], want[name])
    with h5py.File(work / "c.h5", "w") as f:
        f["train/prompt"] = ["x", "y"]
        f["train/fixed"] = np.array(["a".encode(), "ü".encode()])
        f["train/pair"] = np.arange(4).reshape(2, 2)
    got = made(work, work / "c.h5", "--key", "train")
    check(got == {"prompt": ["x", "y"], "fixed": ["a", "ü"], "pair": ["[0, 1]", "[2, 3]"]}, got)
    with h5py.File(work / "d.h5", "w") as f: f["prompt"], f["other"] = ["x", "y"], [1]
    check("differ in length" in made(work, work / "d.h5", code=2) and "no columns at /" in made(work, work / "c.h5", code=2))
    (work / "e.h5").write_bytes(b"\x89HDF nonsense")
    check("e.h5: cannot be read as HDF5" in made(work, work / "e.h5", code=2))


def without_file_locks(work):
    """A file system whose flock fails (Lustre without flock, NFS without lockd)."""
    if not shutil.which("cc"): raise Skip("there is no C compiler")
    (work / "no_flock.c").write_text("#include <errno.h>\nint flock(int fd, int op) { (void)fd; (void)op; errno = ENOLCK; return -1; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", work / "no_flock.so", work / "no_flock.c"], check=True)
    for source in (DATA / "pandas/table.h5", write_lines(work / "a.jsonl", ROWS[:5])):
        done = subprocess.run([sys.executable, SCRIPTS / "prompts.py", source, "-o", work / "p.h5", "--overwrite", "--quiet"], capture_output=True, text=True,
                              env=dict(os.environ, LD_PRELOAD=str(work / "no_flock.so")))
        check(done.returncode == 0, done.stderr)


def alpaca(work):
    rows = [{"instruction": "Add.", "input": "2+2", "output": "4"}, {"instruction": "Say hi.", "input": "", "output": "hi"}, {"instruction": "Go.", "output": "x"}]
    (work / "a.json").write_text(json.dumps(rows))
    got = made(work, work / "a.json")
    check(got["prompt"][0] == "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that "
          "appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n2+2\n\n### Response:\n", got["prompt"][0])
    check(got["prompt"][1].endswith("request.\n\n### Instruction:\nSay hi.\n\n### Response:\n") and "paired" not in got["prompt"][1], got["prompt"][1])
    check(got["output"] == ["4", "hi", "x"] and got["instruction"][0] == "Add.", got)
    (work / "t.jinja").write_text(TURNS)
    chat = ["--chat-template", work / "t.jinja"]
    check(made(work, work / "a.json", *chat)["prompt"] == ["[user]Add.\n2+2", "[user]Say hi.", "[user]Go."])
    rows = [{"instruction": "more", "system": "be", "history": [["q", "a"]]}]
    check(made(work, write_lines(work / "b.jsonl", rows), *chat)["prompt"] == ["[system]be[user]q[assistant]a[user]more"])
    check("need a chat template" in made(work, work / "b.jsonl", code=2))
    for bad in ({"instruction": 5}, {"instruction": ""}, {"instruction": "x", "history": [["q"]]}, {"instruction": "x", "history": "no"}):
        check("line 1: " in made(work, write_lines(work / "c.jsonl", [bad]), *chat, code=2), bad)
    check(made(work, write_lines(work / "d.jsonl", [{"prompt": "p", "instruction": "i"}]))["prompt"] == ["p"], "beside a prompt it is a column")


def rows_of_several_forms(work):
    say = [{"role": "user", "content": "hi"}]
    rows = [{"prompt": "plain"}, {"messages": say}, {"conversations": [{"from": "human", "value": "h"}]}, {"instruction": "do"}, {"prompt": say}]
    (work / "t.jinja").write_text(TURNS)
    words = ["--chat-template", work / "t.jinja"]
    for order in (rows, rows[::-1]):
        got = made(work, write_lines(work / "a.jsonl", order), *words)
        want = ["plain", "[user]hi", "[user]h", "[user]do", "[user]hi"]
        check(got["prompt"] == (want if order is rows else want[::-1]), got["prompt"])
        shown = [json.loads(m)[-1]["content"] for m in got["messages"]]
        check(shown == ["plain", "hi", "h", "do", "hi"][::1 if order is rows else -1] and not {"input_prompt", "conversations"} & got.keys(), got)
    check(made(work, write_lines(work / "e.jsonl", [{"prompt": "p", "conversation": 7}]))["conversation"] == [7], "a number is no conversation")
    check(made(work, write_lines(work / "e.jsonl", [{"conversation": say}]), *words)["prompt"] == ["[user]hi"])
    got = made(work, work / "a.jsonl", *words, "--user-turn")
    check(got["prompt"][-1] == "[user]plain", got)
    late = [{"prompt": "x"}] * 2500 + [{"messages": say}]
    check(made(work, write_lines(work / "b.jsonl", late), *words)["prompt"][2499:] == ["x", "[user]hi"], "the first chat row may come late")
    both = write_lines(work / "c.jsonl", [{"prompt": "x"}] * 2500 + [{"prompt": "y", "messages": say}])
    check("line 2501: has messages and prompt" in (fault := made(work, both, *words, code=2)), fault)
    check("one or the other" in made(work, write_lines(work / "d.jsonl", [{"prompt": "x"}, {"prompt_token_ids": [5]}]), code=2))


def several_files(work):
    """Columns are the union, ids stay unique, and CSV may be combined with JSON."""
    write_lines(work / "a.jsonl", [{"id": 1, "prompt": "x", "a": 5}, {"id": 2, "prompt": "y", "a": 6}])
    write_lines(work / "b.jsonl", [{"id": 1, "prompt": "z", "b": "t"}])
    (work / "c.csv").write_text("id,prompt,a,n\n7,v,8,2\n8,w,,3\n")
    files = [work / "a.jsonl", work / "b.jsonl", work / "c.csv"]
    fault = made(work, files, code=2)
    check("b.jsonl: line 1: id 1 is already that of" in fault and "a.jsonl: line 1" in fault and "--ids-by-file" in fault, fault)
    got = made(work, files, "--ids-by-file")
    check(got["id"] == ["a:1", "a:2", "b:1", "c:7", "c:8"] and got["n"] == [-1, -1, -1, 2, 3] and got["b"] == ["", "", "t", "", ""], got)
    check(got["a"][:2] == [5, 6] and math.isnan(got["a"][2]) and got["a"][3] == 8, got["a"])
    got = made(work, [files[0], files[2]])
    check(got["id"] == [1, 2, 7, 8], got)
    write_lines(work / "d.jsonl", [{"prompt": "x"}])
    got = made(work, [work / "a.jsonl", work / "d.jsonl"], "--ids-by-file")
    check(got["id"] == ["a:1", "a:2", "d:1"], got)
    for name in ("d1/q.csv", "d2/q.csv", "d2/r.csv", "d2/r.jsonl"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text('{"id": 1, "prompt": "x"}\n' if name.endswith("l") else "id,prompt\n1,x\n")
    names = [work / "d1/q.csv", work / "d2/q.csv", work / "a.jsonl", work / "d2/../d2/r.csv", work / "d2/r.jsonl"]
    got = made(work, names, "--ids-by-file")
    check(got["id"] == ["d1/q:1", "d2/q:1", "a:1", "a:2", "r.csv:1", "r.jsonl:1"], "as much as tells the files apart", got)
    fault = made(work, [names[0]] * 2, "--ids-by-file", code=2)
    check("--id-column none" in fault and "--ids-by-file puts" not in fault, "no advice that was followed", fault)
    (work / "e.csv").write_text("prompt,a\np,word\n")
    check(made(work, [work / "a.jsonl", work / "e.csv"], "--id-column", "none")["a"] == ["5", "6", "word"])


def damaged_files(work):
    """Truncated files and wrong bytes: rows, or an error that names the file; never a traceback, and never part of the rows of a
    truncated compressed file or array."""
    rng, array, lines = random.Random(7), json.dumps(ROWS[:200]).encode(), "".join(json.dumps(r) + "\n" for r in ROWS[:200]).encode()
    packed = {"a.json": array, "a.jsonl.gz": gzip.compress(lines), "a.jsonl.xz": lzma.compress(lines), "a.jsonl.bz2": bz2.compress(lines), "b.json.gz": gzip.compress(array)}
    if importlib.util.find_spec("zstandard"): packed["a.jsonl.zst"] = zstd(lines)
    for name, data in packed.items():
        for _ in range(12):
            (work / name).write_bytes(data[:rng.randrange(8, len(data) - 1)])
            fault = made(work, work / name, "--on-error", "skip", code=2)
            check(name in fault and "Traceback" not in fault, name, fault)
            wrong = bytearray(data)
            for _ in range(3): wrong[rng.randrange(len(wrong))] ^= 1 << rng.randrange(8)
            (work / name).write_bytes(wrong)
            check(script("prompts", work / name, "-o", work / "p.h5", "--overwrite", "--quiet", "--on-error", "skip", code=None).returncode in (0, 2), name)
    for name, attrs in (("table", ("non_index_axes", "info", "pandas_type")), ("fixed", ("nblocks", "pandas_type"))):
        for attr in attrs:
            for bad in (b"", b"(lp0", b"nonsense", pickle.dumps([[5]], 0), pickle.dumps({1: 2}, 0), 10**6, np.arange(3)):
                shutil.copy(DATA / f"pandas/{name}.h5", work / "d.h5")
                with h5py.File(work / "d.h5", "a") as f:
                    group = f["a/b" if name == "table" else "df"]
                    group.attrs[attr] = np.bytes_(bad) if isinstance(bad, bytes) else bad
                done = script("prompts", work / "d.h5", "-o", work / "p.h5", "--overwrite", "--quiet", code=None)
                check(done.returncode in (0, 2) and (done.returncode == 0 or "d.h5" in done.stderr), name, attr, bad, done.stderr)


def any_value(rng, depth=0):
    kind = rng.randrange(11 if depth < 3 else 7)
    if kind == 0: return None
    if kind == 1: return rng.choice([True, False])
    if kind == 2: return rng.choice([0, 1, -1, 2**31, 2**53 + 1, 2**63, -2**63 - 1, 10**25])
    if kind == 3: return rng.choice([0.5, -0.0, 1e308, 1.0, 3.0])
    if kind in (4, 5, 6): return rng.choice(["", "x", "größe 水 👋🏽", "a\0b", "\ud800", "[1]", "{", "nan", "1", "true", "line\nline", "x" * 5000, "user", "<s>"])
    if kind in (7, 8): return [any_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(["role", "content", "from", "value", "type", "text", "name", "function", "arguments", "tool_calls"]): any_value(rng, depth + 1)
            for _ in range(rng.randrange(4))}


def any_message(rng):
    message = {"role": rng.choice(["user", "assistant", "system", "tool", "developer", "function_call", any_value(rng)]), "content": any_value(rng)}
    if rng.random() < 0.3: message["tool_calls"] = rng.choice([any_value(rng), [{"function": {"name": "f", "arguments": any_value(rng)}}]])
    if rng.random() < 0.2: message[rng.choice(["function_call", "refusal", "audio", "prefix", "reasoning_content", "thinking"])] = any_value(rng)
    return message


def any_row(rng):
    names = ["prompt", "messages", "conversations", "instruction", "input", "history", "system", "tools", "id", "n", "temperature", "stop", "stop_token_ids", "ignore_eos",
             "logprobs", "seed", "add_special_tokens", "continue_final_message", "chat_template_kwargs", "custom_id", "body", "url", "topic", "a/b", "images"]
    row = {name: any_value(rng) for name in rng.sample(names, rng.randrange(6))}
    if rng.random() < 0.5: row["messages"] = [any_message(rng) for _ in range(rng.randrange(4))]
    elif rng.random() < 0.7: row["prompt"] = rng.choice(["good", any_value(rng)])
    if rng.random() < 0.2: row = {"custom_id": rng.randrange(99), "url": rng.choice(["/v1/chat/completions", "/v1/responses", "/v1/completions"]), "body": row}
    return row


def rows_of_any_content(work):
    """Rows with any content: a file, or an error with its line; every row is in the file or in the list of skipped ones, and removing
    the skipped rows changes no byte of the prompts."""
    for seed in range(150):
        rng = random.Random(seed)
        (work / "t.jinja").write_text(rng.choice([TURNS, TURNS + "{{ tools | tojson if tools }}", "{% for m in messages %}{% if m['content'] is none %}{% for c in m.tool_calls %}"
                                                  "{{ c.function.name + c.function.arguments }}{% endfor %}{% else %}{{ m['content'] + '' }}{% endif %}{% endfor %}"]))
        rows = [any_row(rng) for _ in range(rng.randrange(1, 40))]
        words = ["--chat-template", work / "t.jinja", *rng.choice([[], ["--user-turn"], ["--system", "s"], ["--id-column", "none"], ["--drop-last-answer"], ["--continue-final-message"]])]
        (work / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        done = script("prompts", work / "a.jsonl", "-o", work / "p.h5", "--overwrite", "--on-error", "skip", *words, code=None)
        check(done.returncode in (0, 2) and "Traceback" not in done.stderr, seed, done.stderr)
        if done.returncode: continue
        listed = work / "p.h5.skipped.jsonl"
        skipped = {s["line"] for s in read_lines(listed)} if listed.exists() else set()
        got = columns(work / "p.h5")
        check(len(got["prompt" if "prompt" in got else "prompt_token_ids"]) == len(rows) - len(skipped), seed)
        check({len(values) for values in got.values()} == {len(rows) - len(skipped)}, seed, "columns of one length")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [packed_files, zstandard_files, zstandard_missing, standard_input, json_arrays, pandas_tables, hdf5_columns, without_file_locks,
                                               alpaca, rows_of_several_forms, several_files, damaged_files, rows_of_any_content], sys.argv[2:])
