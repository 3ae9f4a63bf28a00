#!/usr/bin/env python3
"""scripts/outputs.py where an answer is taken apart: reasoning, gpt-oss's channels, tool calls of each family of models; turns that the
prompt left open; tools beside their answers.

    answers_out.py WORK_DIR [TEST ...]"""
import base64
import json
import pathlib
import random
import sys

import h5py
import numpy as np

from tools import HAS_PYARROW, OutputsMaker, check, main, read_lines, script  # puts scripts/ on the path

from moemill_tools.outputs.answers.harmony import channels
from moemill_tools.outputs.answers.tool_calls import READERS, Malformed, begins_a_call, calls_in, style_of
from moemill_tools.outputs.answers.vocabulary import MARKERS, Vocabulary, byte_letters, marked

LETTER = {byte: letter for letter, byte in byte_letters().items()}
MARKS = ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|constrain|>", "<|call|>", "[THINK]", "[/THINK]", "<|im_end|>"]


def model_folder(path, special=(), template=""):
    """The parts of a model's folder that outputs.py reads: one token per byte, followed by special tokens."""
    path.mkdir()
    added = [{"id": 256 + i, "content": content, "special": True} for i, content in enumerate(special)]
    (path / "tokenizer.json").write_text(json.dumps({"added_tokens": added, "decoder": {"type": "ByteLevel"}, "model": {
        "type": "BPE", "vocab": {LETTER[b]: b for b in range(256)}}}))
    (path / "chat_template.jinja").write_text(template)
    return path


def run_of(work, answers, model=None, prompts=None, finish=None, carried=None, samples=1, skip=True):
    """outputs.h5 with these answers: texts, or lists of texts and marks, whose tokens yield the text without the marks."""
    parts = [[a] if isinstance(a, str) else a for a in answers]
    tokens = [[t for p in one for t in ([256 + MARKS.index(p)] if p in MARKS else p.encode())] for one in parts]
    texts = ["".join(p for p in one if not skip or p not in MARKS) for one in parts]
    config, count = "", len(answers)
    if model: config += f"model:\n  path: {model}\n"
    if prompts is not None:
        with h5py.File(work / "prompts.h5", "w") as f: f["prompt"] = prompts
        config += f"input:\n  path: {work / 'prompts.h5'}\n"
    if not skip: config += "output:\n  skip_special_tokens: false\n"
    index = [i // samples for i in range(count)]
    maker = OutputsMaker(work / "run.h5", config_yaml=config)
    maker.rows(index, [i % samples for i in range(count)], index, [t.encode() for t in texts], tokens, None, finish, [[-1.0] * len(t) for t in tokens])
    for name, values in {"messages": [json.dumps([{"role": "user", "content": f"ask {i}"}]) for i in range(index[-1] + 1)], **(carried or {})}.items():
        if values: maker.carry(name, values)
    maker.done()
    return work / "run.h5"


def exported(work, *words, ending="jsonl"):
    done = script("outputs", work / "run.h5", "-o", work / f"o.{ending}", "--overwrite", *words)
    if ending == "parquet":
        import pyarrow.parquet as pq
        return pq.read_table(work / "o.parquet").to_pylist(), done.stderr
    return read_lines(work / "o.jsonl"), done.stderr


def last_turns(work, *words):
    rows, said = exported(work, "--format", "messages", *words)
    return [{k: v for k, v in r["messages"][-1].items() if k != "role"} for r in rows], said


def thoughts(work):
    """Opened by the prompt, by the answer, or not at all; cut; an answer that only mentions a tag."""
    closed = "Q<think>\n\n</think>\n\n"
    answers = ["hm</think>\n\nfour", "hm, and then", "<think>hm</think>four", "<think>hm", "four", "the tag </think> ends it", "hm</think>"]
    run_of(work, answers, prompts=["Q<think>\n", "Q<think>\n", "Q", "Q", "Q", closed, "Q<think>\n"], finish=[1, 2, 1, 2, 1, 1, 2])
    got, said = last_turns(work)
    want = [{"reasoning_content": "hm", "content": "four"}, {"reasoning_content": "hm", "content": "four"}, {"content": "four"},
            {"content": "the tag </think> ends it"}]
    check(got == want, got)
    check("3 left out: its reasoning has no end" in said, said)
    check(last_turns(work, "--split-thinking")[0] == want, "the old name")
    got, said = last_turns(work, "--whole-text")
    check([g["content"] for g in got][:3] == ["<think>\nhm</think>\n\nfour", "<think>\nhm, and then", "<think>hm</think>four"] and len(got) == 7, got)
    lines, _ = exported(work, "--format", "openai-batch")
    message = lines[1]["response"]["body"]["choices"][0]
    check(message["message"] == {"role": "assistant", "reasoning_content": "hm, and then", "content": None} and message["finish_reason"] == "length", message)
    rows, said = exported(work)
    check([r["text"] for r in rows] == answers and "the text of 5 rows holds reasoning" in said, said)
    rows, said = exported(work, "--split-answers")
    check([(r["reasoning_content"], r["content"]) for r in rows[:2]] == [("hm", "four"), ("hm, and then", None)] and "holds reasoning" not in said, rows)
    check(exported(work, "--format", "alpaca", "--add", "reasoning_content")[0][0]["reasoning_content"] == "hm")
    (work / "prompts.h5").unlink()
    check("cannot be distinguished from an answer" in last_turns(work)[1])
    if HAS_PYARROW:
        run_of(work, answers, prompts=["Q<think>\n"] * 7)
        rows, _ = exported(work, "--format", "messages", ending="parquet")
        check(rows[0]["messages"][-1] == {"role": "assistant", "reasoning_content": "hm", "content": "four"}, rows[0])
        check(exported(work, "--columns", "id,content,reasoning_content", ending="parquet")[0][1] == {"id": 1, "content": None, "reasoning_content": "hm, and then"})


def pairs_have_answers(work):
    """Reasoning that was cut is not a rejected answer."""
    run_of(work, ["a</think>good", "cut", "b</think>bad"], prompts=["Q<think>"], samples=3, carried={"tools": [""]})
    rows, said = exported(work, "--format", "pairs", "--score", "num_completion_tokens")
    check([(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in rows] == [("good", "bad")] and "1 left out" in said, rows, said)


def channels_of_gpt_oss(work):
    """gpt-oss: from token_ids, or from a text that contains its markers."""
    call = ["<|start|>", "assistant", "<|channel|>", "commentary to=functions.get_time ", "<|constrain|>", "json", "<|message|>"]
    answers = [["<|channel|>", "analysis", "<|message|>", "Think härd", "<|end|>", "<|start|>", "assistant", "<|channel|>", "final", "<|message|>", "Yes", "<|return|>"],
               ["<|channel|>", "analysis", "<|message|>", "Think, cut"],
               ["<|channel|>", "analysis", "<|message|>", "Call it", "<|end|>", *call, '{"zone": "UTC"}', "<|call|>"],
               ["<|channel|>", "final", "<|message|>", "Just so"], ["<|channel|>", "final", "<|message|>", "No", "<|end|>", *call, '{"zone": ', "<|call|>"], ["Bare"]]
    model, finish = model_folder(work / "model", MARKS), [1, 2, 1, 2, 1, 1]
    want = [{"reasoning_content": "Think härd", "content": "Yes"},
            {"reasoning_content": "Call it", "content": None, "tool_calls": [{"id": "call_2_0_0", "type": "function", "function": {
                "name": "get_time", "arguments": '{"zone": "UTC"}'}}]}, {"content": "Just so"}, {"content": 'No\n{"zone": '}, {"content": "Bare"}]
    for skip in (True, False):
        run_of(work, answers, model, ["Q"] * 6, finish, skip=skip)
        got, said = last_turns(work)
        check(got == want and "1 left out" in said and "1 answers begin a tool call" in said, skip, got, said)
    lines, _ = exported(work, "--format", "openai-batch")
    check([line["response"]["body"]["choices"][0]["finish_reason"] for line in lines] == ["stop", "length", "tool_calls", "length", "stop", "stop"])
    run_of(work, answers, model, ["Q"] * 6, finish)
    check("seems to hold reasoning" in exported(work)[1] and "seems" in exported(work, "--format", "prompt-completion")[1])
    rows, _ = exported(work, "--format", "sharegpt")
    check(rows[1]["conversations"][1] == {"from": "function_call", "value": '{"name": "get_time", "arguments": {"zone": "UTC"}}', "reasoning_content": "Call it"}, rows[1])
    with h5py.File(work / "run.h5", "r+") as f: del f["completions/token_ids/values"], f["completions/token_ids"]
    got, said = last_turns(work)
    check(got[0] == {"content": "analysisThink härdassistantfinalYes"} and "did not store matching token_ids" in said, said)
    (model / "tokenizer.json").unlink()
    for file in model.iterdir(): file.unlink()
    model.rmdir()
    check("does not exist" in last_turns(work)[1] and "no such folder" in script("outputs", work / "run.h5", "--format", "messages", "--model", work / "none", code=2).stderr)


def thoughts_between_special_tokens(work):
    """Mistral's [THINK] is only in token_ids; a stop string ends the text before its tokens."""
    model = model_folder(work / "model", MARKS)
    run_of(work, [["[THINK]", "so", "[/THINK]", "four", "<|im_end|>"], ["four", "<|im_end|>"], ["[THINK]", "cut"]], model, ["Q"] * 3)
    got, said = last_turns(work)
    check(got == [{"reasoning_content": "so", "content": "four"}, {"content": "four"}] and "1 left out" in said, got, said)
    run_of(work, [["[THINK]", "so", "[/THINK]", "four END and more"]], model, ["Q"])
    with h5py.File(work / "run.h5", "r+") as f:
        text = b"sofour "
        del f["completions/text/values"]
        f["completions/text/values"], f["completions/text/offsets"][1] = np.frombuffer(text, "u1"), len(text)
    check(last_turns(work)[0] == [{"reasoning_content": "so", "content": "four "}])


JSON_CALL = '{"name": "f", "arguments": {"x": 1}}'
CALLS = {  # style: (one call, two calls after text, begun and unreadable)
    "hermes": (f"<tool_call>\n{JSON_CALL}\n</tool_call>", f"Well.\n<tool_call>{JSON_CALL}</tool_call>\n<tool_call>{JSON_CALL}</tool_call>", "<tool_call>\n{\"name\": "),
    "coder": ("<tool_call>\n<function=f>\n<parameter=x>\n1\n</parameter>\n</function>\n</tool_call>",
              "Well.\n" + "<tool_call>\n<function=f>\n<parameter=x>\n1\n</parameter>\n</function>\n</tool_call>\n" * 2, "<tool_call><function=f><parameter=x>1</function></tool_call>"),
    "glm": ("<tool_call>f\n<arg_key>x</arg_key>\n<arg_value>1</arg_value>\n</tool_call>",
            "Well." + "\n<tool_call>f\n<arg_key>x</arg_key>\n<arg_value>1</arg_value>\n</tool_call>" * 2, "<tool_call>f\n<arg_key>x</arg_key></tool_call>"),
    "deepseek": ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"x\": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
                 "Well.<｜tool▁calls▁begin｜>" + "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"x\": 1}<｜tool▁call▁end｜>" * 2 + "<｜tool▁calls▁end｜>", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f"),
    "kimi": ("<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"x\": 1}<|tool_call_end|><|tool_calls_section_end|>",
             "Well.<|tool_calls_section_begin|>" + "".join(f"<|tool_call_begin|>functions.f:{i}<|tool_call_argument_begin|>{{\"x\": 1}}<|tool_call_end|>" for i in (0, 1)),
             "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"),
    "mistral": (f"[TOOL_CALLS][{JSON_CALL}]", 'Well.[TOOL_CALLS]f[ARGS]{"x": 1}[TOOL_CALLS]f{"x": 1}', '[TOOL_CALLS][{"name"'),
    "invoke": ('<minimax:tool_call>\n<invoke name="f">\n<parameter name="x">1</parameter>\n</invoke>\n</minimax:tool_call>',
               'Well.<｜DSML｜function_calls>' + '<｜DSML｜invoke name="f"><｜DSML｜parameter name="x" string="false">1</｜DSML｜parameter></｜DSML｜invoke>' * 2
               + '</｜DSML｜function_calls>', '<minimax:tool_call><invoke name="f">')}


def calls_of_every_family(work):
    check(set(CALLS) == set(READERS))
    for style, (one, two, broken) in CALLS.items():
        for text, said, count in ((one, "", 1), (two, "Well.", 2)):
            content, calls = calls_in(text, style, None)
            check(content == said and [(n, json.loads(a)) for n, a, _ in calls] == [("f", {"x": 1})] * count, style, content, calls)
        check(style_of(one) == style, style)
        try:
            check(not calls_in(broken, style, None), style)
        except Malformed:
            pass
        for cut in range(len(two)):  # every prefix of it, as max_tokens may leave it: read or refused, never a different exception
            try:
                calls_in(two[:cut], style, None)
            except Malformed:
                pass
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}}]
    check(json.loads(calls_in(CALLS["coder"][0], "coder", tools)[1][0][1]) == {"x": "1"}, "text stays text where the schema says so")
    for style, (_, two, broken) in CALLS.items():
        for old in ("model", "run.h5"):
            path = work / old
            if path.is_dir():
                for file in path.iterdir(): file.unlink()
                path.rmdir()
        model = model_folder(work / "model", [], f"... {CALLS[style][0]} ...")
        run_of(work, [two, broken, "no call"], model, ["Q"] * 3, carried={"tools": ["", "", ""]})
        got, said = last_turns(work)
        check(got[0]["content"] == "Well." and len(got[0]["tool_calls"]) == 2 and got[1] == {"content": broken} and got[2] == {"content": "no call"}, style, got)
        check("1 answers begin a tool call that cannot be read" in said, said)
    if HAS_PYARROW:
        run_of(work, [CALLS["hermes"][0], "none"], None, ["Q"] * 2, carried={"tools": [json.dumps(tools), ""]})
        rows, _ = exported(work, "--format", "messages", ending="parquet")
        call = {"id": "call_0_0_0", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
        check(rows[0]["messages"][-1]["tool_calls"] == [call] and rows[1]["messages"][-1]["tool_calls"] is None, rows)
        check(json.loads(exported(work, "--split-answers", ending="parquet")[0][0]["tool_calls"]) == [call])


def text_of_any_kind(work):
    """Marks, braces and words in any order: read, or reported as malformed, never a different exception."""
    rng = random.Random(10)
    bits = [*MARKERS, "<function=f>", "</function>", "<parameter=x>", "</parameter>", "<invoke name=\"f\">", "</invoke>", "｜DSML｜", "<｜DSML｜function_calls>",
            "{", "}", '"name"', ":", '"f"', "1", "[", "]", "\n", "analysis", "final", "commentary to=functions.f", "```json", "assistant", "functions.f:0", JSON_CALL]
    tools = [None, [1, {"function": 2}], [{"function": {"name": "f", "parameters": "x"}}], [{"name": "f", "parameters": {"properties": {"x": {"type": "string"}}}}]]
    for _ in range(20_000):
        text = "".join(rng.choice(bits) for _ in range(rng.randrange(1, 24)))
        channels(marked(text), rng.choice(["", "analysis"]))
        for style in READERS:
            if not begins_a_call(text, style): continue
            try:
                content, calls = calls_in(text, style, rng.choice(tools))
                check(calls and all(isinstance(n, str) and isinstance(json.loads(a), dict) for n, a, _ in calls), text)
            except Malformed:
                pass


def vocabularies(work):
    """Vocabularies of a tiktoken.model and of SentencePiece; a damaged file is named."""
    folder = work / "kimi"
    folder.mkdir()
    (folder / "tiktoken.model").write_bytes(b"".join(base64.b64encode(bytes([b])) + b" %d\n" % b for b in range(256)))
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": {"256": {"content": "<|tool_calls_section_begin|>", "special": True}}}))
    vocabulary = Vocabulary(folder)
    check(vocabulary.pieces([*"hü".encode(), 256, 33], "hü!") == [(False, "hü"), (True, "<|tool_calls_section_begin|>"), (False, "!")])
    check(vocabulary.pieces([104], "x") is None and vocabulary.pieces([999], "") is None, "not the tokens of that text")
    pieces = work / "pieces"
    pieces.mkdir()
    (pieces / "tokenizer.json").write_text(json.dumps({"decoder": None, "model": {"vocab": [["\u2581a", 0], ["<0xC3>", 0], ["<0xBC>", 0]]}}))
    check(Vocabulary(pieces).pieces([0, 1, 2], "aü") == [(False, "aü")] and Vocabulary(pieces).pieces([0], " a") == [(False, " a")])
    run_of(work, ["x"], folder, ["Q"])
    for name, damage in (("tiktoken.model", "no base64 ! x"), ("tokenizer_config.json", "{"), ("tokenizer_config.json", '{"added_tokens_decoder": [1]}')):
        whole = (folder / name).read_bytes()
        (folder / name).write_text(damage)
        done = script("outputs", work / "run.h5", "--format", "messages", code=2)
        check(name in done.stderr or "tokenizer.json" in done.stderr, name, done.stderr)
        check(done.stderr.count("\n") == 1, done.stderr)
        (folder / name).write_bytes(whole)
    for odd in ([{"role": "assistant", "tool_calls": 3}], [{"role": "assistant", "tool_calls": [{"function": "f"}]}], 7, ["x"]):
        run_of(work, ["x"], prompts=["Q"], carried={"messages": [json.dumps(odd)]})
        for form in ("messages", "sharegpt", "alpaca"): check("not a list of messages" in script("outputs", work / "run.h5", "--format", form, code=2).stderr, odd)


def tools_go_along(work):
    """Pairs have the tools of their prompt; --json-text gives them one type in JSON Lines as well."""
    tools = [json.dumps([{"type": "function", "function": {"name": n}}]) if n else "" for n in ("f", "")]
    run_of(work, ["a", "bb", "c", "dd"], samples=2, carried={"tools": tools})
    words = ("--json-column", "tools")
    rows, _ = exported(work, "--format", "pairs", "--score", "num_completion_tokens", *words)
    check([r["tools"] for r in rows] == [json.loads(tools[0]), None], rows)
    for form in ("messages", "pairs", "kto"):
        rows, _ = exported(work, "--format", form, *words, "--json-text", "tools", "--score", "num_completion_tokens", *["--threshold", "2"] * (form == "kto"))
        check({type(r["tools"]) for r in rows} == {str, type(None)} and json.loads(rows[0]["tools"]) == json.loads(tools[0]), form, rows)


def turns_that_the_prompt_left_open(work):
    """The prompt's beginning and the model's continuation are one turn, including reasoning that was begun there."""
    begun = [json.dumps([{"role": "user", "content": "q"}, {"role": "assistant", "content": p}]) if p else json.dumps([{"role": "user", "content": "q"}])
             for p in ("The answer", "<think>Let me", "")]
    run_of(work, [" is 4.", " see</think>4", "4"], prompts=["q:The answer", "q:<think>Let me", "q:"],
           carried={"messages": begun, "assistant_prefix": ["The answer", "<think>Let me", ""]})
    rows, _ = exported(work, "--format", "messages")
    check([len(r["messages"]) for r in rows] == [2, 2, 2], rows)
    check([r["messages"][-1] for r in rows] == [{"role": "assistant", "content": "The answer is 4."},
                                                {"role": "assistant", "reasoning_content": "Let me see", "content": "4"}, {"role": "assistant", "content": "4"}], rows)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [thoughts, pairs_have_answers, channels_of_gpt_oss, thoughts_between_special_tokens, calls_of_every_family, text_of_any_kind, vocabularies,
                                               tools_go_along, turns_that_the_prompt_left_open], sys.argv[2:])
