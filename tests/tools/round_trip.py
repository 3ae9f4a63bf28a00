#!/usr/bin/env python3
"""Through the program and back: rows of a file become prompts, a job answers them, and every output format has the contents of
outputs.h5, joined with the columns of the rows. Also the report of that run.

    round_trip.py WORK_DIR MOEMILL [TEST ...]"""
import json
import os
import pathlib
import subprocess
import sys

import h5py
import numpy as np

from tools import HAS_PYARROW, SOURCE, check, column, main, read_lines, script, write_lines

PROGRAM = pathlib.Path(sys.argv[2]).resolve()
MODEL = SOURCE / "tests/data/models/deepseek_v3"
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
ROWS = [{"id": f"row-{i}", "messages": [{"role": "user", "content": f"größe {i} 水"}], "n": 1 + i % 3, "temperature": 0.5 + 0.1 * i,
         "max_tokens": 4 + i, "topic": f"t{i}", "level": None if i == 2 else i, "tags": ["x", i], "good": i > 2, "price": i / 3} for i in range(6)]


def moemill(*words):
    done = subprocess.run([PROGRAM, *map(str, words)], text=True, capture_output=True, timeout=300,
                          env=dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1"))
    check(done.returncode == 0, f"exit {done.returncode}", done.args, done.stdout[-1500:], done.stderr[-3000:])


def job(work, source, *words):
    script("prompts", source, "-o", work / "p.h5", "--quiet", *words)
    moemill("run", "--model", MODEL, "-i", work / "p.h5", "-o", work / "run", "--set", "sampling.logprobs=1", "--set",
            "sampling.prompt_logprobs=true", "--set", "errors.max_failed_fraction=1", "--set", "sampling.ignore_eos=true")
    return work / "run"


def export(work, run, *words, ending="jsonl"):
    script("outputs", run, "-o", work / f"o.{ending}", "--overwrite", *words)
    if ending == "jsonl": return read_lines(work / "o.jsonl")
    import pyarrow.parquet as pq
    return pq.read_table(work / "o.parquet").to_pylist()


def chat_there_and_back(work):
    (work / "t.jinja").write_text(TEMPLATE)
    run = job(work, write_lines(work / "a.jsonl", ROWS), "--chat-template", work / "t.jinja")
    with h5py.File(run / "outputs.h5") as f:
        c = f["completions"]
        want = {n: column(c, n) for n in ("text", "id", "token_ids", "prompt_index", "sample_index", "num_completion_tokens")}
    check(len(want["id"]) == sum(r["n"] for r in ROWS))
    got = export(work, run, "--add", "token_ids,logprobs,prompt_logprobs,prompt")
    check(len(got) == len(want["id"]))
    for i, row in enumerate(got):
        source = ROWS[row["prompt_index"]]
        check(all(row[n] == values[i] for n, values in want.items()), row)
        check(all(row[n] == source[n] for n in ("id", "messages", "topic", "level", "tags", "good", "price")), row, source)
        check(row["num_completion_tokens"] == source["max_tokens"] == len(row["token_ids"]) == len(row["logprobs"]), row)
        check(row["prompt"] == f"user: {source['messages'][0]['content']}\nassistant:", row)
        check(len(row["prompt_logprobs"]) == row["num_prompt_tokens"] and abs(sum(row["logprobs"]) - row["cumulative_logprob"]) < 1e-3, row)
    chat = export(work, run, "--format", "messages")
    check([m["messages"] for m in chat] == [[*ROWS[r["prompt_index"]]["messages"], {"role": "assistant", "content": r["text"]}] for r in got])
    whole = export(work, run, "--format", "prompt-completion")
    check([(w["prompt"], w["completion"]) for w in whole] == [(r["prompt"], r["text"]) for r in got])
    pairs = export(work, run, "--format", "pairs", "--score", "mean_logprob")
    check(0 < len(pairs) <= 4 and all(p["score_chosen"] > p["score_rejected"] for p in pairs), pairs)
    if HAS_PYARROW:
        flat = export(work, run, "--add", "token_ids,logprobs,prompt_logprobs,prompt", ending="parquet")
        for row in flat: row["messages"], row["tags"] = json.loads(row["messages"]), json.loads(row["tags"])
        for name in ("cumulative_logprob", "logprobs", "prompt_logprobs"):  # float32, which JSON has with as many digits as it needs
            for row, other in zip(got, flat):
                single, theirs = np.array(row[name], "f4"), np.array(other.pop(name), "f4")
                check(np.array_equal(single, theirs, equal_nan=True), name, single, theirs)
        check(flat == [{k: v for k, v in row.items() if "logprob" not in k} for row in got])
    rows = [{**row, "messages": [{"role": "user", "content": "another question"}]} for row in ROWS]  # with the ids from before
    (work / "p.h5").rename(work / "old.h5")
    script("prompts", write_lines(work / "b.jsonl", rows), "-o", work / "p.h5", "--quiet", "--chat-template", work / "t.jinja")
    done = script("outputs", run, "--format", "prompt-completion", code=2)
    check(f"{work / 'p.h5'}: has changed since this run was made" in done.stderr, done.stderr)
    check(export(work, run, "--format", "prompt-completion", "--prompts", work / "old.h5") == whole)
    again = work / "again.jsonl"  # the output becomes input
    write_lines(again, chat)
    script("prompts", again, "-o", work / "q.h5", "--quiet", "--chat-template", work / "t.jinja", "--drop-last-answer", "--id-column", "none")
    with h5py.File(work / "q.h5") as f:
        check(column(f, "prompt") == [r["prompt"] for r in got] and column(f, "dropped_answer") == [r["text"] for r in got])


def failed_rows_come_back(work):
    rows = [{"custom_id": "fine", "method": "POST", "url": "/v1/completions", "body": {"model": "m", "prompt": "one two", "max_tokens": 5, "n": 2}},
            {"custom_id": "empty", "method": "POST", "url": "/v1/completions", "body": {"model": "m", "prompt": "", "max_tokens": 5}},
            {"custom_id": "chat", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": ROWS[0]["messages"], "max_tokens": 3}}]
    (work / "t.jinja").write_text(TEMPLATE)
    run = job(work, write_lines(work / "a.jsonl", rows), "--chat-template", work / "t.jinja")
    fine, empty, chat = export(work, run, "--format", "openai-batch")
    check(fine["custom_id"] == "fine" and fine["response"]["body"]["model"] == "m" and fine["response"]["body"]["object"] == "text_completion", fine)
    check([c["finish_reason"] for c in fine["response"]["body"]["choices"]] == ["length"] * 2 and
          fine["response"]["body"]["usage"]["completion_tokens"] == 10, fine)
    check(empty["custom_id"] == "empty" and empty["response"] is None and empty["error"]["code"] == "empty", empty)
    body = chat["response"]["body"]
    check(body["object"] == "chat.completion" and body["choices"][0]["message"]["role"] == "assistant" and chat["error"] is None, chat)
    [row] = export(work, run, "--status", "failed")
    check(row["error_code"] == "empty" and row["text"] == "" and row["id"] == "empty", row)
    page = script("report", run).stdout
    text = (run / "report.html").read_text(encoding="utf-8")
    check("KB" in page and "1 row failed" in text and "<td>empty</td>" in text and "data:image/svg+xml;base64," in text, page)


def other_forms_give_the_same_job(work):
    plain = [{"id": i, "prompt": f"größe {i}", "max_tokens": 3 + i, "topic": f"t{i}"} for i in range(4)]
    texts = []
    (work / "a.csv").write_text("id,prompt,max_tokens,topic\n" + "".join(",".join(map(str, r.values())) + "\n" for r in plain), encoding="utf-8")
    sources = [write_lines(work / "a.jsonl", plain), work / "a.csv"]
    if HAS_PYARROW:
        import pyarrow as pa
        import pyarrow.parquet as pq
        pq.write_table(pa.Table.from_pylist(plain), work / "a.parquet")
        sources.append(work / "a.parquet")
    for source in sources:
        folder = work / source.suffix[1:]
        folder.mkdir()
        texts.append(export(folder, job(folder, source)))
    check(all(t == texts[0] for t in texts) and len(texts[0]) == 4 and texts[0][3]["topic"] == "t3", texts[0])
    first = (work / "jsonl/p.h5").read_bytes()
    check(all((work / s.suffix[1:] / "p.h5").read_bytes() == first for s in sources), "the same rows, the same prompts.h5")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [chat_there_and_back, failed_rows_come_back, other_forms_give_the_same_job], sys.argv[3:])
