#!/usr/bin/env python3
"""scripts/outputs.py: every format against what was written, filters, duplicates, scores, memory.

    outputs_out.py WORK_DIR [TEST ...]"""
import json
import pathlib
import subprocess
import sys

import h5py
import numpy as np

from tools import HAS_PYARROW, SCRIPTS, OutputsMaker, check, main, needs_pyarrow, read_lines, script, write_lines  # puts scripts/ on the path

from moemill_tools.digests import Digests

# Five prompts with two samples each; prompt 3 failed, and one sample of prompt 4.
IDS = ["a", "b", "ü", "d", "e"]
TEXTS = ["one", "two ", "größe 水 👋🏽", "x\ny\0z", "", "Two", "", "", "same", ""]
TOKENS = [[1, 2], [3], [4, 5, 6], [7], [], [8], [], [], [1, 1, 1, 1], []]
STATUS = [1, 1, 1, 1, 1, 1, 2, 2, 1, 2]
FINISH = [1, 2, 3, 1, 2, 4, 5, 5, 1, 5]
LOGPROBS = [[-0.5 * (i + 1)] * len(t) for i, t in enumerate(TOKENS)]
ERRORS = [(3, 0, "too_long", "prompt 3 is too long"), (3, 1, "too_long", "prompt 3 is too long"), (4, 1, "internal", "ü")]
MANIFEST = {"run_id": "0123456789abcdef" * 2, "prompts": 5, "shard_prompts": 2}
MESSAGES = [[{"role": "user", "content": f"ask {i}"}] for i in range(5)]


def outputs(path, first=0, last=5, logprobs=True, messages=True, **more):
    rows = slice(2 * first, 2 * last)
    maker = OutputsMaker(path, **more)
    tokens = [t for part in TOKENS[rows] for t in part]
    top = (np.array(tokens, "i4").reshape(-1, 1) + [0, 1], np.array([[-0.5, -1.5]] * len(tokens), "f4")) if logprobs else None
    maker.rows([p for p in range(first, last) for _ in range(2)], [0, 1] * (last - first), [IDS[p] for p in range(first, last) for _ in range(2)],
               [t.encode() for t in TEXTS[rows]], TOKENS[rows], STATUS[rows], FINISH[rows], LOGPROBS[rows] if logprobs else None, top)
    maker.carry("level", [p - 2 for p in range(first, last)], "i8").carry("score", [p / 4 if p else float("nan") for p in range(first, last)], "f8")
    maker.carry("good", [p % 2 == 0 for p in range(first, last)], "?").carry("topic", [f"t{p}ü" for p in range(first, last)])
    maker.carry("pair", [[p, -p] for p in range(first, last)], "i4").carry("text", [f"input {p}" for p in range(first, last)])
    if messages: maker.carry("messages", [json.dumps(m) for m in MESSAGES[first:last]])
    maker.scores([[float("nan"), -0.25 * p] for p in range(first, last)])
    maker.errors([e for e in ERRORS if first <= e[0] < last]).done()
    return path


def taken(work, source, *words, ending="jsonl"):
    script("outputs", source, "-o", work / f"o.{ending}", "--overwrite", *words)
    if ending == "parquet":
        import pyarrow.parquet as pq
        return pq.read_table(work / "o.parquet").to_pylist()
    return read_lines(work / f"o.{ending}")


def rows_have_everything(work):
    got = taken(work, outputs(work / "a.h5"), "--status", "all", "--add",
                "mean_logprob,token_ids,logprobs,top_ids,top_logprobs,prompt_logprobs,num_chars,seed")
    check(len(got) == 10)
    for i, row in enumerate(got):
        p, failed = i // 2, STATUS[i] == 2
        want = {"id": IDS[p], "prompt_index": p, "sample_index": i % 2, "status": "failed" if failed else "ok", "text": TEXTS[i],
                "finish_reason": [None, "stop", "length", "stop_string", "repetition", "error"][FINISH[i]], "num_prompt_tokens": 7,
                "num_completion_tokens": len(TOKENS[i]), "level": p - 2, "input_score": None if p == 0 else p / 4, "good": p % 2 == 0,
                "topic": f"t{p}ü", "pair": [p, -p], "input_text": f"input {p}", "messages": MESSAGES[p], "token_ids": TOKENS[i],
                "logprobs": LOGPROBS[i], "cumulative_logprob": sum(LOGPROBS[i]), "top_ids": [[t, t + 1] for t in TOKENS[i]],
                "mean_logprob": LOGPROBS[i][0] if LOGPROBS[i] else None, "top_logprobs": [[-0.5, -1.5]] * len(TOKENS[i]),
                "prompt_logprobs": [None, -0.25 * p], "num_chars": len(TEXTS[i]), "seed": 2**63 + p,
                "error_code": {3: "too_long", 4: "internal"}.get(p) if failed else None,
                "error_message": {3: "prompt 3 is too long", 4: "ü"}.get(p) if failed else None}
        check(row == want, i, {k: (row.get(k), want.get(k)) for k in row.keys() | want.keys() if row.get(k) != want.get(k)})
    check(taken(work, work / "a.h5", ending="jsonl.gz") == taken(work, work / "a.h5"))
    check(len(taken(work, work / "a.h5")) == 7, "only good rows by default")
    check(list(taken(work, work / "a.h5", "--columns", "topic,id,text")[0]) == ["topic", "id", "text"])
    first = (work / "o.jsonl").read_bytes()
    taken(work, work / "a.h5", "--columns", "topic,id,text")
    check((work / "o.jsonl").read_bytes() == first)


def parquet_is_the_same(work):
    needs_pyarrow()
    source = outputs(work / "a.h5")
    words = ["--status", "all", "--add", "mean_logprob,token_ids,logprobs,top_ids,top_logprobs,prompt_logprobs,seed"]
    want = taken(work, source, *words)
    for row in want: row["messages"] = json.dumps(row["messages"])
    check(taken(work, source, *words, ending="parquet") == want)
    for words in (["--format", "messages"], ["--format", "pairs", "--score", "num_completion_tokens"]):
        check(taken(work, source, *words, ending="parquet") == taken(work, source, *words), words)
    with h5py.File(work / "b.h5", "w") as new, h5py.File(source) as old:
        for name in old: old.copy(name, new)
        new.attrs.update(old.attrs)
        new["carry/messages"][0] = json.dumps([{"role": "user", "content": "x", "weight": 1}])
    done = script("outputs", work / "b.h5", "--format", "messages", "-o", work / "c.parquet", code=2)
    check("write JSONL" in done.stderr and not list(work.glob("c.parquet*")), done.stderr)


def filters(work):
    source = outputs(work / "a.h5")
    def kept(*words): return [2 * r["prompt_index"] + r["sample_index"] for r in taken(work, source, *words)]
    check(kept() == [0, 1, 2, 3, 4, 5, 8])
    check(kept("--status", "failed") == [6, 7, 9] and kept("--status", "ok,failed") == list(range(10)))
    check(kept("--finish-reason", "stop,length") == [0, 1, 3, 4, 8])
    check(kept("--min-tokens", "2") == [0, 2, 8] and kept("--max-tokens", "1") == [1, 3, 4, 5])
    check(kept("--min-chars", "4", "--max-chars", "5") == [1, 3, 8])
    check(kept("--min-mean-logprob", "-2") == [0, 1, 2, 3] and kept("--max-mean-logprob", "-2") == [3, 5, 8])
    check(kept("--limit", "3") == [0, 1, 2] and kept("--min-score", "1", "--score", "level") == [8])
    done = script("outputs", source, "-o", work / "n.jsonl", "--finish-reason", "stop", "--min-tokens", "2")
    check("3 left out: its status is not ok (--status)" in done.stderr and "4 left out: finish reason (--finish-reason)" in done.stderr and "1 left out: number of tokens" in done.stderr, done.stderr)
    check("logprobs: 0" in script("outputs", outputs(work / "b.h5", logprobs=False), "--min-mean-logprob", "-1", code=2).stderr)
    for words in (["--add", "logprobs"], ["--add", "top_ids"], ["--columns", "nothing"]):
        check("Traceback" not in script("outputs", work / "b.h5", *words, code=2).stderr)


def duplicates(work):
    source = outputs(work / "a.h5")
    def kept(*words): return [2 * r["prompt_index"] + r["sample_index"] for r in taken(work, source, *words)]
    check(kept("--dedup-answers") == [0, 1, 2, 3, 4, 8], "'two ' and 'Two' of two prompts")
    check(kept("--dedup", "all") == kept("--dedup", "prompt") == kept("--dedup") == [0, 1, 2, 3, 4, 5, 8], "two prompts may have one right answer")
    check("--dedup-answers" in script("outputs", source, "--dedup", "--dedup-answers", code=2).stderr)
    same_prompt_in_two_rows(work)
    maker = OutputsMaker(work / "b.h5")
    for at in range(0, 20000, 1000):
        rows = range(at, at + 1000)
        maker.rows([r // 4 for r in rows], [r % 4 for r in rows], [r // 4 for r in rows], [f"text {r * 7919 % 6000}".encode() for r in rows], [[1]] * 1000)
    maker.done()
    made = taken(work, work / "b.h5", "--dedup-answers")
    check(len(made) == 6000 and [r["text"] for r in made] == [f"text {r * 7919 % 6000}" for r in range(6000)], len(made))
    part, Digests.PART = Digests.PART, 1 << 6
    try:
        check(taken(work, work / "b.h5", "--dedup-answers") == made, "the same when looked through in 64 parts")
    finally:
        Digests.PART = part


def same_prompt_in_two_rows(work):
    """Rows of one prompt with one answer are duplicates, however the prompt is identified; the same answer to a different prompt is not."""
    prompts, asked = work / "dp.h5", ["2+2?", "1+3?", "2+2?", "2+2? "]
    with h5py.File(prompts, "w") as f: f["prompt"] = asked
    maker = OutputsMaker(work / "d.h5").rows(range(4), [0] * 4, list(range(4)), [b"4", b"4", b" 4\n", b"4"], [[1]] * 4)
    maker.carry("messages", [json.dumps([{"role": "user", "content": a.strip()}]) for a in asked]).done()
    def kept(*words):
        done = script("outputs", work / "d.h5", "-o", work / "d.jsonl", "--overwrite", *words)
        return [r["id"] for r in read_lines(work / "d.jsonl")], done.stderr
    check(kept("--dedup", "--prompts", prompts) == ([0, 1, 3], "note: 1 left out: its prompt and answer occurred before\n"), kept("--dedup", "--prompts", prompts))
    check(kept("--dedup", "all")[0] == [0, 1], "by their messages")
    check(kept("--dedup-answers") == ([0], "note: 3 left out: its answer occurred before, in any prompt\n"))
    check(kept("--dedup", "prompt")[0] == [0, 1, 2, 3] and kept("--format", "messages", "--dedup", "--prompts", prompts)[0] == [0, 1, 3])
    with h5py.File(work / "d.h5", "r+") as f: del f["carry/messages"]
    got, said = kept("--dedup")
    check(got == [0, 1, 2, 3] and "were not compared" in said, got, said)
    with h5py.File(prompts, "w") as f:
        ids = f.create_dataset("prompt_token_ids", (4,), h5py.vlen_dtype("i4"))
        for i, row in enumerate(([5, 6], [5], [5, 6], [5, 6, 7])): ids[i] = row
    check(kept("--dedup", "--prompts", prompts)[0] == [0, 1, 3], "by their token ids")


def carried_texts_of_odd_form(work):
    """Tables and lists of texts, records, Latin-1: their form in JSON and Parquet; bytes that are not UTF-8 are escaped and reported."""
    maker = OutputsMaker(work / "a.h5").rows([0, 1], [0, 0], ["a", "b"], [b"x", b"y"], [[1]] * 2)
    carry, text = maker.file["carry"], h5py.string_dtype()
    carry["pair"] = np.array([[b"ab", b"c"], ["ü".encode(), b""]], "S4")
    carry["latin"] = np.array([b"caf\xe9", b"plain"], "S5")
    carry["record"] = np.array([(1, b"n", [0.5, 1.5]), (2, b"m", [2, 3])], [("a", "i4"), ("b", "S3"), ("c", "f8", 2)])
    carry["wide"] = np.array([0.5, 1.25], "longdouble")
    tags, grid = carry.create_dataset("tags", (2,), h5py.vlen_dtype(text)), carry.create_dataset("grid", (2, 2), text)
    for i in range(2): tags[i], grid[i] = np.array(["x", "ö", str(i)][:i + 2], object), ["p", "q"]
    maker.done()
    want = [{"pair": ["ab", "c"], "latin": "caf\\xe9", "record": {"a": 1, "b": "n", "c": [0.5, 1.5]}, "wide": 0.5, "tags": ["x", "ö"], "grid": ["p", "q"]},
            {"pair": ["ü", ""], "latin": "plain", "record": {"a": 2, "b": "m", "c": [2.0, 3.0]}, "wide": 1.25, "tags": ["x", "ö", "1"], "grid": ["p", "q"]}]
    columns = ",".join(want[0])
    done = script("outputs", work / "a.h5", "-o", work / "o.jsonl", "--columns", columns)
    check(read_lines(work / "o.jsonl") == want, read_lines(work / "o.jsonl"))
    check(done.stderr.count("not UTF-8") == 1 and "column latin" in done.stderr, done.stderr)
    check("UTF-8" not in script("outputs", work / "a.h5", "--columns", "pair,tags").stderr, "only where it is met")
    if HAS_PYARROW:
        got = taken(work, work / "a.h5", "--columns", columns, ending="parquet")
        check([{**row, "record": json.loads(row["record"])} for row in got] == want, got)


def messages_and_completions(work):
    source = outputs(work / "a.h5")
    got = taken(work, source, "--format", "messages")
    check(got[2] == {"id": "b", "sample_index": 0, "messages": [*MESSAGES[1], {"role": "assistant", "content": TEXTS[2]}]}, got[2])
    check(taken(work, source, "--format", "messages", "--columns", "messages,level")[0] == {"messages": [*MESSAGES[0], {"role": "assistant", "content": "one"}], "level": -2})
    bare = outputs(work / "b.h5", messages=False)
    check("--prompts" in script("outputs", bare, "--format", "messages", code=2).stderr)
    with h5py.File(work / "p.h5", "w") as f: f["prompt"], f["id"] = [f"say {i}ü" for i in range(5)], IDS
    got = taken(work, bare, "--format", "messages", "--prompts", work / "p.h5")
    check(got[1]["messages"] == [{"role": "user", "content": "say 0ü"}, {"role": "assistant", "content": "two "}], got[1])
    got = taken(work, bare, "--format", "prompt-completion", "--prompts", work / "p.h5")
    check(got[-1] == {"id": "e", "sample_index": 0, "prompt": "say 4ü", "completion": "same"}, got[-1])
    packed = b"".join(f"say {i}ü".encode() for i in range(5))
    with h5py.File(work / "q.h5", "w") as f:
        f["prompt/values"], f["prompt/offsets"], f["id"] = np.frombuffer(packed, "u1"), np.arange(6) * 7, IDS
    check(taken(work, bare, "--format", "prompt-completion", "--prompts", work / "q.h5") == got)
    fault = script("outputs", bare, "--columns", "prompt_token_ids", "--prompts", work / "q.h5", code=2).stderr
    check(f"{work / 'q.h5'}: has no prompt_token_ids" in fault, fault)
    with h5py.File(work / "r.h5", "w") as f: f["prompt"], f["id"] = ["x"] * 5, IDS[::-1]
    check("is not the file" in script("outputs", bare, "--format", "messages", "--prompts", work / "r.h5", code=2).stderr)
    with h5py.File(work / "s.h5", "w") as f: f["prompt_token_ids/values"], f["prompt_token_ids/offsets"] = np.arange(10), np.arange(6) * 2
    check("no text" in script("outputs", bare, "--format", "messages", "--prompts", work / "s.h5", code=2).stderr)
    check(taken(work, bare, "--columns", "prompt_token_ids", "--prompts", work / "s.h5")[2] == {"prompt_token_ids": [2, 3]})
    maker = OutputsMaker(work / "t.h5").rows([0, 1, 2], [0] * 3, [0, 1, 2], [b"<think>\nwhy\n</think>\n\nso", b"why</think>so", b"so"], [[1]] * 3)
    maker.carry("messages", [json.dumps(MESSAGES[0])] * 3).done()
    got = [r["messages"][-1] for r in taken(work, work / "t.h5", "--format", "messages", "--split-thinking")]
    check(got == [{"role": "assistant", "reasoning_content": "why", "content": "so"}] * 2 + [{"role": "assistant", "content": "so"}], got)


def pairs_and_scores(work):
    source = outputs(work / "a.h5")
    got = taken(work, source, "--format", "pairs", "--score", "mean_logprob")
    check([(r["id"], r["prompt"], r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in got] ==
          [("a", MESSAGES[0], "one", "two "), ("b", MESSAGES[1], TEXTS[2], TEXTS[3])], got)
    scores = [{"id": IDS[i // 2], "sample_index": i % 2, "reward": i * 0.5} for i in range(10) if i != 5]
    write_lines(work / "s.jsonl", scores)
    lines = ["id,sample_index,reward"] + [f"{s['id']},{s['sample_index']},{s['reward']}" for s in scores]
    (work / "s.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with h5py.File(work / "s.h5", "w") as f:
        for name in scores[0]: f[name] = [s[name] for s in scores]
    names = ["s.jsonl", "s.csv", "s.h5"]
    if HAS_PYARROW:
        import pyarrow as pa
        import pyarrow.parquet as pq
        pq.write_table(pa.Table.from_pylist(scores), work / "s.parquet")
        names.append("s.parquet")
    for name in names:
        words = ["--scores", work / name, "--score", "reward"]
        got = taken(work, source, "--format", "pairs", *words)
        check([(r["chosen"][0]["content"], r["rejected"][0]["content"], r["score_chosen"], r["score_rejected"]) for r in got] ==
              [("two ", "one", 0.5, 0.0), (TEXTS[3], TEXTS[2], 1.5, 1.0)], name, got)
        check([r["score"] for r in taken(work, source, "--add", "score", *words)] == [0, .5, 1, 1.5, 2, None, 4])
        check(len(taken(work, source, "--min-score", "1.5", *words)) == 3 and taken(work, source, "--format", "pairs", "--min-margin", "0.6", *words) == [])
    by_index = write_lines(work / "i.jsonl", [{"prompt_index": 0, "sample_index": 0, "score": 1}])
    check([r["score"] for r in taken(work, source, "--scores", by_index, "--add", "score")] == [1] + [None] * 6)
    twice = write_lines(work / "t.jsonl", [{"id": "a", "sample_index": 0, "score": 1}, {"id": "a", "sample_index": 0, "score": 2}])
    check("more than one score" in script("outputs", source, "--scores", twice, "--add", "score", code=2).stderr)
    check("no column" in script("outputs", source, "--scores", by_index, "--score", "x", "--add", "score", code=2).stderr)
    check("--scores" in script("outputs", source, "--format", "pairs", code=2).stderr)


def batch_results(work):
    got = taken(work, outputs(work / "a.h5", config_yaml="model:\n  path: /models/Tiny-MoE\n"), "--format", "openai-batch")
    check([r["custom_id"] for r in got] == IDS and len({r["id"] for r in got}) == 5)
    body = got[0]["response"]["body"]
    check(body["object"] == "chat.completion" and body["model"] == "Tiny-MoE" and body["created"] == 1767323045 and got[0]["error"] is None, body)
    check([(c["index"], c["message"]["content"], c["finish_reason"]) for c in body["choices"]] == [(0, "one", "stop"), (1, "two ", "length")], body)
    check(got[1]["response"]["body"]["choices"][0]["finish_reason"] == "stop", "a stop string is a stop to OpenAI")
    check(body["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}, body)
    check(got[3]["response"] is None and got[3]["error"] == {"code": "too_long", "message": "prompt 3 is too long"}, got[3])
    check(len(got[4]["response"]["body"]["choices"]) == 1)
    maker = OutputsMaker(work / "b.h5").rows([0], [0], [12], [b"x"], [[5]], logprobs=[[-0.25]])
    maker.carry("url", ["/v1/completions"]).carry("model", ["m"]).done()
    [row] = taken(work, work / "b.h5", "--format", "openai-batch")
    choice = row["response"]["body"]["choices"][0]
    check(row["response"]["body"]["object"] == "text_completion" and row["response"]["body"]["model"] == "m" and row["custom_id"] == "12", row)
    check(choice["text"] == "x" and choice["logprobs"] == {"tokens": ["token_id:5"], "token_logprobs": [-0.25], "top_logprobs": None, "text_offset": None}, choice)
    check(taken(work, work / "b.h5", "--format", "openai-batch", "--add", "logprobs") == [row])
    urls = ["/v1/completions", "/v1/completions/", "/completions", "http://h/v1/completions", "/v1/chat/completions", "/chat/completions/", "/v1/responses", ""]
    count = len(urls)
    OutputsMaker(work / "u.h5").rows(range(count), [0] * count, range(count), [b"x"] * count, [[1]] * count).carry("url", urls).done()
    got = [row["response"]["body"]["object"] for row in taken(work, work / "u.h5", "--format", "openai-batch")]
    check(got == ["text_completion"] * 4 + ["chat.completion"] * 4, got)


def refused(run, *words):
    """Messages of outputs.py about a run directory that it cannot read: one line each."""
    done = script("outputs", run, "--limit", "1", "--status", "all", *words, code=2)
    check(done.stderr.startswith("outputs.py: ") and done.stderr.count("\n") == 1, done.stderr)
    return done.stderr


def values_that_a_format_has_not(work):
    """Complex numbers, half of a surrogate pair, messages that are not messages, a negative limit: one line, or the value as it is."""
    def source(name, value, **more):
        maker = OutputsMaker(work / name).rows([0, 1], [0, 0], ["a", "b"], [b"x", b"y"], [[1]] * 2, logprobs=[[-1.0]] * 2)
        maker.carry("v", value, **more).carry("deep", [[0.5, float("nan")], [1, 2]], "f8").done()
        return work / name
    z = source("z.h5", [1j, 2], dtype="c16")
    check("column v holds" in refused(z) and "--columns" in refused(z))
    check(taken(work, z, "--columns", "id,deep") == [{"id": "a", "deep": [0.5, None]}, {"id": "b", "deep": [1, 2]}])
    half = source("s.h5", ['["\\ud83d ü"]', "[1]"])
    check([r["v"] for r in taken(work, half, "--json-column", "v")] == [["\ud83d ü"], [1]] and "\\ud83d ü" in (work / "o.jsonl").read_text(encoding="utf-8"))
    with h5py.File(half, "r+") as f: f["carry"].move("v", "messages")
    check(taken(work, half)[0]["messages"] == ["\ud83d ü"])
    check("not a list of messages" in refused(half, "--format", "messages"))
    if HAS_PYARROW:
        check("write JSONL" in script("outputs", half, "-o", work / "p.parquet", code=2).stderr and not list(work.glob("p.parquet*")))
        check("--drop v" in script("outputs", z, "-o", work / "p.parquet", code=2).stderr)
    for limit in ("-1", "x", "1.5"): check("whole number" in script("outputs", z, "--limit", limit, code=2).stderr)
    check(taken(work, half, "--limit", "0") == [])


# The process reports its own peak, because wait4's value includes the parent's memory at the fork.
PEAK = """import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(*[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")])"""


def peak_mb(*words):
    done = subprocess.run([sys.executable, "-c", PEAK, SCRIPTS / "outputs.py", *map(str, words)], capture_output=True, text=True)
    check(done.returncode == 0, words, done.stderr)
    return int(done.stdout.splitlines()[-1]) / 1024


def peaks_of_long_rows(work, ending, spare):
    """Prompts and carried columns of 200 KB: the size of a block does not grow with their number."""
    def source(name, count, packed):
        texts = [f"{i:06}" * 34_000 for i in range(count)]
        with h5py.File(work / f"{name}.prompts.h5", "w") as f:
            if packed:
                f["prompt/values"] = np.frombuffer("".join(texts).encode(), "u1")
                f["prompt/offsets"] = np.arange(count + 1) * len(texts[0])
            else: f["prompt"] = texts
        maker = OutputsMaker(work / f"{name}.h5", config_yaml=f"input:\n  path: {work / name}.prompts.h5\n")
        maker.rows(range(count), [0] * count, range(count), [b"answer"] * count, [[1]] * count).carry("long", texts).done()
        return work / f"{name}.h5"
    few, many, rows = source("few", 2, True), source("many", 800, True), source("rows", 800, False)
    for words, paths in (([], [many]), (["--columns", "prompt"], [many, rows])):
        words = [*words, "-o", work / f"o.{ending}", "--overwrite"]
        small = peak_mb(few, *words)
        for path in paths:
            large = peak_mb(path, *words)
            print(f"        {path.name} {words[:2]} {ending}: {large:.0f} MB for 160 MB, {small:.0f} MB for 2 rows")
            check(large < small + spare, path, words, small, large)


def memory_of_long_rows(work): peaks_of_long_rows(work, "jsonl", 60)


def memory_of_long_rows_in_parquet(work):
    needs_pyarrow()
    peaks_of_long_rows(work, "parquet", 160)


def large_rows_and_blocks(work):
    """Rows larger than a block, thousands of small ones, samples of a prompt and failed rows across blocks."""
    texts = [("x" * (6 << 20)).encode(), b"", ("ü" * (3 << 20)).encode()] + [f"row {i}".encode() for i in range(9000)]
    prompts = [0, 0, 0] + [1 + i // 7 for i in range(9000)]
    samples = [0, 1, 2] + [i % 7 for i in range(9000)]
    status = [1 if i % 11 else 2 for i in range(9003)]
    maker = OutputsMaker(work / "a.h5")
    for at in range(0, len(texts), 3000):
        part = slice(at, at + 3000)
        maker.rows(prompts[part], samples[part], prompts[part], texts[part], [[1]] * len(texts[part]), status[part])
    maker.errors([(p, s, "internal", f"row {i}") for i, (p, s) in enumerate(zip(prompts, samples)) if status[i] == 2])
    maker.carry("level", list(range(prompts[-1] + 1)), "i8").done()
    got = taken(work, work / "a.h5", "--status", "all")
    check([r["text"].encode() for r in got] == texts and [r["level"] for r in got] == prompts)
    check([r["error_message"] for r in got] == [f"row {i}" if status[i] == 2 else None for i in range(9003)])


def what_a_run_may_have_stored(work):
    """Why a row ended, and the token ids that the model read: columns if the run stored them; no prompts.h5 is needed."""
    source = outputs(work / "a.h5")
    check("output.store with stop_reason" in refused(source, "--add", "stop_reason") and "--prompts" in refused(source, "--columns", "prompt_token_ids"))
    with h5py.File(source, "r+") as f:
        texts = [b"END", b"", "ü".encode(), b"7"] + [b""] * 6
        f["completions/stop_reason/values"], f["completions/stop_reason/offsets"] = np.frombuffer(b"".join(texts), "u1"), np.cumsum([0, *map(len, texts)])
        f["prompt_token_ids/values"], f["prompt_token_ids/offsets"] = np.arange(10, dtype="i4"), np.arange(0, 11, 2)
    rows = taken(work, source, "--add", "prompt_token_ids")
    check([r["stop_reason"] for r in rows[:4]] == ["END", None, "ü", "7"] and [r["prompt_token_ids"] for r in rows[:3]] == [[0, 1], [0, 1], [2, 3]], rows[:4])
    if HAS_PYARROW: check(taken(work, source, "--columns", "stop_reason,prompt_token_ids", ending="parquet")[0] == {"stop_reason": "END", "prompt_token_ids": [0, 1]})


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [
        rows_have_everything, parquet_is_the_same, filters, duplicates, messages_and_completions, pairs_and_scores, batch_results,
        values_that_a_format_has_not, memory_of_long_rows, memory_of_long_rows_in_parquet, large_rows_and_blocks, carried_texts_of_odd_form,
        what_a_run_may_have_stored], sys.argv[2:])
