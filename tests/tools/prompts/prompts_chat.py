#!/usr/bin/env python3
"""scripts/prompts.py and chat templates: nothing of a conversation is lost silently, turns that stay open, special tokens.

    prompts_chat.py WORK_DIR [TEST ...]"""
import json
import pathlib
import sys

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from tools import SOURCE, check, columns, main, read_lines, script, write_lines  # noqa: E402

DATA = SOURCE / "tests/data/tools"
ASK = {"role": "user", "content": "Weather in Bonn?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Bonn"}'}}
ANSWER = {"role": "tool", "tool_call_id": "c1", "content": "9 degrees"}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
# Templates that each recognise a message with only tool calls by a different test; elsewhere a call is lost, or ends the rendering.
CALLS = "{% for c in m.tool_calls %}<{{ c.function.name }}>{% endfor %}"
TESTS_OF_CONTENT = {
    "is none": "{% if m['content'] is none %}" + CALLS + "{% else %}{{ m['content'] }}{% endif %}",
    "absent": "{% if 'content' in m %}{{ m.content }}{% else %}" + CALLS + "{% endif %}",
    "is defined": "{% if m.content is defined and m.content is not none %}{{ m.content }}{% else %}" + CALLS + "{% endif %}",
    "false": "{% if m.content %}{{ m.content }}{% else %}" + CALLS + "{% endif %}",
    "is text": "{{ m.content + '' }}{% if m.tool_calls %}" + CALLS + "{% endif %}",
    "equals": "{% if m.content == '' %}" + CALLS + "{% else %}{{ m.content | trim }}{% endif %}",
    "any": "{% if m.content %}{{ m.content }}{% endif %}{% if m.tool_calls %}" + CALLS + "{% endif %}"}


def made(work, rows, *words, code=0):
    done = script("prompts", write_lines(work / "a.jsonl", rows), "-o", work / "p.h5", "--overwrite", "--quiet", *words, code=code)
    return (columns(work / "p.h5"), done.stderr) if code == 0 else done.stderr


def templated(work, text):
    (work / "t.jinja").write_text(text)
    return "--chat-template", work / "t.jinja"


def turns(body): return "{% for m in messages %}[{{ m.role }}]" + body + "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"


def contents_of_tool_calls(work):
    """For a message with only tool calls, content null, absent and "" are the same, whichever one the template tests."""
    for name, test in TESTS_OF_CONTENT.items():
        for content in ({"content": None}, {}, {"content": ""}, {"content": []}):
            messages = [ASK, {"role": "assistant", **content, "tool_calls": [CALL]}, ANSWER]
            for words in ([], ["--keep-nulls"]):
                got, told = made(work, [{"messages": messages}], *templated(work, turns(test)), *words)
                check(got["prompt"] == ["[user]Weather in Bonn?[assistant]<get_weather>[tool]9 degrees[assistant]"], name, content, got["prompt"])
                check(json.loads(got["messages"][0]) == messages and "leaves out" not in told, "the column stays as it was")
    item = [{"role": "user", "content": "Weather in Bonn?"}, {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": '{"city": "Bonn"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "9 degrees"}]
    for model in ("deepseek_v3", "qwen3"):
        rows = [{"custom_id": "r", "url": "/v1/responses", "body": {"input": item}},
                {"custom_id": "c", "url": "/v1/chat/completions", "body": {"messages": [ASK, {"role": "assistant", "content": "", "tool_calls": [CALL]}, ANSWER]}}]
        got, _ = made(work, rows, "--model", DATA / model)
        for prompt in got["prompt"]:
            check(prompt.index("get_weather") < prompt.index('{"city": "Bonn"}') < prompt.index("9 degrees"), model, prompt)
        check(got["prompt"][0] == got["prompt"][1], model, got["prompt"])


def calls_that_cannot_be_shown(work):
    """A row whose call the template leaves out is refused with the reason; anything else that it leaves out is reported with the number
    of rows."""
    with_text = [ASK, {"role": "assistant", "content": "I look.", "tool_calls": [CALL]}, ANSWER]
    fault = made(work, [{"messages": [ASK]}, {"messages": with_text}], "--model", DATA / "deepseek_v3", code=2)
    check("line 2: the chat template leaves out tool calls: get_weather" in fault, fault)
    two = [ASK, {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "function": {"name": "second", "arguments": "{}"}}]}]
    fault = made(work, [{"messages": two}], *templated(work, turns("{{ m.content }}{{ m.tool_calls[0].function.name if m.tool_calls }}")), code=2)
    check("leaves out tool calls: second" in fault, fault)
    got, told = made(work, [{"messages": [ASK], "tools": TOOLS}] * 2 + [{"messages": [ASK]}], "--model", DATA / "deepseek_v3")
    check("does not write tools: the model does not see those of 2 rows" in told, told)
    check("tools" not in made(work, [{"messages": [ASK], "tools": TOOLS}], "--model", DATA / "qwen3")[1])
    thought = [ASK, {"role": "assistant", "reasoning_content": "hm", "content": "4"}, ASK]
    check("leaves out reasoning of assistants' turns in 1 row" in made(work, [{"messages": thought}], "--model", DATA / "qwen3")[1])
    _, told = made(work, [{"messages": [{"role": "system", "content": "be"}, ASK]}] * 3, *templated(work, "{{ messages[-1].content }}"))
    check("leaves out messages of role system in 3 rows" in told, told)
    check("leaves out" not in made(work, [{"messages": [{"role": "system", "content": " "}, ASK]}], *templated(work, "{{ messages[-1].content }}"))[1])


def roles(work):
    """A role that a template does not know is renamed to one that it knows; legacy calls and refusals are kept."""
    known = ("{% for m in messages %}{% if m.role not in ('system', 'user', 'assistant', 'tool') %}{{ raise_exception('role ' + m.role) if strict }}"
             "{% else %}[{{ m.role }}]{{ m.content }}{{ m.tool_calls[0].function.name if m.tool_calls }}{% endif %}{% endfor %}")
    for strict in ("true", "false"):
        words = [*templated(work, known), "--template-arg", f"strict={strict}"]
        got, told = made(work, [{"messages": [{"role": "developer", "content": "be"}, ASK]}], *words)
        check(got["prompt"] == ["[system]be[user]Weather in Bonn?"] and "does not know the role developer: in 1 row it is rendered as system" in told, told)
        legacy = [ASK, {"role": "assistant", "content": None, "function_call": CALL["function"]}, {"role": "function", "name": "get_weather", "content": "9"}]
        got, _ = made(work, [{"messages": legacy}], *words)
        check(got["prompt"][0].endswith("get_weather[tool]9"), got)
    got, told = made(work, [{"messages": [{"role": "developer", "content": "be"}, ASK]}], *templated(work, turns("{{ m.content }}")))
    check(got["prompt"][0].startswith("[developer]be") and "role developer" not in told, "a template that takes any role")
    refused = [ASK, {"role": "assistant", "content": None, "refusal": "no"}, {"role": "user", "content": [{"type": "refusal", "refusal": "r"}]}]
    check(made(work, [{"messages": refused}], *templated(work, turns("{{ m.content }}")))[0]["prompt"] == ["[user]Weather in Bonn?[assistant]no[user]r[assistant]"])
    fault = made(work, [{"messages": [{"role": "assistant", "content": None, "audio": {"id": "x"}}]}], *templated(work, "x"), code=2)
    check("audio" in fault and "only text" in fault, fault)


def roles_that_no_template_knows(work):
    """A turn that is left out because of its role makes a bad row, which names the intended role."""
    for role, cure in (("User", "is it user?"), ("tool_result", "is it tool?"), ("asistant", "is it assistant?"), ("critic", "roles are system, user, assistant and tool")):
        rows = [{"messages": [ASK]}, {"messages": [ASK, {"role": role, "content": "9"}]}]
        fault = made(work, rows, "--model", DATA / "qwen3", code=2)
        check(f"line 2: the chat template leaves out message 2, of role '{role}'" in fault and cure in fault, fault)
        got, told = made(work, rows, "--model", DATA / "qwen3", "--on-error", "skip")
        check(len(got["prompt"]) == 1 and cure in read_lines(work / "p.h5.skipped.jsonl")[0]["error"], told)
    for role in ("human", "critic"):
        got, _ = made(work, [{"messages": [{**ASK, "role": role}]}], *templated(work, turns("{{ m.content }}")))
        check(got["prompt"][0].startswith(f"[{role}]Weather"), "a template that takes any role", got)


def sharegpt(work):
    """system and tools beside the turns, function_call and observation among them."""
    words = templated(work, "{{ (tools | tojson) if tools }}" + turns("{{ m.content or '' }}{% for c in m.tool_calls or [] %}<{{ c.function.name }} {{ c.function.arguments.city }}>{% endfor %}"))
    bare = {"name": "get_weather", "parameters": {}}
    said = [{"from": "human", "value": "Weather?"}, {"from": "function_call", "value": '{"name": "get_weather", "arguments": {"city": "Bonn"}}'},
            {"from": "observation", "value": "9"}]
    got, told = made(work, [{"conversations": said, "system": "be", "tools": json.dumps([bare])}], *words)
    check(got["prompt"] == [json.dumps([{"type": "function", "function": bare}]) + "[system]be[user]Weather?[assistant]<get_weather Bonn>[tool]9[assistant]"], got)
    check("the column system became the system message of 1 row" in told, told)
    got, told = made(work, [{"conversations": said, "system": "be"}], *words, "--drop", "system")
    check("[system]" not in got["prompt"][0] and "system" not in got, got)
    got, told = made(work, [{"conversations": [{"from": "system", "value": "own"}, *said], "system": "beside"}], *words)
    check("[system]own[user]" in got["prompt"][0] and "beside" not in got["prompt"][0] and "the message was used" in told, told)
    check("--map system_prompt=system" in made(work, [{"messages": [ASK], "system_prompt": "be"}], *words)[1])
    check("[system]be" in made(work, [{"messages": [ASK], "system_prompt": "be"}], *words, "--map", "system_prompt=system")[0]["prompt"][0])
    calls = json.dumps([{"name": n, "arguments": {"city": n}} for n in "ab"])
    got, _ = made(work, [{"messages": [ASK, {"role": "function_call", "content": calls}, {"role": "observation", "content": "9"}]}], *words)
    check("[assistant]<a a><b b>[tool]9" in got["prompt"][0], got)
    for bad in ("no JSON", "5", "{}", "[]", '[{"arguments": {}}]'):
        fault = made(work, [{"conversations": [said[0], {"from": "function_call", "value": bad}]}], *words, code=2)
        check("line 1: " in fault and "function_call" in fault, bad, fault)


def what_has_no_effect(work):
    """Variables that a template does not read, names of speakers, and contents that are not text."""
    words = templated(work, "{% if thinking %}+{% endif %}" + turns("{{ m.content }}"))
    rows = [{"messages": [ASK], "chat_template_kwargs": {"thinking": True, "enable_thinking": False}}] * 2
    got, told = made(work, rows, *words)
    check(got["prompt"][0].startswith("+") and "has no variable enable_thinking: it has no effect in 2 rows" in told and "variable thinking" not in told, told)
    told = made(work, [{"messages": [ASK]}], *words, "--template-arg", "thinkin=true", "--template-arg", "thinking=true")[1]
    check("--template-arg thinkin: " in told and "--template-arg thinking: " not in told, told)
    batch = [{"custom_id": "a", "body": {"messages": [ASK], "reasoning_effort": "high"}}]
    check("has no variable reasoning_effort" in made(work, batch, *words)[1])
    check("does not write names" in made(work, [{"messages": [{**ASK, "name": "Bob"}]}], *words)[1])
    check("does not write names" not in made(work, [{"messages": [{**ASK, "name": "Bob"}]}], *templated(work, turns("{{ m.name }}{{ m.content }}")))[1])
    for bad, word in (({"role": "user", "content": {"text": "x"}}, "must be text"), ({"role": "user", "content": 5}, "must be text"), ({"role": "user", "text": "x"}, "has no content; it has role, text")):
        check(word in (fault := made(work, [{"messages": [bad]}], *words, code=2)), fault)
    calls = [ASK, {"role": "assistant", "content": None, "tool_calls": json.dumps([CALL])}]
    check("<get_weather>" in made(work, [{"messages": calls}], *templated(work, turns("{% for c in m.tool_calls or [] %}<{{ c.function.name }}>{% endfor %}")))[0]["prompt"][0])


def nulls_within_tools(work):
    """Parquet gives every row all keys of any row: nulls that the model would see are reported, and left out on request."""
    words = templated(work, "{{ (tools | tojson) if tools }}" + turns("{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %}"))
    def call(**arguments): return {"type": "function", "function": {"name": "f", "arguments": arguments}}
    rows = [{"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [call(city="Bonn", day=None)]}], "tools": [{"type": "function", "function": {"name": "f", "strict": None}}]},
            {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [call(city="Bonn")]}], "tools": None}]
    got, told = made(work, rows, *words)
    check('{"city": "Bonn", "day": null}' in got["prompt"][0] and "hold nulls in 1 row" in told, told)
    deep = json.loads('{"a": ' * 900 + "null" + "}" * 900)
    for calls in (5, "5", {"x": 1}, [5, None], [{"function": 5}], [{"function": {"name": "f", "arguments": deep}}]):
        done = script("prompts", write_lines(work / "b.jsonl", [{"messages": [ASK, {"role": "assistant", "content": "x", "tool_calls": calls}]}]), "-o", work / "p.h5", "--overwrite", *words, code=None)
        check(done.returncode in (0, 2) and "Traceback" not in done.stderr, calls, done.stderr)
    got, told = made(work, rows, *words, "--drop-nulls")
    check('{"city": "Bonn"}' in got["prompt"][0] and "null" not in got["prompt"][0] + told and json.loads(got["messages"][0]) == rows[0]["messages"], got)


def open_turns(work):
    """An assistant's turn that the model continues: the prompt ends within it, and its text is a column of its own."""
    words = templated(work, turns("{{ m.content | trim }}<end>"))
    begun = [ASK, {"role": "assistant", "content": "It is"}]
    got, told = made(work, [{"messages": begun}, {"messages": [ASK]}], *words, "--continue-final-message")
    check(got["prompt"] == ["[user]Weather in Bonn?<end>[assistant]It is", "[user]Weather in Bonn?<end>[assistant]"], got)
    check(got["assistant_prefix"] == ["It is", ""] and json.loads(got["messages"][0]) == begun and "in 1 row the prompt ends within" in told, got, told)
    for rows in ([{"messages": begun, "continue_final_message": True, "add_generation_prompt": False}],
                 [{"custom_id": "a", "body": {"messages": begun, "continue_final_message": True, "add_generation_prompt": False}}],
                 *([{"messages": [ASK, {**begun[1], key: True}]}] for key in ("prefix", "partial"))):
        got, told = made(work, rows, *words)
        check(got["prompt"] == ["[user]Weather in Bonn?<end>[assistant]It is"] and got["assistant_prefix"] == ["It is"], rows, got)
    got, told = made(work, [{"messages": begun}], *words)
    check(got["prompt"][0].endswith("It is<end>[assistant]") and "assistant_prefix" not in got and "--continue-final-message" in told, got, told)
    got, _ = made(work, [{"prompt": "q"}], *words, "--assistant-prefix", "Yes, ")
    check(got["prompt"] == ["[user]q<end>[assistant]Yes, "] and got["assistant_prefix"] == ["Yes, "], got)
    got, _ = made(work, [{"messages": [ASK], "add_generation_prompt": False}], *words)
    check(got["prompt"] == ["[user]Weather in Bonn?<end>"], got)
    got, _ = made(work, [{"messages": begun}], "--model", DATA / "qwen3", "--continue-final-message")
    check(got["prompt"][0].endswith("<|im_start|>assistant\n<think>\n\n</think>\n\nIt is"), "as transformers' continue_final_message does", got)
    for last in (ASK, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "assistant", "content": ""}):
        fault = made(work, [{"messages": [ASK, last], "continue_final_message": True}], *words, code=2)
        check("can be continued" in fault or "leaves out tool calls" in fault, last, fault)


def skipped_rows_take_no_id(work):
    """The id of a row that is left out is free for the next one, whatever the reason."""
    rows = [{"id": "a", "messages": []}, {"id": "a", "messages": [ASK]}, {"id": "b", "messages": [ASK]}, {"id": "b", "messages": [ASK]}, {"id": "c", "messages": [ASK]},
            {"id": "c", "messages": []}, {"id": "a", "messages": [ASK]}]
    script("prompts", write_lines(work / "a.jsonl", rows), "-o", work / "p.h5", "--on-error", "skip", "--quiet", *templated(work, turns("{{ m.content }}")))
    check(columns(work / "p.h5")["id"] == ["a", "b", "c"], columns(work / "p.h5")["id"])
    skipped = [(s["line"], "already that of" in s["error"]) for s in read_lines(work / "p.h5.skipped.jsonl")]
    check(skipped == [(1, False), (4, True), (6, False), (7, True)], skipped)
    check("a.jsonl: line 2" in read_lines(work / "p.h5.skipped.jsonl")[3]["error"])


def special_tokens(work):
    """The value for input.add_special_tokens: auto: an attribute if all rows have the same value, a column if chat and plain rows share
    a file."""
    model = work / "model"
    model.mkdir()
    (model / "tokenizer.json").write_text(json.dumps({"post_processor": {"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}}))
    def config(template): (model / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "chat_template": template}))
    def told(rows, *words):
        got, _ = made(work, rows, *words)
        with h5py.File(work / "p.h5") as f: return f.attrs.get("add_special_tokens"), got.get("add_special_tokens"), f.attrs.get("add_special_tokens") is None or f.attrs["add_special_tokens"].dtype
    config("{{ bos_token }}" + turns("{{ m.content }}"))
    chat, plain = {"messages": [ASK]}, {"prompt": "once"}
    check(told([chat] * 3, "--model", model)[:2] == (0, None) and told([plain] * 2, "--model", model)[:2] == (1, None))
    check(told([plain])[:2] == (None, None), "nothing is known without the model")
    check(told([plain, chat, {"prompt": "<s>typed"}, plain], "--model", model)[:2] == (None, [1, 0, 0, 1]))
    many = [chat if i % 5000 > 4000 else plain for i in range(10000)]
    check(told(many, "--model", model)[1] == [0 if "messages" in r else 1 for r in many], "over blocks")
    with h5py.File(work / "p.h5") as f: check(f["add_special_tokens"].dtype == "int8")
    config(turns("{{ m.content }}"))
    check(told([chat], "--model", model)[:2] == (0, None), "a template without BOS means none, as in transformers and vLLM")
    check(told([{"prompt_token_ids": [5]}], "--model", model)[:2] == (None, None))
    rows = [{**plain, "add_special_tokens": value} for value in (True, False, None)]
    check(told(rows)[:2] == (None, [1, 0, -1]) and told(rows[1:2])[:2] == (0, None), "a row's own word")
    check("line 1: add_special_tokens is 'maybe'" in made(work, [{**plain, "add_special_tokens": "maybe"}], code=2))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [contents_of_tool_calls, calls_that_cannot_be_shown, roles, roles_that_no_template_knows, sharegpt, what_has_no_effect, nulls_within_tools, open_turns,
                                               skipped_rows_take_no_id, special_tokens], sys.argv[2:])
