#!/usr/bin/env python3
"""scripts/prompts.py: columns that are settings of their rows, their names, and names that are almost settings' names.

    prompts_settings.py WORK_DIR [TEST ...]"""
import json
import math
import pathlib
import re
import sys

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from prompts_in import made  # noqa: E402
from tools import SOURCE, check, columns, main, script, write_lines  # noqa: E402


def sampling_columns(work):
    rows = [{"prompt": "a", "max_new_tokens": 5, "stop": "\n", "top_p": None, "seed": 7, "top_k": -1}, {"prompt": "b", "stop": ["x", "ü"], "top_p": 0.5},
            {"prompt": "c", "stop": None, "top_p": -1, "seed": 2**63 - 1}, {"prompt": "d", "stop": [], "temperature": 0}]
    got = made(work, write_lines(work / "a.jsonl", rows), "--map", "max_new_tokens=max_tokens", "--set", "n=4", "--set", "min_p=0.1")
    check(got["max_tokens"] == [5, -1, -1, -1] and got["n"] == [4] * 4 and got["min_p"] == [0.1] * 4, got)
    check(got["stop"] == ['["\\n"]', '["x", "ü"]', "", "[]"] and got["seed"] == [7, -1, 2**63 - 1, -1] and got["top_k"] == [0, -1, -1, -1], got)
    check(math.isnan(got["top_p"][0]) and got["top_p"][1] == 0.5 and math.isnan(got["top_p"][2]) and got["temperature"][3] == 0, got)
    for name, value in (("n", 0), ("temperature", -0.5), ("top_p", 0), ("top_p", 1.5), ("max_tokens", 2.5), ("seed", 2**64), ("seed", 2.0**64), ("seed", "2e19"), ("stop", [""]),
                        ("n", True), ("n", "many"), ("temperature", [1]), ("stop", 5)):
        fault = made(work, write_lines(work / "b.jsonl", [{"prompt": "a"}, {"prompt": "b", name: value}]), code=2)
        check(f"line 2: {name} is " in fault and ", must be " in fault, fault)


def stops_as_they_are_typed(work):
    """Escapes in --set are characters, as in --template; a stop in a file is used literally, and a note says what may be meant."""
    path = write_lines(work / "a.jsonl", [{"prompt": "x"}])
    for typed, want in (("\\n", "\n"), ("\\n\\n", "\n\n"), ("\\nu", "\nu"), ("a\\tb", "a\tb"), ("\\\\n", "\\n"), ('"\\n"', "\n"), ("END", "END"), ("\n", "\n")):
        check(json.loads(made(work, path, "--set", f"stop={typed}")["stop"][0]) == [want], typed)
    check(made(work, path, "--set", 'stop=["\\n", "b"]')["stop"] == ['["\\n", "b"]'] and made(work, path, "--set", "stop_sequences=\\n")["stop"] == ['["\\n"]'])
    got = made(work, path, "--set", "hint=a\\nb", "--set", "law=\\nabla x")
    check(got["hint"] == ["a\nb"] and got["law"] == ["\\nabla x"], got)
    (work / "b.csv").write_text('prompt,stop\nx,\\n\ny,"[""\\n""]"\nz,\n')
    done = script("prompts", work / "b.csv", "-o", work / "b.h5", "--quiet")
    check(columns(work / "b.h5")["stop"] == ['["\\\\n"]', '["\\n"]', ""], columns(work / "b.h5"))
    check('note: stop: a backslash and n (or t) in 1 row stops' in done.stderr and '["\\n"]' in done.stderr, done.stderr)
    check("backslash" not in script("prompts", path, "-o", work / "c.h5", "--quiet", "--set", "stop=\\\\n").stderr)


def off_and_the_runs_own(work):
    """top_k -1 is off, as in vLLM and run.yaml, in any rows; elsewhere -1 means the run's value, which a note reports."""
    rows = [{"prompt": "x", "top_k": -1, "min_p": 0, "top_p": 1, "max_tokens": -1, "seed": -1}, {"prompt": "y", "top_k": 5}]
    done = script("prompts", write_lines(work / "a.jsonl", rows), "-o", work / "a.h5", "--quiet")
    got = columns(work / "a.h5")
    check(got["top_k"] == [0, 5] and got["min_p"][0] == 0 and got["top_p"][0] == 1 and got["max_tokens"] == [-1, -1] and got["seed"] == [-1, -1], got)
    check("max_tokens: -1 in 1 row means the run's value" in done.stderr and "seed: -1 in 1 row" in done.stderr, done.stderr)
    (work / "b.csv").write_text("prompt,top_k\nx,-1\ny,\n")
    check(made(work, work / "b.csv")["top_k"] == [0, -1] and made(work, work / "b.csv", "--set", "top_k=-1")["top_k"] == [0, 0])
    batch = [{"custom_id": "a", "url": "/v1/completions", "body": {"prompt": "x", "top_k": -1}}]
    check(made(work, write_lines(work / "c.jsonl", batch))["top_k"] == [0])
    with h5py.File(work / "d.h5", "w") as file: file["prompt"], file["top_k"] = ["x"], [-1]
    check(made(work, work / "d.h5")["top_k"] == [-1], "in moemill's own form -1 is the run's own")


def seeds_of_64_bits(work):
    """All of uint64, which then has no -1; no float that has lost its last digits."""
    top = 2**64 - 1
    for rows in ([{"seed": top}, {"seed": str(2**63)}, {"seed": 7.0}], [{"seed": top, "topic": "t"}, {"seed": 2**63}, {"seed": 7}]):
        got = made(work, write_lines(work / "a.jsonl", [{"prompt": "x", **r} for r in rows]))
        check(got["seed"] == [top, 2**63, 7], got)
    (work / "b.csv").write_text(f"prompt,seed\nx,{top}\ny,5\n")
    check(made(work, work / "b.csv")["seed"] == [top, 5] and made(work, work / "b.csv", "--set", f"seed={top}")["seed"] == [top] * 2)
    check(made(work, work / "b.csv", "--drop", "seed").keys() == {"prompt"})
    for seed, said in ((None, "every row needs one"), (-1, "every row needs one"), (2.0**60, "a float, which is not exact beyond 2^53"), (-2, "from 0 to 18446744073709551615")):
        fault = made(work, write_lines(work / "c.jsonl", [{"prompt": "x", "seed": top}, {"prompt": "x", "seed": seed}]), code=2)
        check("line 2: seed is " in fault and said in fault, fault)


def settings_under_other_names(work):
    """Names of other programs apply if they mean the same; ambiguous names and typing errors are refused with advice."""
    rows = [{"prompt": "x", "max_new_tokens": 5, "num_return_sequences": 2, "stop_sequences": ["\n"], "min_new_tokens": 1}, {"prompt": "y", "max_tokens": 7},
            {"prompt": "z", "max_completion_tokens": 9, "max_tokens": None}]
    path = write_lines(work / "a.jsonl", rows)
    said = script("prompts", path, "-o", work / "s.h5", "--quiet").stderr
    check("used as sampling settings: n (called num_return_sequences), max_tokens (called max_completion_tokens and max_new_tokens), min_tokens" in said, said)
    got = columns(work / "s.h5")
    check(got == {"prompt": ["x", "y", "z"], "max_tokens": [5, 7, 9], "n": [2, -1, -1], "stop": ['["\\n"]', "", ""], "min_tokens": [1, -1, -1]}, got)
    check(made(work, path, "--drop", "max_new_tokens")["max_tokens"] == [-1, 7, 9] and made(work, path, "--set", "max_output_tokens=3")["max_tokens"] == [3] * 3)
    check(made(work, path, "--map", "max_new_tokens=budget")["budget"][0] == 5)
    check("--map max_new_tokens=my_max_new_tokens" in made(work, write_lines(work / "b.jsonl", [{"prompt": "x", "max_new_tokens": "many"}]), code=2))
    fault = made(work, write_lines(work / "c.jsonl", [{"prompt": "x"}, {"prompt": "x", "max_tokens": 5, "max_new_tokens": 6}]), code=2)
    check("line 2: has max_tokens 5 and max_new_tokens 6, which are the same setting" in fault, fault)
    near = {"temp": ("temperature", 0.5), "seeds": ("seed", 1), "stops": ("stop", ["x"]), "rep_penalty": ("repetition_penalty", 1.5), "n_samples": ("n", 2),
            "num_samples": ("n", 2), "max_length": ("max_tokens", 9), "temprature": ("temperature", 0.5), "maxNewTokens": ("max_tokens", 5), "random_seed": ("seed", 3),
            "topP": ("top_p", 0.5), "sotp": ("stop", "x"), "eos_token_id": ("stop_token_ids", "[1]"), "top_logprobs": ("logprobs", 2)}
    for name, (setting, value) in near.items():
        path = write_lines(work / "d.jsonl", [{"prompt": "x", name: value}])
        fault = made(work, path, code=2)
        check(f"column {name}: its name is almost that of the setting {setting}" in fault and f"--map {name}={setting}" in fault, fault)
        check(setting in made(work, path, "--map", f"{name}={setting}") and made(work, path, "--drop", name).keys() == {"prompt"}, name)
    done = script("prompts", path, "-o", work / "p.h5", "--overwrite", "--quiet", "--keep", "top_logprobs")
    check("output: {carry_columns: [top_logprobs]}" in done.stderr and columns(work / "p.h5")["top_logprobs"] == [2], done.stderr)
    check("--set temp: is not a setting; did you mean temperature?" in made(work, path, "--drop", "top_logprobs", "--set", "temp=1", code=2))
    data = {"n_words": 5, "topic": "t", "seed_text": "s", "tempo": 120, "stop_name": "Halle", "temp": "hot", "top": 1, "shop": "x", "length": 4, "seed2": 5,
            "temperature_c": 5, "logprob": -0.5, "step": 3, "num_tokens": 7, "max_score": 2, "nums": [1]}
    got = made(work, write_lines(work / "e.jsonl", [{"prompt": "x", **data}]))
    check(got.keys() == {"prompt", *data}, "honest data", got.keys() ^ {"prompt", *data})


def settings_within_objects(work):
    """sampling_params and extra_body apply as in other programs; keys in them that are not settings are reported by name; two values
    make a bad row."""
    got = made(work, write_lines(work / "n.jsonl", [{"prompt": "a", "extra_body": {"top_k": 3, "min_p": None}}, {"prompt": "b", "extra_body": None}]))
    check(got.keys() == {"prompt", "top_k"} and got["top_k"] == [3, -1], got)
    rows = [{"prompt": "a", "sampling_params": {"temperature": 0, "max_new_tokens": 5, "guess": 1}, "extra_body": {"top_k": 3, "seed": None}},
            {"prompt": "b", "extra_body": {"top_k": -1}, "temperature": 0.5}, {"prompt": "c", "sampling_params": {"temperature": 0.5}, "temperature": 0.5}]
    path = write_lines(work / "a.jsonl", rows)
    said = script("prompts", path, "-o", work / "a.h5", "--quiet").stderr
    got = columns(work / "a.h5")
    check(got["temperature"] == [0, 0.5, 0.5] and got["top_k"] == [3, 0, -1] and got["max_tokens"] == [5, -1, -1] and "extra_body" not in got, got)
    check(json.loads(got["sampling_params"][0]) == {"guess": 1} and "sampling_params.guess: is not a key of a request that moemill knows, 1 row" in said, said, got)
    check("temperature (called sampling_params.temperature), top_k (called extra_body.top_k)" in said, said)
    body = {"messages": None, "prompt": "x", "extra_body": {"top_k": 3, "guided_regex": "a*"}}
    said = script("prompts", write_lines(work / "b.jsonl", [{"custom_id": "1", "url": "/v1/completions", "body": body}]), "-o", work / "b.h5", "--quiet").stderr
    check(columns(work / "b.h5")["top_k"] == [3] and "note: extra_body.guided_regex: is not a key" in said and "extra_body: is" not in said, said)
    got = made(work, path, "--drop", "extra_body", "--map", "sampling_params=mine")
    check("top_k" not in got and got["temperature"][1] == 0.5 and math.isnan(got["temperature"][0]), got)
    for row, why in (({"temperature": 1, "sampling_params": {"temperature": 0}}, "line 1: has temperature 1 and sampling_params.temperature 0, which are the same setting"),
                     ({"extra_body": {"max_tokens": 2}, "sampling_params": {"max_new_tokens": 3}}, "has max_tokens 3 and extra_body.max_tokens 2"),
                     ({"extra_body": {"top_p": 7}}, "top_p is 7, must be a number above 0 to 1 (if it is not meant as the setting, use --map extra_body=my_extra_body)")):
        fault = made(work, write_lines(work / "c.jsonl", [{"prompt": "x", **row}]), code=2)
        check(why in fault, fault)
    path = write_lines(work / "d.jsonl", [{"prompt": "x", "sampling_params": "greedy", "parameters": {"max_new_tokens": 3}, "info": {"seed": 1}}])
    said = script("prompts", path, "-o", work / "d.h5", "--quiet").stderr
    check("sampling_params: is not an object of settings in 1 row" in said and "parameters: holds names of settings in 1 row" in said and "info" not in said, said)
    check(made(work, path, "--drop", "sampling_params", "--map", "parameters=extra_body")["max_tokens"] == [3])


def keys_that_come_twice(work):
    """If a key has two values neither is known to be meant: a bad row, in lines and arrays, at any depth."""
    twice = ('{"prompt": "a", "id": 2, "prompt": "b"}', '{"prompt": "a", "id": 3, "meta": {"x": [{"k": 1, "k": 1}]}}')
    sound = '{"prompt": "s", "id": 1, "meta": {"k": 1, "x": [{"k": 1}, {"k": 2}]}}'
    for name, text in (("a.jsonl", "\n".join((*twice, sound))), ("a.json", f"[{', '.join((*twice, sound))}]")):
        (work / name).write_text(text)
        got = made(work, work / name, "--on-error", "skip")
        check(got["prompt"] == ["s"] and got["id"] == [1], got)
        listed = [json.loads(line) for line in (work / "p.h5.skipped.jsonl").read_text().splitlines()]
        check([row["error"].split(" in one")[0] for row in listed] == ["has the key 'prompt' twice", "has the key 'k' twice"], listed)
        check("1: has the key 'prompt' twice in one object" in made(work, work / name, code=2))
    (work / "b.jsonl").write_text('{"custom_id": "n", "body": {"prompt": "a", "n": 1, "n": 2}}\n{"custom_id": "m", "body": {"prompt": "a"}}\n')
    made(work, work / "b.jsonl", "--on-error", "skip")
    check(json.loads((work / "p.h5.skipped.jsonl").read_text())["custom_id"] == "n")


def at_least_more_than_at_most(work):
    """moemill would refuse the whole file; the run's own values are not known here."""
    sound = [{"prompt": "a", "min_tokens": 5, "max_tokens": 5}, {"prompt": "b", "min_tokens": 9}, {"prompt": "c", "max_tokens": 1}, {"prompt": "d", "min_tokens": -1, "max_tokens": 0}]
    path = write_lines(work / "a.jsonl", [*sound, {"prompt": "e", "min_tokens": 9, "extra_body": {"max_completion_tokens": 5}}])
    fault = made(work, path, code=2)
    check("line 5: min_tokens is 9, more than the row's max_tokens, 5: lower one or raise the other" in fault, fault)
    check(made(work, path, "--on-error", "skip")["min_tokens"] == [5, 9, -1, -1])
    check(made(work, path, "--drop", "min_tokens")["max_tokens"] == [5, -1, 1, 0, 5])
    check("line 1: min_tokens is 5, more than the row's max_tokens, 4" in made(work, path, "--set", "max_tokens=4", "--drop", "extra_body", code=2))


def names_are_those_of_the_program(work):
    """Names of settings in other programs, and typing errors, as the program knows them."""
    from moemill_tools.prompts.sampling.names import LONG, MEANT, SAME, SETTINGS, SHORT, letters_of, near_setting
    source, header = ((SOURCE / "lib/dataset/prompts" / f"column_names.{kind}").read_text() for kind in ("cpp", "hpp"))
    def table(text, name): return re.search(name + r"(?:\[\])? = \{(.*?)\};", text, re.S).group(1)
    program = dict(re.findall(r'\{"(\w+)",\s*"(\w+)"\}', table(source, "synonyms")))
    check(program == MEANT, "the program refuses more:", program.items() - MEANT.items(), "and prompts.py:", MEANT.items() - program.items())
    check(set(re.findall(r'"(\w+)"', table(header, "setting_names"))) == set(SETTINGS), table(header, "setting_names"))
    check(re.findall(r"(?:short|long)_name_letters = (\d+)", source) == [str(SHORT), str(LONG)], "letters of a typing error")
    check({letters_of(name): setting for name, setting in SAME.items()}.items() <= MEANT.items(), SAME)
    near = {"tempreture": "temperature", "Temperature": "temperature", "top-p": "top_p", "topp": "top_p", "tpo_k": "top_k", "max_token": "max_tokens", "min_tokns": "min_tokens",
            "repitition_penalty": "repetition_penalty", "presence-penalty": "presence_penalty", "frequence_penalty": "frequency_penalty", "ignore_oes": "ignore_eos", "sede": "seed",
            "N": "n", "logprob": "logprobs", "add_special_token": "add_special_tokens", "repeat_penalty": "repetition_penalty", "n_predict": "max_tokens"}
    for name, setting in near.items(): check(near_setting(name, "int64") == setting, name, near_setting(name, "int64"))
    for name, setting in {"stpo": "stop", "Stop": "stop", "stop_words": "stop", "stop_token_id": "stop_token_ids"}.items(): check(near_setting(name, "text") == setting, name)
    data = ("n_words topic text score step shop top need stops tempo in_tokens num_tokens out_tokens samples length num_words n_shot text_length max_score min_score temporal room_temp "
            "stop_count total_tokens tokens model penalty temperature_c seed2 label split category id2 ids idx index nn no k p logit eos special frequency presence maximum prompts answer")
    for name in data.split(): check(near_setting(name, "int64") is None, name, near_setting(name, "int64"))
    for name in ("stip", "seed_text", "stop_name", "temp", "seeds"): check(near_setting(name, "text") is None, name)
    check(near_setting("logprob", "float64") is None and near_setting("seed", "int64") is None)


def sampling_columns_are_named(work):
    """A column that happens to have the name of a setting is used with a note, and not with --drop; --keep decides only what is carried."""
    path = write_lines(work / "a.jsonl", [{"prompt": "x", "temperature": 0.5, "n": 2, "stop": "z", "topic": "t"}])
    def told(*words): return script("prompts", path, "-o", work / "p.h5", "--overwrite", "--quiet", *words).stderr
    check("note: used as sampling settings: n, temperature, stop\n" in told(), told())
    check("used as sampling settings: temperature, stop\n" in told("--drop", "n") and set(columns(work / "p.h5")) == {"prompt", "temperature", "stop", "topic"})
    told("--drop", "n", "--drop", "topic")
    check(set(columns(work / "p.h5")) == {"prompt", "temperature", "stop"}, "an option said twice adds up")
    check("used as sampling settings: n, temperature, stop\n" in told("--keep", "topic", "--set", "top_p=0.5"))
    check(set(columns(work / "p.h5")) == {"prompt", "n", "temperature", "stop", "top_p", "topic"}, columns(work / "p.h5"))
    path = write_lines(work / "a.jsonl", [{"prompt": "x", "temperature": "37 C", "stop": "Halle"}, {"prompt": "x", "stop": 5}])
    fault = made(work, path, code=2)
    check("line 1: temperature" in fault and "(if it is not meant as the setting, use --map temperature=my_temperature)" in fault, fault)
    check("--map stop=my_stop)" in (fault := made(work, path, "--drop", "temperature", code=2)), fault)
    check(made(work, path, "--map", "temperature=my_temperature", "--map", "stop=s")["my_temperature"] == ["37 C", ""])
    check("sampling setting" not in made(work, path, "--set", "temperature=hot", code=2))


def keys_of_another_form(work):
    """Columns that only a conversation uses, beside a plain prompt, token ids or a template: reported with advice if they are not used."""
    def told(row, *words, **more):
        return script("prompts", write_lines(work / "a.jsonl", [row, {**row, "system": ""}]), "-o", work / "p.h5", "--overwrite", "--quiet", *words, **more).stderr
    (work / "t.jinja").write_text("{{ effort }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{{ tools }}{{ documents }}")
    row, model = {"system": "Be brief.", "prompt": "hi"}, ["--chat-template", work / "t.jinja"]
    check("system has no effect in 1 row, whose prompt is plain text: --user-turn" in (said := told(row)), said)
    check("has no effect" not in told(row, "--user-turn", *model) and "has no effect" not in told(row, "--drop", "system"))
    check("has no effect" not in told(row, "--template", "{{ system }} {{ prompt }}") and "has no effect" in told(row, "--template", "{{ prompt }}"))
    for name, value in (("tools", [{"name": "f"}]), ("tools", '[{"name": "f"}]'), ("chat_template_kwargs", {"a": 1}), ("continue_final_message", True), ("add_generation_prompt", True),
                        ("documents", ["d"])):
        check(f"{name} has no effect in 2 rows, whose prompt is plain" in (said := told({"prompt": "hi", name: value})), name, said)
    check("tools has no effect in 2 rows, whose prompt is token ids" in told({"prompt_token_ids": [1], "tools": [{"name": "f"}]}))
    for value in (None, "", [], "[]", False): check("has no effect" not in told({"prompt": "hi", "tools": value}), value)
    check("--template-arg, --continue-final-message: no row is a conversation" in (said := told({"prompt": "hi"}, "--continue-final-message", "--template-arg", "a=1")), said)
    chat = {"messages": [{"role": "user", "content": "hi"}], "effort": "high", "documents": ["d"], "topic": "t"}
    said = told(chat, *model)
    check("column effort is only carried along" in said and "--template-arg effort=VALUE" in said and "column documents is" in said and "topic" not in said, said)
    path = write_lines(work / "b.jsonl", [{"custom_id": "a", "url": "/v1/chat/completions", "body": {"messages": chat["messages"], "system": "s"}}])
    said = script("prompts", path, "-o", work / "q.h5", "--quiet", *model).stderr
    check("became the system message of 1 row" in said and "system: is no key" not in said, said)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [
        sampling_columns, stops_as_they_are_typed, off_and_the_runs_own, seeds_of_64_bits, settings_under_other_names, settings_within_objects, keys_that_come_twice, at_least_more_than_at_most, names_are_those_of_the_program, keys_of_another_form, sampling_columns_are_named], sys.argv[2:])
