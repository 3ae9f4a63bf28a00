#!/usr/bin/env python3
"""scripts/prompts.py: batch files of other endpoints, tool calls, the settings that it advises (which the program must accept), numbers
beyond float64.

    prompts_batch.py WORK_DIR MOEMILL [TEST ...]"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from tools import SOURCE, check, columns, main, read_lines, script, write_lines  # noqa: E402

PROGRAM = pathlib.Path(sys.argv[2]).resolve()
MODEL = SOURCE / "tests/data/models/deepseek_v3"
SAY = [{"role": "user", "content": "hi"}]
TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"


def made(work, rows, *words, code=0):
    done = script("prompts", write_lines(work / "a.jsonl", rows), "-o", work / "p.h5", "--overwrite", "--quiet", *words, code=code)
    return columns(work / "p.h5") if code == 0 else done.stderr


def run_it(work, *words):
    done = subprocess.run([PROGRAM, "run", "--model", MODEL, "-i", work / "p.h5", "-o", work / "run", "--log-level", "off", *words], text=True,
                          capture_output=True, env=dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1"))
    check(done.returncode == 0, done.stdout, done.stderr)


def line(name, url, **body): return {"custom_id": name, "method": "POST", "url": url, "body": {"model": "m", **body}}


def tool_calls(work):
    """Arguments arrive as JSON text, as in the API: they are objects for a template that reads their items, and text for one that does
    not."""
    def rendered(template, arguments):
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
        messages = [*SAY, {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "1"}]
        (work / "t.jinja").write_text("{% for m in messages %}{% for c in m.tool_calls or [] %}" + template + "{% endfor %}{% endfor %}")
        got = made(work, [line("a", "/v1/chat/completions", messages=messages)], "--chat-template", work / "t.jinja")
        check(json.loads(got["messages"][0]) == messages, "the carried column is as it was", got["messages"])
        return got["prompt"][0]
    glm = "{% for k, v in c.function.arguments.items() %}<{{ k }}>{{ v | tojson if v is not string else v }}{% endfor %}"
    qwen = "{% if c.function.arguments is string %}{{ c.function.arguments }}{% else %}{{ c.function.arguments | tojson }}{% endif %}"
    deepseek = "{{ '```json\\n' + c['function']['arguments'] + '\\n```' }}"
    bare = "{{ c.function.arguments }}"
    text = '{"city":"Köln",  "days": [1, 2]}'
    check(rendered(glm, text) == "<city>Köln<days>[1, 2]")
    check(rendered("{{ c.function.arguments | tojson }}", text) == rendered(qwen, text) == '{"city": "Köln", "days": [1, 2]}')
    check(rendered(deepseek, text) == f"```json\n{text}\n```" and rendered(bare, text) == text)
    for empty in ("", "{}"): check(rendered(glm, empty) == "" and rendered(qwen, empty) == rendered(bare, empty) == "{}")
    check(rendered("{{ c.function.arguments.text }}", '{"text": "x"}') == "x")
    check(rendered(glm, json.loads(text)) == "<city>Köln<days>[1, 2]", "an object stays one")
    for other in ("no JSON", "[1]", '"x"', '{"a": ' * 5000): check(rendered(bare, other) == other and rendered(qwen, other) == other)


def endpoints(work):
    """Requests for anything except text are bad rows with a counted reason."""
    chat = line("a", "/v1/chat/completions", messages=SAY)
    others = [line(f"e{i}", "/v1/embeddings", input="embed me") for i in range(3)] + [line("r", "/v1/rerank", query="q", input="x")]
    (work / "t.jinja").write_text(TURNS)
    words = ["--chat-template", work / "t.jinja"]
    fault = made(work, [chat, *others], *words, code=2)
    check("line 2" in fault and "/v1/embeddings" in fault and "/v1/chat/completions, /v1/completions, /v1/responses" in fault, fault)
    check("--on-error skip" in fault and "/v1/embeddings" in made(work, others[:1], code=2), fault)
    done = script("prompts", work / "a.jsonl", "-o", work / "s.h5", "--on-error", "skip", code=2)
    check("no row" in done.stderr, done.stderr)
    done = script("prompts", write_lines(work / "b.jsonl", [chat, *others]), "-o", work / "s.h5", "--on-error", "skip", *words)
    check("4 bad rows" in done.stderr and "3 of them: url /v1/embeddings" in done.stderr, done.stderr)
    check(columns(work / "s.h5")["id"] == ["a"] and [s["custom_id"] for s in read_lines(work / "s.h5.skipped.jsonl")] == ["e0", "e1", "e2", "r"])
    for url in ("/v1/chat/completions/", "/chat/completions", "https://api.openai.com/v1/chat/completions", None, ""):
        check(made(work, [{**chat, "url": url}], *words)["prompt"] == ["[user]hi"], url)


def responses(work):
    (work / "t.jinja").write_text(TURNS + "{{ tools | tojson if tools }}{{ reasoning_effort }}")
    def both(body, code=0): return made(work, [line("a", "/v1/responses", **body)], "--chat-template", work / "t.jinja", code=code)
    got = both({"input": "q", "instructions": "be brief", "max_output_tokens": 7, "temperature": 0.5, "metadata": {"k": 1}})
    check(got["prompt"] == ["[system]be brief[user]q"] and got["max_tokens"] == [7] and got["temperature"] == [0.5], got)
    check(json.loads(got["messages"][0]) == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "q"}], got)
    check(not {"input", "instructions", "max_output_tokens", "input_prompt"} & got.keys() and got["url"] == ["/v1/responses"], got)
    check(made(work, [{"custom_id": "a", "body": {"input": "q"}}], "--chat-template", work / "t.jinja")["prompt"] == ["[user]q"])
    parts = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]},
             {"role": "assistant", "content": [{"type": "output_text", "text": "three"}]},
             {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"x": 1}'},
             {"type": "function_call_output", "call_id": "c", "output": "4"}]
    function = {"name": "f", "parameters": {"type": "object"}}
    (work / "t.jinja").write_text("{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ m.tool_calls[0].function.name if m.tool_calls }}{% endfor %}"
                                  "{{ tools | tojson if tools }}{{ reasoning_effort }}")
    got = both({"input": parts, "tools": [{"type": "function", **function}], "reasoning": {"effort": "high"}})
    check(got["prompt"] == ["[user]one\ntwo[assistant]threef[tool]4" + json.dumps([{"type": "function", "function": function}]) + "high"], got)
    call = json.loads(got["messages"][0])[1]["tool_calls"]
    check(call == [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}], call)
    for bad, word in (({}, "body.input"), ({"input": []}, "body.input"), ({"input": 5}, "body.input"), ({"input": ["x"]}, "body.input"),
                      ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "not text"),
                      ({"input": "q", "previous_response_id": "r"}, "previous_response_id"), ({"input": "q", "tools": [{"type": "web_search"}]}, "web_search"),
                      ({"input": "q", "tools": 5}, "tools"), ({"input": "q", "text": 5}, "text"), ({"input": [{"type": "reasoning"}]}, "reasoning")):
        fault = both(bad, code=2)
        check("line 1" in fault and word in fault, bad, fault)
    def told(body): return script("prompts", write_lines(work / "b.jsonl", [line("a", "/v1/responses", input="q", **body)]), "-o", work / "n.h5",
                                  "--overwrite", "--chat-template", work / "t.jinja").stderr
    check("response_format" in told({"text": {"format": {"type": "json_schema"}}}) and "response_format" not in told({"text": {"format": {"type": "text"}}}))
    told({"include": ["message.output_text.logprobs"], "top_logprobs": 3})
    check(columns(work / "n.h5")["logprobs"] == [3])


def advised_settings(work):
    """Settings that a column cannot hold are advised for run.yaml, in a form that `validate` accepts; values that it would refuse are
    not advised."""
    def told(*bodies):
        return script("prompts", write_lines(work / "a.jsonl", [{"prompt": "x", **b} for b in bodies]), "-o", work / "p.h5", "--quiet", "--overwrite").stderr
    for body, want in (({"prompt_logprobs": 2}, "prompt_logprobs: true"), ({"prompt_logprobs": True}, "prompt_logprobs: true")):
        advice = re.findall(r"sampling: \{.*\}", text := told(body))
        check(advice == [f"sampling: {{{want}}}"], body, text)
        (work / "run.yaml").write_text(advice[0] + "\n")
        done = subprocess.run([PROGRAM, "validate", "-c", work / "run.yaml", "--model", MODEL, "-i", work / "p.h5", "-o", work / "run"], text=True,
                              capture_output=True, env=dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1"))
        check(done.returncode == 0, advice, done.stderr)
    check("output: {skip_special_tokens: false}" in told({"skip_special_tokens": False}) and "note" not in told({"skip_special_tokens": True}))
    check("note" not in told({"prompt_logprobs": None}) and "has no setting of these values" in told({"prompt_logprobs": "maybe"}))
    check("the rows differ" in (text := told({"prompt_logprobs": True}, {})) and "sampling:" not in text, text)


def settings_as_columns(work):
    """Every field of `sampling` that may vary per row; -1, NaN and "" mean the run's value."""
    def column(name, *values):
        rows = [{"prompt": "x", **v} if isinstance(v, dict) else {"prompt": "x", name: v} for v in (*values, None)]
        got = made(work, rows)[name]
        check(got[-1] in (-1, "") or got[-1] != got[-1], "null is the run's own", name, got)
        return got[:-1]
    check(column("presence_penalty", -1, -0.5, "0.5", 0) == [-1, -0.5, 0.5, 0] and column("frequency_penalty", 2)[0] == 2)
    check(column("repetition_penalty", 1.25, 1) == [1.25, 1] and column("min_tokens", 4.0, 0, "3") == [4, 0, 3])
    check(column("ignore_eos", True, False, 1, "true", -1) == [1, 0, 1, 1, -1] and column("stop_token_ids", [5, 6], 7, "[8]", []) == ["[5, 6]", "[7]", "[8]", "[]"])
    check(column("logprobs", 0, 3, True, False, {"logprobs": True, "top_logprobs": 5}, "true") == [0, 3, 0, -1, 5, 0])
    for name, *bad in (("presence_penalty", 300, [1]), ("logprobs", 5000, [1]), ("min_tokens", 1.5), ("stop_token_ids", ["x"], "x", [1.5]),
                       ("ignore_eos", "maybe", 2, [1]), ("repetition_penalty", 0), ("stop", [1], 5)):
        for value in bad: check(f"line 1: {name} is " in (fault := made(work, [{"prompt": "x", name: value}], code=2)), fault)
    got = made(work, [line("a", "/v1/chat/completions", messages=SAY, logprobs=True, top_logprobs=2, max_completion_tokens=4)], "--chat-template",
               (work / "t.jinja").write_text(TURNS) and work / "t.jinja")
    check(got["logprobs"] == [2] and got["max_tokens"] == [4], got)
    check("top_logprobs" not in got, "it says how many, and is no data")


def logprobs_of_requests(work):
    """Input and results: results have logprobs in the form of their endpoint, with spelled tokens, if the request asked for them."""
    (work / "t.jinja").write_text(TURNS)
    chat, plain = "/v1/chat/completions", "/v1/completions"
    rows = [line("two", chat, messages=SAY, logprobs=True, top_logprobs=2), line("none", chat, messages=SAY), line("bare", chat, messages=SAY, logprobs=True),
            line("plain", plain, prompt="hi", logprobs=1), line("zero", plain, prompt="hi", logprobs=0)]
    done = script("prompts", write_lines(work / "a.jsonl", rows), "-o", work / "p.h5", "--chat-template", work / "t.jinja")
    check("used as sampling settings: logprobs" in done.stderr, done.stderr)
    run_it(work, "--set", "sampling.max_tokens=12", "--set", "sampling.ignore_eos=true")
    def results(*words):
        done = script("outputs", work / "run", "--format", "openai-batch", "-o", work / "r.jsonl", "--overwrite", *words)
        return {r["custom_id"]: r["response"]["body"]["choices"][0] for r in read_lines(work / "r.jsonl")}, done.stderr
    got, said = results()
    check("logprobs" not in said and got["none"]["logprobs"] is None, got["none"], said)
    two = got["two"]["logprobs"]["content"]
    check(len(two) == 12 and all(t.keys() == {"token", "logprob", "bytes", "top_logprobs"} and len(t["top_logprobs"]) == 2 for t in two), two)
    for t in (t for entry in two for t in (entry, *entry["top_logprobs"])):
        check(t["logprob"] <= 0 and (bytes(t["bytes"]).decode(errors="replace") == t["token"] or t["token"] == "bytes:" + "".join(f"\\x{b:02x}" for b in t["bytes"])), t)
    text = b"".join(bytes(t["bytes"]) for t in two if not t["token"].startswith("<｜")).decode(errors="replace")
    check(text == got["two"]["message"]["content"], text, got["two"])
    check([t["top_logprobs"] for t in got["bare"]["logprobs"]["content"]] == [[]] * 12, got["bare"])
    form = got["plain"]["logprobs"]
    check(form.keys() == {"tokens", "token_logprobs", "top_logprobs", "text_offset"} and all(len(v) == 12 for v in form.values()), form)
    for name, value, best in zip(form["tokens"], form["token_logprobs"], form["top_logprobs"]): check(1 <= len(best) <= 2 and (best[name] == value or name.startswith("bytes:")), name, best)
    ends = [*form["text_offset"][1:], len(got["plain"]["text"])]
    for name, at, end in zip(form["tokens"], form["text_offset"], ends): check(name.startswith(("bytes:", "<｜")) or got["plain"]["text"][at:end] == name, name, at, end, got["plain"])
    check(got["zero"]["logprobs"]["top_logprobs"] is None and len(got["zero"]["logprobs"]["tokens"]) == 12, got["zero"])
    (work / "empty").mkdir()
    got, said = results("--model", work / "empty")
    check(said.count("token_id:N") == 1 and got["two"]["logprobs"]["content"][0]["bytes"] is None and got["plain"]["logprobs"]["text_offset"] is None, said, got)
    check(all(t["token"].startswith("token_id:") for t in got["two"]["logprobs"]["content"]))
    shutil.rmtree(work / "run")
    run_it(work, "--set", "sampling.max_tokens=2", "--set", "output.store=[text]")
    got, said = results()
    check(got["two"]["logprobs"] is None and "output.store: [text, token_ids]" in said, said)


def keys_of_requests(work):
    """Settings that change answers elsewhere but not here are reported, once per key, with the number of rows; those without effect are
    not."""
    (work / "t.jinja").write_text(TURNS)
    def told(*bodies):
        rows = [line(str(i), "/v1/chat/completions", messages=SAY, **body) for i, body in enumerate(bodies)]
        return script("prompts", write_lines(work / "a.jsonl", rows), "-o", work / "p.h5", "--overwrite", "--quiet", "--chat-template", work / "t.jinja").stderr
    for name, value in (("logit_bias", {"5": 1}), ("response_format", {"type": "json_object"}), ("tool_choice", "required"), ("tool_choice", "none"),
                        ("parallel_tool_calls", False), ("guided_json", {}), ("best_of", 4), ("modalities", ["text", "audio"]), ("verbosity", "low"),
                        ("enable_thinking", False), ("thinking", {"type": "enabled"}), ("echo", True), ("suffix", "x")):
        if value == {}: continue
        check(f"note: {name}: moemill does not support this, which 2 rows ask for" in (text := told({name: value}, {}, {name: value})), name, text)
    check("some_new_key: is not a key of a request that moemill knows, 1 row with it" in (text := told({}, {"some_new_key": 1})), text)
    for name, value in (("tool_choice", "auto"), ("response_format", {"type": "text"}), ("parallel_tool_calls", True), ("modalities", ["text"]), ("n", None),
                        ("logit_bias", None), ("stream", True), ("user", "u"), ("metadata", {"a": "b"}), ("best_of", 1)):
        check("does not do" not in (text := told({name: value})) and "no key" not in text, name, text)
    functions = [{"name": "f", "parameters": {}}]
    (work / "t.jinja").write_text(TURNS + "{{ tools | tojson }}")
    got = made(work, [line("a", "/v1/chat/completions", messages=SAY, functions=functions)], "--chat-template", work / "t.jinja")
    check(got["prompt"] == ["[user]hi" + json.dumps([{"type": "function", "function": functions[0]}])], got)
    got = made(work, [line("real", "/v1/chat/completions", messages=SAY, id="other")], "--chat-template", work / "t.jinja")
    check(got["id"] == ["real"], "custom_id is the id")


def numbers_beyond_float64(work):
    for text in ("1e400", "-1e400", "1" + "0" * 400 + ".5"):
        (work / "a.jsonl").write_text('{"prompt": "a", "score": 1.5}\n{"prompt": "b", "score": %s}\n' % text)
        done = script("prompts", work / "a.jsonl", "-o", work / "p.h5", "--quiet", code=2)
        check("line 2" in done.stderr and "float64" in done.stderr, done.stderr)
        (work / "a.csv").write_text(f"prompt,score\na,1.5\nb,{text}\n")
        script("prompts", work / "a.csv", "-o", work / "c.h5", "--quiet", "--overwrite")
        check(columns(work / "c.h5")["score"] == ["1.5", text], columns(work / "c.h5"))
    check(made(work, [{"prompt": "a", "score": 1e308, "n": 2}])["score"] == [1e308])
    (work / "b.csv").write_text("id,prompt,tweet,seed\n1,a,1234567890123456789,1234567890123456789\n2,b,5,7\n")
    script("prompts", work / "b.csv", "-o", work / "c.h5", "--quiet", "--overwrite")
    got = columns(work / "c.h5")
    check(got["tweet"] == ["1234567890123456789", "5"] and got["seed"] == [1234567890123456789, 7], got)
    fault = made(work, [{"prompt": "a"}], "--set", "temperature=1e400", code=2)
    check("temperature" in fault and "Traceback" not in fault, fault)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [tool_calls, endpoints, responses, advised_settings, settings_as_columns, logprobs_of_requests, keys_of_requests, numbers_beyond_float64], sys.argv[3:])
