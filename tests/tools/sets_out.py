#!/usr/bin/env python3
"""scripts/outputs.py where data sets are made: several runs at once, columns that are dropped or never read, ShareGPT, Alpaca, KTO, a
validation file, a second round, perplexities.

    sets_out.py WORK_DIR [TEST ...]"""
import json
import math
import pathlib
import sys
import types

import h5py
import numpy as np

from answers_out import model_folder
from tools import HAS_PYARROW, OutputsMaker, check, column, main, read_lines, script, write_lines
from moemill_io import OWN, read_run
from moemill_tools.outputs.names import own_names

SYSTEM = {"role": "system", "content": "Be brief."}
LONG = [SYSTEM, {"role": "user", "content": "a?"}, {"role": "assistant", "content": "A."}, {"role": "user", "content": "b?"}]


def run_of(path, ids, texts=None, samples=1, config="", **carried):
    count = len(ids) * samples
    index = [i // samples for i in range(count)]
    maker = OutputsMaker(path, config_yaml=config)
    maker.rows(index, [i % samples for i in range(count)], [ids[i] for i in index], [t.encode() for t in texts or [f"text {i}" for i in range(count)]], [[1]] * count)
    for name, values in carried.items(): maker.carry(name, values, "?" if isinstance(values[0], bool) else None)
    maker.done()
    return path


def exported(work, *words, ending="jsonl"):
    done = script("outputs", *words, "-o", work / f"o.{ending}", "--overwrite")
    if ending == "jsonl": return read_lines(work / "o.jsonl"), done.stderr
    import pyarrow.parquet as pq
    return pq.read_table(work / "o.parquet").to_pylist(), done.stderr


def chats(*conversations): return [json.dumps(c) for c in conversations]


def several_runs(work):
    """One run after another, with the column run; columns of only one of them are null in the other; duplicates and limits count over
    all."""
    one = run_of(work / "one.h5", [1, 2], ["x", "y"], topic=["t", "u"], level=[1.0, 2.0])
    two = run_of(work / "two.h5", ["a", "b", "c"], ["x", "z", "w"], level=[3.0, 4.0, 5.0], more=["m", "n", "o"])
    rows, said = exported(work, one, two)
    check([(r["run"], r["id"], r["text"], r["topic"], r["level"], r["more"]) for r in rows] == [
        (str(one), 1, "x", "t", 1.0, None), (str(one), 2, "y", "u", 2.0, None), (str(two), "a", "x", None, 3.0, "m"), (str(two), "b", "z", None, 4.0, "n"),
        (str(two), "c", "w", None, 5.0, "o")], rows)
    check([r["id"] for r in exported(work, one, two, "--columns", "id,topic", "--limit", "3")[0]] == [1, 2, "a"])
    check([r["id"] for r in exported(work, one, two, "--dedup-answers")[0]] == [1, 2, "b", "c"], "over all runs")
    check([list(r) for r in exported(work, one, two, "--columns", "id,topic", "--drop", "id")[0]] == [["topic"]] * 5)
    done = script("outputs", one, "--columns", "id", "--columns", "text", two, "--limit", "1", "--drop", "text")
    check(json.loads(done.stdout) == {"id": 1}, "options said twice add up, runs may stand between them", done.stdout)
    (work / "link.h5").symlink_to(one)
    for again in (one, f"{work}/../{work.name}/one.h5", work / "link.h5"):
        check(f"one.h5: is the same run as {one}" in script("outputs", one, two, again, code=2).stderr.replace("link", "one").replace(f"{work}/../{work.name}", str(work)), again)
    for words, word in ((["--prompts", one], "--prompts is for one run"), (["--format", "openai-batch"], "takes one run"), (["--columns", "none"], "no column none")):
        check(word in script("outputs", one, two, *words, code=2).stderr, word)
    if HAS_PYARROW:
        got, _ = exported(work, one, two, ending="parquet")
        check([r["id"] for r in got] == ["1", "2", "a", "b", "c"] and [r["topic"] for r in got] == ["t", "u", None, None, None], got)
        three = run_of(work / "three.h5", [9], level=["high"])
        check("--drop level" in script("outputs", one, three, "-o", work / "p.parquet", code=2).stderr and not list(work.glob("p.parquet*")))
        script("outputs", one, three, "-o", work / "p.parquet", "--drop", "level")


def names_that_are_taken(work):
    """The run's own columns keep their names, and no column of the input is lost: read_run does the same."""
    one = run_of(work / "one.h5", [1], ["answer"], **{name: [f"in {name}"] for name in ("text", "input_text", "run", "content", "label", "perplexity")})
    rows, said = exported(work, one)
    check({n: v for n, v in rows[0].items() if str(v).startswith("in ")} == {
        "input_input_text": "in text", "input_text": "in input_text", **{n: f"in {n}" for n in ("run", "content", "label", "perplexity")}} and rows[0]["text"] == "answer", rows)
    check(said.count("text is input_input_text") == 1 and "label is" not in said, said)
    check(OWN <= own_names(types.SimpleNamespace(format="rows", split=False), []), "what read_run has, outputs.py has")
    (row,), own = list(read_run(one)), run_of(work / "two.h5", [2], ["b"], text=["in b"])
    check((row["text"], row["input_text"], row["input_input_text"]) == ("answer", "in input_text", "in text"), row)
    check("input_text" not in exported(work, one, "--columns", "id,run")[1], "a column that nobody meets needs no note")
    rows, said = exported(work, one, own)
    check([(r["run"], r["input_run"], r["input_input_text"]) for r in rows] == [(str(one), "in run", "in text"), (str(own), None, "in b")], "in all runs the same", rows)
    rows, said = exported(work, one, "--split-answers")
    check((rows[0]["content"], rows[0]["input_content"]) == ("answer", "in content") and "content is input_content" in said, rows, said)
    chat = run_of(work / "chat.h5", [1], ["answer"], text=["next?"], messages=chats(LONG))
    for column, turn in (("text", "answer"), ("input_text", "next?")):
        rows, said = exported(work, chat, "--format", "messages", "--then", column)
        check(rows[0]["messages"][-1]["content"] == turn and "text is input_text" in said, rows, said)
    scored = run_of(work / "scored.h5", [1], score=[2])
    check("the input's is called input_score" in script("outputs", scored, "--score", "score", "--add", "score", code=2).stderr)
    check(exported(work, scored, "--score", "input_score", "--add", "score")[0][0]["score"] == 2)
    if HAS_PYARROW: check(exported(work, one, "--columns", "label", ending="parquet")[0] == [{"label": "in label"}])


def only_columns_that_are_asked_for(work):
    """Columns that are not requested may hold anything: they are not read, and not refused."""
    source = run_of(work / "a.h5", ["a", "b"], topic=["t", "u"])
    with h5py.File(source, "r+") as f:
        f["carry/odd"] = np.array([b"ab", b"cd"], "V2")
        f["carry/broken"] = np.arange(2)
        f["carry"].create_group("group")
    check(exported(work, source, "--columns", "id,topic")[0] == [{"id": "a", "topic": "t"}, {"id": "b", "topic": "u"}])
    check([sorted(r) for r in exported(work, source, "--drop", "odd,group", "--drop", "broken", "--columns", "id,topic,odd,broken")[0]] == [["id", "topic"]] * 2)
    check("--drop odd" in script("outputs", source, "--drop", "group", code=2).stderr, "at the start")
    check("no column non" in script("outputs", source, "--drop", "non", code=2).stderr)
    if HAS_PYARROW: exported(work, source, "--columns", "id,topic", ending="parquet")


def conversations(work):
    """ShareGPT and Alpaca, with earlier turns; tools have no Alpaca form."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]}
    tooled = [{"role": "user", "content": [{"type": "text", "text": "c?"}]}, call, {"role": "tool", "content": "2", "tool_call_id": "1"}]
    source = run_of(work / "a.h5", ["a", "b"], ["B.", "C."], messages=chats(LONG, tooled), tools=["", json.dumps([{"name": "f"}])])
    rows, _ = exported(work, source, "--format", "sharegpt", "--json-column", "tools")
    check(rows[0] == {"id": "a", "sample_index": 0, "conversations": [{"from": f, "value": v} for f, v in (
        ("system", "Be brief."), ("human", "a?"), ("gpt", "A."), ("human", "b?"), ("gpt", "B."))], "tools": None}, rows[0])
    check(rows[1]["conversations"] == [{"from": f, "value": v} for f, v in (
        ("human", "c?"), ("function_call", '{"name": "f", "arguments": {"x": 1}}'), ("observation", "2"), ("gpt", "C."))], rows[1])
    rows, said = exported(work, source, "--format", "alpaca")
    want = {"id": "a", "sample_index": 0, "instruction": "b?", "input": "", "output": "B.", "system": "Be brief.", "history": [["a?", "A."]]}
    check(rows == [want] and "1 left out" in said and "no Alpaca form" in said and "tools are" not in said, rows, said)
    asked = run_of(work / "b.h5", ["a", "b"], messages=chats(LONG, LONG), tools=["[]", json.dumps([{"name": "f"}])])
    check("note: in 1 row the prompt's tools are left out" in exported(work, asked, "--format", "alpaca")[1])
    check("tools are" not in exported(work, asked, "--format", "alpaca", "--add", "tools")[1])
    if HAS_PYARROW:
        check(exported(work, source, "--format", "alpaca", ending="parquet")[0] == [want])
        check(exported(work, source, "--format", "sharegpt", ending="parquet")[0][1]["conversations"][1]["from"] == "function_call")
    script("prompts", work / "o.jsonl", "--model", model(work), "-o", work / "p.h5", "--quiet", code=None)


def content_in_parts(work):
    """JSON Lines keep the parts; for columns of text, in Parquet and other formats, their texts are joined. Parts that are not text are
    not lost silently."""
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "7+8?"}]
    asked, joined = [SYSTEM, {"role": "user", "content": parts}], [SYSTEM, {"role": "user", "content": "What is\n7+8?"}]
    source = run_of(work / "a.h5", ["a"], ["15", "16"], samples=2, messages=chats(asked))
    says = [{"role": "assistant", "content": text} for text in ("15", "16")]
    def both(*words): return exported(work, source, *words)[0][0], exported(work, source, *words, ending="parquet")[0][0] if HAS_PYARROW else None
    scores = write_lines(work / "s.jsonl", [{"id": "a", "sample_index": i, "score": i} for i in (0, 1)])
    for words, name, want in ((["--format", "messages"], "messages", [says[0]]), (["--format", "kto", "--scores", scores], "prompt", []),
                                (["--format", "pairs", "--scores", scores], "prompt", [])):
        line, row = both(*words)
        check(line[name] == [*asked, *want], line)
        check(not row or row[name] == [*joined, *want], row)
    for form, told in (("sharegpt", lambda r: r["conversations"][1]["value"]), ("alpaca", lambda r: r["instruction"])):
        for row in both("--format", form): check(not row or told(row) == "What is\n7+8?", row)
    line, row = both()
    check(line["messages"] == asked and (not row or json.loads(row["messages"]) == asked), line)
    image = [{"role": "user", "content": [*parts, {"type": "image_url", "image_url": {"url": "x"}, "text": ""}]}]
    source = run_of(work / "b.h5", ["a"], ["15"], messages=chats(image))
    check(exported(work, source, "--format", "messages")[0][0]["messages"][0] == image[0])
    for form in ("sharegpt", "alpaca"): check("parts that are not text" in script("outputs", source, "--format", form, code=2).stderr, form)
    if HAS_PYARROW: check("write JSONL" in script("outputs", source, "--format", "messages", "-o", work / "p.parquet", code=2).stderr)


def answers_as_token_ids(work):
    """A run that stored no text: rows have token_ids and a note says why; formats that need text say how to get it."""
    source = run_of(work / "a.h5", ["a", "b"])
    with h5py.File(source, "r+") as f: del f["completions/text"]
    rows, said = exported(work, source)
    check([r["token_ids"] for r in rows] == [[1], [1]] and "text" not in rows[0], rows)
    check(said.count("stored no text") == 1 and "output.store: [text, token_ids]" in said and "token_ids in its place" in said, said)
    check("stored no text" not in exported(work, source, "--columns", "id,token_ids")[1], "what was asked for is there")
    if HAS_PYARROW: check(exported(work, source, ending="parquet")[0][0]["token_ids"] == [1])
    for words in (["--format", "messages"], ["--format", "openai-batch"], ["--format", "pairs", "--score", "num_completion_tokens"], ["--columns", "text"], ["--dedup-answers"],
                  ["--min-chars", "2"]):
        with h5py.File(work / "p.h5", "w") as f: f["prompt"] = ["x", "y"]
        fault = script("outputs", source, "--prompts", work / "p.h5", *words, code=2).stderr
        check("did not store text; the next run does if run.yaml has output.store with text" in fault and "--columns id,sample_index,token_ids" in fault, fault)
    with h5py.File(source, "r+") as f: del f["completions/token_ids"]
    check("rows have no answer" in exported(work, source)[1])


def model(work):
    folder = work / "model"
    folder.mkdir(exist_ok=True)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}")
    return folder


def unpaired(work):
    """KTO: a label from a column of truths, from scores of 0 and 1, or from a threshold; no label is guessed."""
    source = run_of(work / "a.h5", ["a", "b"], messages=chats([SYSTEM], LONG), good=[True, False], level=[0.2, 3.5])
    rows, _ = exported(work, source, "--format", "kto", "--score", "good")
    check(rows == [{"id": "a", "sample_index": 0, "prompt": [SYSTEM], "completion": [{"role": "assistant", "content": "text 0"}], "label": True},
                   {"id": "b", "sample_index": 0, "prompt": LONG, "completion": [{"role": "assistant", "content": "text 1"}], "label": False}], rows)
    check([r["label"] for r in exported(work, source, "--format", "kto", "--score", "level", "--threshold", "3.5")[0]] == [False, True])
    check("--threshold" in script("outputs", source, "--format", "kto", "--score", "level", code=2).stderr)
    check("needs --scores" in script("outputs", source, "--format", "kto", code=2).stderr)
    scores = write_lines(work / "s.jsonl", [{"id": "b", "score": 1}])
    rows, said = exported(work, source, "--format", "kto", "--scores", scores)
    check([r["id"] for r in rows] == ["b"] and "1 left out: it has no score" in said, rows, said)
    if HAS_PYARROW: check([r["label"] for r in exported(work, source, "--format", "kto", "--score", "good", ending="parquet")[0]] == [True, False])


def two_files(work):
    """All samples of a prompt are on one side, also if two rows have the same prompt; additional rows never move a row."""
    def sides(count, *words):
        source = run_of(work / f"{count}.h5", list(range(count)), samples=2, messages=chats(*([{"role": "user", "content": f"ask {i % 900}"}] for i in range(count))))
        script("outputs", source, "-o", work / "t.jsonl", "--validation", work / "v.jsonl", "--overwrite", *words)
        return [[r["id"] for r in read_lines(work / name)] for name in ("t.jsonl", "v.jsonl")]
    train, valid = sides(1000, "--validation-share", "0.2")
    check(set(train).isdisjoint(valid) and len(train) + len(valid) == 2000 and 300 < len(valid) < 500, len(valid))
    check({i % 900 for i in valid}.isdisjoint(i % 900 for i in train), "a prompt in two rows is on one side")
    more_train, more_valid = sides(1500, "--validation-share", "0.2", "--format", "messages")
    check([i for i in more_valid if i < 1000] == valid and [i for i in more_train if i < 1000] == train)
    check(set(sides(1000)[1]) < set(valid), "a smaller share is a part of the larger")
    source = work / "1000.h5"
    for words, word in ((["--validation", work / "w.jsonl"], "-o FILE"), (["-o", work / "w.jsonl", "--validation", work / "w.jsonl"], "the same file"),
                        (["-o", work / "w.jsonl", "--validation", work / "v.jsonl"], "--overwrite"), (["--validation-share", "2"], "between 0 and 1")):
        check(word in script("outputs", source, *words, code=2).stderr and not (work / "w.jsonl").exists(), word)


def a_second_round(work):
    """Messages with a user's turn after the answer: prompts.py accepts them as they are."""
    source = run_of(work / "a.h5", ["a", "b", "c"], samples=2, messages=chats(*[[{"role": "user", "content": f"ask {i}"}] for i in "abc"]),
                    next=["Sure?", "Why?", ""])
    rows, said = exported(work, source, "--format", "messages", "--then", "next")
    check([r["id"] for r in rows] == ["a/0", "a/1", "b/0", "b/1"] and "2 left out: it has no next turn" in said, rows, said)
    check(rows[0]["messages"] == [{"role": "user", "content": "ask a"}, {"role": "assistant", "content": "text 0"}, {"role": "user", "content": "Sure?"}], rows[0])
    rows, _ = exported(work, source, "--format", "messages", "--then-template", "{{ next }} You said: {{ content }}", "--columns", "id,messages,next")
    check(rows[3]["messages"][-1]["content"] == "Why? You said: text 3" and rows[0]["next"] == "Sure?", rows[3])
    script("prompts", work / "o.jsonl", "--model", model(work), "-o", work / "p.h5", "--quiet")
    with h5py.File(work / "p.h5") as f:
        check(column(f, "prompt")[0] == "<user>ask a<assistant>text 0<user>Sure? You said: text 0<assistant>" and column(f, "id")[:2] == ["a/0", "a/1"], column(f, "prompt"))
    one = run_of(work / "b.h5", [5], messages=chats(LONG), next=["Sure?"])
    check(exported(work, one, "--format", "messages", "--then", "next")[0][0]["id"] == 5, "one sample keeps its id")
    for words, word in ((["--then", "none"], "no column none"), (["--then-template", "{{ x"], "--then-template"), (["--then-template", "{{ nobody }}"], "no column nobody"),
                        (["--then", "next", "--then-template", "x"], "one of them")):
        check(word in script("outputs", source, "--format", "messages", *words, code=2).stderr, word)
    check("--format messages" in script("outputs", source, "--then", "next", code=2).stderr)


def scored_prompts(work):
    """A run that only scores gives the mean and the perplexity of each prompt, which can be filtered."""
    parts = [[float("nan"), -1.0, -2.0], [float("nan")], [float("nan"), -0.5]]
    maker = OutputsMaker(work / "a.h5", config_yaml="sampling:\n  max_tokens: 0\n  prompt_logprobs: true\n")
    maker.rows([0, 1, 2], [0] * 3, ["a", "b", "c"], [b""] * 3, [[]] * 3).scores(parts).done()
    rows, _ = exported(work, work / "a.h5")
    check([r["prompt_mean_logprob"] for r in rows] == [-1.5, None, -0.5] and rows[0]["perplexity"] == math.exp(1.5) and rows[1]["perplexity"] is None, rows)
    check([r["id"] for r in exported(work, work / "a.h5", "--score", "perplexity", "--max-score", "2")[0]] == ["c"])
    check("perplexity" not in exported(work, run_of(work / "b.h5", ["a"]))[0][0])
    check("prompt_logprobs: true" in script("outputs", work / "b.h5", "--add", "perplexity", code=2).stderr)
    if HAS_PYARROW: check(exported(work, work / "a.h5", "--columns", "perplexity", ending="parquet")[0][0] == {"perplexity": math.exp(1.5)})


def scored_prompts_are_no_training_data(work):
    """They have no answer; one that stops at once has an empty answer."""
    maker = OutputsMaker(work / "a.h5")
    maker.rows([0, 1, 2], [0] * 3, ["a", "b", "c"], [b"", b"", b"x"], [[], [], [1]], finish=[2, 1, 2]).carry("good", [1, 0, 1], "i4")
    maker.carry("messages", chats(*[[{"role": "user", "content": "q"}]] * 3)).done()
    with h5py.File(work / "p.h5", "w") as f: f["prompt"] = ["q"] * 3
    for form in ("messages", "alpaca", "prompt-completion", "sharegpt", "kto"):
        rows, said = exported(work, work / "a.h5", "--format", form, "--score", "good", "--prompts", work / "p.h5")
        check([r["id"] for r in rows] == ["b", "c"] and "1 left out: its prompt was only scored (max_tokens: 0)" in said, form, rows, said)
    check(len(exported(work, work / "a.h5")[0]) == 3)


def prompts_that_were_cut(work):
    """Beside an answer is what the model read of the prompt, if the run stored it; otherwise a note counts the rows."""
    model = model_folder(work / "model", ["<s>"])
    texts = ["abc", "0123456789", "01234567é", "<s>23456789ab", "0123456789"]  # one token per byte, with space for 8, or for the last one 9
    with h5py.File(work / "p.h5", "w") as f: f["prompt"], f["max_tokens"] = texts, [-1, -1, -1, -1, 3]
    def made(policy, read, room="12", **carried):
        config = (f"model:\n  path: {model}\n  max_model_len: {room}\ninput:\n  path: {work / 'p.h5'}\nsampling:\n  max_tokens: 4\n"
                  f"errors:\n  too_long: {policy}\noutput:\n  dir: x\n")
        maker = OutputsMaker(work / "a.h5", config_yaml=config)
        maker.rows(range(5), [0] * 5, list("abcde"), [b"x"] * 5, [[1]] * 5)
        for name, values in carried.items(): maker.carry(name, values)
        maker._ragged("prompt_token_ids", read, "values", "i4")
        maker.done()
        with h5py.File(work / "a.h5", "r+") as f: f["completions/num_prompt_tokens"][:] = [len(r) for r in read]
        return work / "a.h5"
    right = [t.encode()[:8] for t in texts[:3]] + [[256, *b"2345678"], b"012345678"]
    left = [b"abc", b"23456789", texts[2].encode()[-8:], [256, *b"56789ab"[-7:]], b"123456789"]
    for policy, read, want in (("truncate_left", left, ["abc", "23456789", "234567é", "<s>56789ab", "123456789"]),
                               ("truncate_right", right, ["abc", "01234567", "01234567", "<s>2345678", "012345678"])):
        rows, said = exported(work, made(policy, read), "--format", "prompt-completion")
        check([r["prompt"] for r in rows] == want and f"the run cut the prompt of 4 rows (errors.too_long: {policy})" in said, rows, said)
    for positions, count in (({"max_position_embeddings": 12}, 4), ({"max_position_embeddings": 6, "rope_scaling": {"type": "yarn", "factor": 2}}, 4), ({}, 4)):
        (model / "config.json").write_text(json.dumps(positions))
        rows, said = exported(work, made("truncate_left", left, room="auto"), "--format", "prompt-completion")
        check([r["prompt"] for r in rows] == ["abc", "23456789", "234567é", "<s>56789ab", "123456789"] and f"the run cut the prompt of {count} rows" in said, positions, rows, said)
    (model / "config.json").unlink()
    rows, said = exported(work, made("fail_row", left), "--format", "prompt-completion")
    check([r["prompt"] for r in rows] == texts and "cut" not in said, said)
    chat = made("truncate_left", left, messages=chats(*[[{"role": "user", "content": t}] for t in texts]))
    check([r["prompt"] for r in exported(work, chat, "--format", "prompt-completion")[0]][1] == "23456789")
    for name in ("messages", "sharegpt", "alpaca", "rows"):
        check("the run seems to have cut the prompt of 4 rows" in (said := exported(work, chat, "--format", name)[1]), name, said)
    check("cut" not in exported(work, chat, "--columns", "id,text")[1])
    untold = made("truncate_left", left)
    with h5py.File(untold, "r+") as f: del f["prompt_token_ids"]
    rows, said = exported(work, untold, "--format", "prompt-completion")
    check([r["prompt"] for r in rows] == texts and "of 4 rows" in said and "output.store: [text, prompt_token_ids]" in said, said)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [several_runs, names_that_are_taken, only_columns_that_are_asked_for, conversations, content_in_parts, answers_as_token_ids, unpaired, two_files, a_second_round,
                                               scored_prompts, scored_prompts_are_no_training_data, prompts_that_were_cut], sys.argv[2:])
