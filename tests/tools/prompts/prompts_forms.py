#!/usr/bin/env python3
"""scripts/prompts.py: forms of prompts. Conversations and where their templates are found, templates over columns, batch lines, token
ids.

    prompts_forms.py WORK_DIR [TEST ...]"""
import json
import pathlib
import sys

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from prompts_in import DATA, SHARED, made  # noqa: E402
from tools import check, columns, main, read_lines, script, write_lines  # noqa: E402


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
    def added(*words):  # the value for input.add_special_tokens: auto
        got = made(work, path, "--model", model, *words)
        with h5py.File(work / "p.h5") as f: return f.attrs.get("add_special_tokens", got.get("add_special_tokens"))
    check(added() == 0, "the template writes <s>, as tokenizer.json does")
    (work / "bare.jinja").write_text("x<s>")
    check(added("--chat-template", work / "bare.jinja") == 0, "nothing is added to what a chat template wrote")
    # Plain prompts that begin with the tokens of tokenizer.json do not need them again.
    write_lines(path, [{"prompt": c} for c in ("<s>", "y", "<s>z")])
    check(list(added()) == [0, 1, 0])
    write_lines(path, [{"prompt": "<b>"}])
    for processor, told in (({"type": "RobertaProcessing", "cls": ["<b>", 0], "sep": ["</s>", 2]}, True), ({"type": "ByteLevel"}, False), (None, False),
                            ({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "bos"}}, {"Sequence": {"id": "A"}}],
                              "special_tokens": {"bos": {"id": "bos", "tokens": ["<b>"]}}}, True),
                            ({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "<b>"}}]}, False)):
        (model / "tokenizer.json").write_text(json.dumps({"post_processor": processor}))
        check((added() == 0) == told, processor)
    (model / "tokenizer.json").write_text('{"post_processor": {"type": "RobertaProcessing"}}')
    check("post_processor" in made(work, path, "--model", model, code=2))


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


def content_parts(work):
    """Content as OpenAI's list of parts: joined for templates that take text, kept for those that loop over it; never lost."""
    def parts(*texts): return [{"type": "text", "text": t} for t in texts]
    path = write_lines(work / "a.jsonl", [{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": parts("What is", "7+8?")}]}])
    for template, want in (("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}", "[system]s[user]What is\n7+8?"),
                           ("{% for m in messages %}{% if m.content is string %}{{ m['content'] | trim }}{% endif %}{% endfor %}", "sWhat is\n7+8?"),
                           ("{% for line in messages[1].content.split('\n') %}<{{ line }}>{% endfor %}", "<What is><7+8?>"),
                           ("{% for p in messages[1].content %}<{{ p.text }}>{% endfor %}", "<What is><7+8?>"),
                           ("{% set all = messages[1]['content'] | list %}{% for p in all if p.type == 'text' %}<{{ p['text'] }}>{% endfor %}", "<What is><7+8?>"),
                           ("{% macro shown(content) %}{% for p in content %}<{{ p.text }}>{% endfor %}{% endmacro %}{{ shown(messages[1].content) }}",
                            "<What is><7+8?>")):
        (work / "t.jinja").write_text(template)
        got = made(work, path, "--chat-template", work / "t.jinja")
        check(got["prompt"] == [want], template, got["prompt"])
        check(json.loads(got["messages"][0])[1]["content"] == parts("What is", "7+8?"), "the carried column is as it was", got["messages"])
    got = made(work, path, "--model", DATA / "qwen3")
    check("<|im_start|>user\nWhat is\n7+8?<|im_end|>" in got["prompt"][0], got)
    looping, image = "{% for p in messages[0].content %}{{ p }}{% endfor %}", {"type": "image_url", "image_url": {"url": "http://x"}}
    for template in (looping, "{{ messages[0].content }}"):
        (work / "t.jinja").write_text(template)
        for bad in ([*parts("a"), image], [{**image, "text": ""}], ["a"], [{"type": "text", "text": 5}]):
            fault = made(work, write_lines(work / "b.jsonl", [{"messages": [{"role": "user", "content": bad}]}]), "--chat-template", work / "t.jinja", code=2)
            check("line 1" in fault and "not text" in fault, bad, fault)
    (work / "t.jinja").write_text(looping)  # a null that Parquet adds beside the text is not an image
    nulls = [{"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "image_url": None}]}]}]
    check(made(work, write_lines(work / "c.jsonl", nulls), "--chat-template", work / "t.jinja")["prompt"] == [str(parts("a")[0])])
    answered = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": parts("x", "y")}]}]
    got = made(work, write_lines(work / "d.jsonl", answered), "--chat-template", work / "t.jinja", "--drop-last-answer")
    check(got["dropped_answer"] == ["x\ny"], got)


def column_templates(work):
    path = write_lines(work / "a.jsonl", [{"a": "ü<b>", "l": [1, 2], "id": 4}, {"a": "x", "l": [], "id": 5}])
    got = made(work, path, "--template", "Say {{ a }}:\\n{% for x in l %}{{ x }},{% endfor %}")
    check(got["prompt"] == ["Say ü<b>:\n1,2,", "Say x:\n"] and got["a"] == ["ü<b>", "x"] and got["id"] == [4, 5], got)
    (work / "t.jinja").write_text("{{ a }}\n")
    check(made(work, path, "--template", f"@{work / 't.jinja'}")["prompt"] == ["ü<b>\n", "x\n"])
    fault = made(work, path, "--template", "{{ b }}", code=2)
    check("line 1" in fault and "'b' is undefined" in fault, fault)
    check("--template: line 1" in made(work, path, "--template", "{{ a", code=2))
    path = write_lines(work / "n.jsonl", [{"a": "x", "o": {"b": 1}}, {"a": None, "o": {"b": None}}])
    for text in ("{{ a }}", "Q: {{ a }}!", "{{ 'Q: ' ~ a }}", "{{ a | trim }}", "{{ a | upper }}", "{{ '%s' % a }}", "{{ a | default('') }}"):
        fault = made(work, path, "--template", text, code=2)
        check("line 2" in fault and "column a is null: use {{ a or '' }}" in fault, text, fault)
    fault = made(work, path, "--template", "{{ o.b }}", code=2)
    check("line 2" in fault and "is null: use {{ x or '' }}" in fault, fault)
    for text in ("a._name", "a.name"): check("line 2" in made(work, path, "--template", "{{ %s if a is none }}" % text, code=2), text)
    asked = "{{ a or '' }}{% if a %}+{% endif %}{% if a is none and a == none and not a != none %}-{% endif %}{{ a | tojson }}{{ [a] | tojson }}"
    got = made(work, path, "--template", asked + "{{ a | default('', true) }}")
    check(got["prompt"] == ['x+"x"["x"]x', "-null[null]"], got)
    for text, want in (("{{ a }}\\nabc\\nFrench:\\n", "x\nabc\nFrench:\n"), ("$\\nabla \\neq\\nu$\\n{{ a }}", "$\\nabla \\neq\\nu$\nx")):
        got = made(work, path, "--limit", 1, "--template", text)
        check(got["prompt"] == [want], text, got)


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
    check(got["presence_penalty"] == [0.5] * 3 and "logit_bias: moemill does not support this, which 3 rows ask for" in done.stderr, done.stderr)
    plain = [{"custom_id": 7, "url": "/v1/completions", "body": {"prompt": "p", "top_k": -1, "seed": 3}}]
    got = made(work, write_lines(work / "b.jsonl", plain))
    check(got["prompt"] == ["p"] and got["top_k"] == [0] and got["seed"] == [3] and got["id"] == [7], got)
    check("line 4" in made(work, write_lines(work / "c.jsonl", rows + [{"custom_id": "x"}]), "--chat-template", template, code=2))
    check("line 4" in made(work, write_lines(work / "d.jsonl", rows + rows[:1]), "--chat-template", template, code=2))


def mixed_openai_batch(work):
    """Chat and completion lines in one file, and an empty prompt; the request that was left out is known."""
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
    for prompt, said in ((["p", "q"], "holds 2 prompts: write a line for each"), ([[1], [2]], "holds 2 prompts"), ([], "a text or a list of token ids"),
                         ([1.5], "a text or a list of token ids"), ([1, "p"], "a text or a list of token ids"), ([-1], "must be a list of token ids")):
        fault = made(work, write_lines(work / "c.jsonl", [line("t", plain, prompt=prompt)]), code=2)
        check("line 1: " in fault and "prompt" in fault and said in fault, fault)
    got = made(work, write_lines(work / "c.jsonl", [line("t", plain, prompt=[1, 2]), line("u", plain, prompt=[[3]])]))
    check(got["prompt_token_ids"] == [[1, 2], [3]] and got["id"] == ["t", "u"] and "prompt" not in got, got)
    check(made(work, write_lines(work / "c.jsonl", [line("t", plain, prompt=["p"])]))["prompt"] == ["p"], "a list of one")
    fault = made(work, write_lines(work / "c.jsonl", [line("t", plain, prompt=[1]), line("u", plain, prompt="p")]), code=2)
    check("some rows have token ids as their prompt and others a text" in fault, fault)
    bare = [{"custom_id": str(i), "body": body} for i, body in enumerate([{"prompt": "p"}, {"messages": say}, {"input": say}, {"prompt": "q", "messages": say}])]
    bare += [{**bare[0], "custom_id": "e", "url": ""}, {**bare[0], "custom_id": "n", "url": None}]
    got = made(work, write_lines(work / "d.jsonl", bare), "--chat-template", template)
    check(got["url"] == [plain, chat, "/v1/responses", chat, plain, plain], got["url"])
    check(got["prompt"] == ["p", "[user]hi", "[user]hi", "[user]hi", "p", "p"], got)


def token_ids(work):
    check(made(work, write_lines(work / "a.jsonl", [{"prompt": [5, 6]}, {"prompt_token_ids": [7]}]))["prompt_token_ids"] == [[5, 6], [7]])
    got = made(work, write_lines(work / "a.jsonl", [{"prompt_token_ids": [5, 6]}, {"prompt_token_ids": []}, {"prompt_token_ids": [7]}]))
    check(got["prompt_token_ids"] == [[5, 6], [], [7]], got)
    for bad in ("x", [1.5], [-1], [2**31], None):
        path = write_lines(work / "b.jsonl", [{"prompt_token_ids": [1]}, {"prompt_token_ids": bad}])
        check("line 2" in made(work, path, code=2), bad)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [
        chat_as_transformers_does, where_templates_are_found, conversations, content_parts, column_templates, openai_batch, mixed_openai_batch,
        token_ids], sys.argv[2:])
