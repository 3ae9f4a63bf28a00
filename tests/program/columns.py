#!/usr/bin/env python3
"""Columns of prompts.h5 that are settings of their row: each has the effect of its key in run.yaml, in every layout; names
that are almost such a name; special tokens per row, per file and per run.

    columns.py MOEMILL SOURCE_DIR WORK_DIR"""
import json

import h5py
import numpy as np

from moemill_program import SOURCE, check, differences, expect_exit, fresh, main, moemill, rows, start, write_prompts

MODEL = SOURCE / "configs/demo/model"
TEXT = "Q: Write as JSON: Lily lives in Tokyo and is 42 years old.\nA:"
NAN = float("nan")

# For each setting: values of the column, the value that means none, and the same in run.yaml (greedy with 48 tokens by default).
SETTINGS = {
    "temperature": (5.0, NAN, "5"),
    "repetition_penalty": (3.0, -1.0, "3"),
    "presence_penalty": (-1.0, NAN, "-1"),
    "frequency_penalty": (50.0, NAN, "50"),
    "max_tokens": (5, -1, "5"),
    "min_tokens": (45, -1, "45"),
    "stop": ('[":"]', "", '[":"]'),
    "stop_token_ids": ("[%d]", "", "[%d]"),  # a token that occurs in the answer
    "ignore_eos": (True, -1, "true"),
    "seed": (7, -1, "7"),
    "n": (3, -1, "3"),
}
SAMPLED = {"presence_penalty", "seed", "top_p", "top_k", "min_p"}
OFTEN = {"top_p": (0.05, NAN, "0.05"), "top_k": (1, -1, "1"), "min_p": (0.9, NAN, "0.9")}


def run(folder, prompts, *sets, name="out", ranks=0, code=0):
    words = [w for s in ("sampling.max_tokens=48", "sampling.temperature=0", *sets) for w in ("--set", s)]
    return expect_exit(moemill("run", "--model", MODEL, "-i", prompts, "-o", folder / name, *words, ranks=ranks), code)


def answers(path):
    """The completions of each prompt, as plain values."""
    found = {}
    for r in rows(path):
        found.setdefault(int(r["prompt_index"]), []).append((int(r["seed"]), int(r["finish_reason"]), r["text"], r["token_ids"].tolist()))
    return found


def settings_of(folder):
    plain = write_prompts(folder / "plain.h5", {"prompt": [TEXT]})
    run(folder, plain, name="plain")
    some = answers(folder / "plain/outputs.h5")[0][0][3][1]
    known = dict(SETTINGS, **OFTEN)
    known["stop_token_ids"] = tuple(v % some if "%" in str(v) else v for v in known["stop_token_ids"])
    return known


def columns_of(known):
    """Columns of a file in which row i has only the i-th setting, and the last row has none."""
    columns = {"prompt": [TEXT] * (len(known) + 1)}
    for at, (name, (value, nothing, _)) in enumerate(known.items()):
        column = [nothing] * len(columns["prompt"])
        column[at] = value
        if name == "ignore_eos": column = np.array(column, "i1")
        columns[name] = column
    for at, name in enumerate(known):  # for settings that affect only sampled tokens
        if name in SAMPLED: columns["temperature"][at] = 2.0
    return columns


def each_column_acts_as_its_key():
    folder = fresh("acts")
    known = settings_of(folder)
    columns = columns_of(known)
    run(folder, write_prompts(folder / "p.h5", columns))
    got = answers(folder / "out/outputs.h5")
    alone = write_prompts(folder / "alone.h5", {"prompt": columns["prompt"]})
    for warm in (False, True):
        sets = ["sampling.temperature=2"] if warm else []
        run(folder, alone, *sets, name=f"none-{warm}")
    for at, (name, (_, _, value)) in enumerate(known.items()):
        sets = [f"sampling.{name}={value}"] + (["sampling.temperature=2"] if name in SAMPLED else [])
        run(folder, alone, *sets, name=name)
        wanted, without = answers(folder / name / "outputs.h5")[at], answers(folder / f"none-{name in SAMPLED}/outputs.h5")[at]
        check(got[at] == wanted, name, "as a column:", got[at], "in run.yaml:", wanted)
        check(wanted != without, name, "changes nothing in this test:", wanted)
    check(got[len(known)] == answers(folder / "none-False/outputs.h5")[len(known)], "a row that says nothing has the run's")
    text = expect_exit(moemill("validate", "--model", MODEL, "-i", folder / "p.h5"), 0).stdout
    for name in known: check(f" {name}" in text.split("columns ")[1].split("\n")[0], name, "is not among those used:", text)


def layouts_resume_and_replay_agree():
    """Ranks, threads and shards; a job that is killed and resumed; replayed rows; also with logprobs per row."""
    folder = fresh("layouts")
    columns = columns_of(settings_of(folder))
    count = len(columns["prompt"])
    columns["logprobs"] = np.array([i % 4 - 1 for i in range(count)], "i4")
    prompts = write_prompts(folder / "p.h5", columns)
    run(folder, prompts)
    run(folder, prompts, "output.shard_prompts=3", "parallel.max_num_seqs=2", "parallel.threads_per_rank=2", name="two", ranks=2)
    check(not (d := differences(folder / "out/outputs.h5", folder / "two/outputs.h5")), "on 2 ranks differ:", d)
    (folder / "run.yaml").write_text(f"model: {{path: {MODEL}}}\ninput: {{path: {prompts}}}\noutput: {{dir: {folder / 'killed'}, shard_prompts: 2,"
                                     " journal_flush_seconds: 0}\nparallel: {max_num_seqs: 1}\nsampling: {max_tokens: 48, temperature: 0}\n")
    job = start(folder)
    while job.poll() is None and not list((folder / "killed/shards").glob("*.h5")): pass
    job.kill()
    job.communicate()
    expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    check(not (d := differences(folder / "out/outputs.h5", folder / "killed/outputs.h5")), "after a kill differ:", d)
    for out in ("out", "killed"):
        text = expect_exit(moemill("verify", folder / out, "--deep", "--replay", "100"), 0).stdout
        check(" 0 differ" in text, text)


def logprobs_by_row():
    """Files have space for the largest number that a row asks for; other rows end in NaN and token -1."""
    folder = fresh("logprobs")
    prompts = write_prompts(folder / "p.h5", {"prompt": [TEXT] * 4, "logprobs": [-1, 0, 1, 3]})
    for name, sets, room in (("off", [], [None, 0, 1, 3]), ("two", ["sampling.logprobs=2"], [2, 0, 1, 3])):
        run(folder, prompts, *sets, name=name)
        with h5py.File(folder / name / "outputs.h5") as f:
            ends, lp = f["completions/token_ids/offsets"][:], f["completions/logprobs"]
            values, ids, tops = lp["values"][:], lp["top_ids"][:], lp["top_values"][:]
            sums = f["completions/cumulative_logprob"][:]
        check(ids.shape == tops.shape == (ends[-1], 3), ids.shape)
        for i, k in enumerate(room):
            part = slice(ends[i], ends[i + 1])
            check(np.isnan(values[part]).all() == np.isnan(sums[i]) == (k is None), name, i, values[part])
            check((ids[part, :k or 0] >= 0).all() and np.isfinite(tops[part, :k or 0]).all(), name, i, ids[part])
            check((ids[part, k or 0:] == -1).all() and np.isnan(tops[part, k or 0:]).all(), name, i, ids[part])
        expect_exit(moemill("verify", folder / name, "--deep", "--replay", "4"), 0)
    done = run(folder, write_prompts(folder / "many.h5", {"prompt": ["a"], "logprobs": [1001]}), code=2, name="many")
    check("'/logprobs': row 0 is 1001, must be at most 1000" in done.stderr, done.stderr)


def values_out_of_range_name_their_row():
    folder = fresh("ranges")
    for name, values, says in [
        ("repetition_penalty", [1.0, 0.0], "row 1 is 0, must be above 0"),
        ("presence_penalty", [-1, 101], "row 1 is 101, must be from -100 to 100"),
        ("min_tokens", [-1, 50], "row 1 is 50, more than the row's max_tokens, 48"),
        ("stop_token_ids", ["", "[1, -2]"], "row 1 must be a JSON list of token ids"),
        ("stop_token_ids", ["[2047]", "[3, 99999]"], "row 1 has 99999, which can never occur: the model's ids are 0 to "),
        ("stop_token_ids", ["7", ""], "row 0 must be a JSON list of token ids"),
        ("ignore_eos", [1, 2], "row 1 is 2, must be 1 or true, 0 or false"),
        ("add_special_tokens", [0, 5], "row 1 is 5, must be 1 or true, 0 or false"),
        ("temperature", [True, False], "needs numbers"),
    ]:
        prompts = write_prompts(folder / "p.h5", {"prompt": ["a", "b"], name: values})
        done = run(folder, prompts, code=2)
        check(f"/{name}'" in done.stderr and says in done.stderr, name, says, "is not said:", done.stderr)
    prompts = write_prompts(folder / "p.h5", {"prompt": ["a", "b"]})
    done = run(folder, prompts, "sampling.stop_token_ids=[3, 99999]", code=2)
    check("sampling.stop_token_ids: 99999 can never occur" in done.stderr, done.stderr)


def columns_that_are_nearly_a_setting_are_refused():
    folder = fresh("near")
    near = {"temprature": "temperature", "tempreture": "temperature", "Temperature": "temperature", "top-p": "top_p", "topP": "top_p",
            "topp": "top_p", "tpo_k": "top_k", "max_token": "max_tokens", "maxTokens": "max_tokens", "max_new_tokens": "max_tokens",
            "max_completion_tokens": "max_tokens", "min_tokns": "min_tokens", "repitition_penalty": "repetition_penalty",
            "presence-penalty": "presence_penalty", "frequence_penalty": "frequency_penalty", "ignore_oes": "ignore_eos", "sede": "seed",
            "N": "n", "logprob": "logprobs", "add_special_token": "add_special_tokens", "temp": "temperature", "seeds": "seed",
            "n_samples": "n", "num_samples": "n", "rep_penalty": "repetition_penalty", "repeat_penalty": "repetition_penalty",
            "max_length": "max_tokens", "n_predict": "max_tokens", "random_seed": "seed"}
    for name, meant in near.items():
        prompts = write_prompts(folder / "p.h5", {"prompt": ["a", "b"], name: [1, 2], "topic": ["x", "y"]})
        done = run(folder, prompts, code=2)
        check(f"/{name}'" in done.stderr and f"'{meant}'" in done.stderr and f"output.carry_columns, e.g. [{name}]" in done.stderr, done.stderr)
    for name, meant in {"stpo": "stop", "Stop": "stop", "stop_sequences": "stop", "stops": "stop", "stop_words": "stop", "stop_token_id": "stop_token_ids"}.items():
        prompts = write_prompts(folder / "p.h5", {"prompt": ["a", "b"], name: ["x", "y"]})
        check(f"'{meant}'" in (done := run(folder, prompts, code=2)).stderr, name, done.stderr)
    prompts = write_prompts(folder / "p.h5", {"prompt": ["a", "b"], "temprature": [1, 2], "topic": ["x", "y"]})
    run(folder, prompts, "output.carry_columns=[temprature]")
    with h5py.File(folder / "out/outputs.h5") as f: check(list(f["carry"]) == ["temprature"], list(f["carry"]))


def ordinary_columns_are_data():
    folder = fresh("ordinary")
    names = ["n_words", "topic", "text", "score", "step", "shop", "top", "need", "stops", "tempo", "in_tokens", "num_tokens", "out_tokens",
             "samples", "length", "num_words", "n_shot", "text_length", "max_score", "min_score", "temporal", "room_temp", "stop_count",
             "total_tokens", "tokens", "model", "penalty", "temperature_c", "seed2", "label", "split", "category", "id2", "ids", "idx",
             "index", "nn", "no", "k", "p", "logit", "eos", "special", "frequency", "presence", "maximum", "prompts", "answer"]
    columns = {"prompt": ["a", "b"], **{name: [1, 2] for name in names}, "logprob": [-0.5, -1.5], "stip": ["x", "y"], "seed_text": ["x", "y"],
               "stop_name": ["x", "y"], "temp": ["warm", "cold"], "seeds": ["oak", "ash"]}
    done = run(folder, write_prompts(folder / "p.h5", columns))
    with h5py.File(folder / "out/outputs.h5") as f: check(set(f["carry"]) == set(columns) - {"prompt"}, list(f["carry"]))
    check("changes nothing" not in done.stderr, done.stderr)
    done = run(folder, write_prompts(folder / "p.h5", {"prompt": ["a", "b"], "logit_bias": ["{}", "{}"]}), name="foreign")
    check("'/logit_bias': changes nothing" in done.stderr, done.stderr)


def rows_that_are_too_large_are_refused():
    """Values of a column that was never written take no space on disk, but would take memory."""
    folder = fresh("large_rows")
    for shape, kind, more in (((6, 1 << 20, 1 << 20), "i1", {}), ((6, 1 << 31), "u1", {}),
                              ((6, 1 << 31, 1 << 31), "S16", {"chunks": (1, 1 << 10, 1 << 10)})):
        with h5py.File(folder / "p.h5", "w") as f:
            f["prompt"] = [TEXT] * 6
            f.create_dataset("cube", shape, kind, **more)
        said = run(folder, folder / "p.h5", code=2).stderr
        check("dataset '/cube': has the shape 6 × " in said and "1 GiB" in said and "output.carry_columns" in said, said)
        check("/cube" in expect_exit(moemill("validate", "--model", MODEL, "-i", folder / "p.h5", "-o", folder / "out"), 2).stderr)
        check(not (folder / "out").exists(), "a run was begun")
    run(folder, folder / "p.h5", "output.carry_columns=[]")


def prompt_tokens(folder, prompts, *sets, name):
    run(folder, prompts, "sampling.max_tokens=1", *sets, name=name)
    return [int(r["num_prompt_tokens"]) for r in rows(folder / name / "outputs.h5")]


def special_tokens_by_row_by_file_and_by_run():
    folder = fresh("special")
    texts = ["<s>" + TEXT, TEXT, "<s>" + TEXT]

    def file(name, column=None, of_group=None, of_file=None):
        path = write_prompts(folder / name, {"prompt": texts, **({} if column is None else {"add_special_tokens": column})})
        with h5py.File(path, "r+") as f:
            f.create_group("g")
            for key in list(f): f.move(key, "g/" + key) if key != "g" else None
            if of_group is not None: f["g"].attrs["add_special_tokens"] = of_group
            if of_file is not None: f.attrs["add_special_tokens"] = of_file
        return path

    bare = len(texts) and prompt_tokens(folder, file("no.h5", of_file=0), "input.group=/g", name="bare")[1]
    begun, both, plain = bare + 1, bare + 2, bare
    group = "input.group=/g"
    cases = {
        "nothing": (file("a.h5"), [], [both, plain + 1, both]),
        "file": (file("b.h5", of_file=False), [], [begun, plain, begun]),
        "group": (file("c.h5", of_group=np.uint8(0), of_file=1), [], [begun, plain, begun]),
        "unsaid": (file("d.h5", of_group=-1, of_file=0), [], [begun, plain, begun]),
        "run over file": (file("e.h5", of_file=0), ["input.add_special_tokens=true"], [both, plain + 1, both]),
        "row over run": (file("f.h5", [0, 1, -1], of_file=0), ["input.add_special_tokens=true"], [begun, plain + 1, both]),
        "booleans": (file("g.h5", [False, True, False], of_file=1), [], [begun, plain + 1, begun]),
    }
    for name, (path, sets, wanted) in cases.items():
        got = prompt_tokens(folder, path, group, *sets, name=name)
        check(got == wanted, name, got, "not", wanted)
        expect_exit(moemill("verify", folder / name, "--replay", "3"), 0)
    path = file("changed.h5", of_file=0)
    words = ["--model", MODEL, "-i", path, "-o", folder / "changed", "--set", group, "--set", "sampling.max_tokens=1"]
    expect_exit(moemill("run", *words), 0)
    with h5py.File(path, "r+") as f: f.attrs["add_special_tokens"] = 1
    for command in ("run", "validate"):
        done = expect_exit(moemill(command, *words), 2)
        check("input.add_special_tokens" in done.stderr, done.stderr)
    for wrong in (2, "yes", [0, 1], 0.0):
        done = run(folder, file("w.h5", of_file=wrong), group, code=2, name="wrong")
        check("attribute 'add_special_tokens' must be" in done.stderr, wrong, done.stderr)


def a_token_that_stands_there_twice_is_told():
    folder = fresh("double")
    texts = ["<s>" + TEXT, TEXT, "<s>a <s>"]
    some = write_prompts(folder / "some.h5", {"prompt": texts})
    all_of = write_prompts(folder / "all.h5", {"prompt": texts[::2]})
    cured = write_prompts(folder / "cured.h5", {"prompt": texts, "add_special_tokens": [0, 1, 0]})
    for prompts, says, count in ((all_of, "all 2 prompts begin with <s>", 2), (some, "2 of 3 prompts begin with <s>", 2), (cured, "", 0)):
        words = ["--model", MODEL, "-i", prompts, "-o", folder / prompts.stem, "--set", "sampling.max_tokens=1"]
        text = expect_exit(moemill("validate", *words), 0).stdout
        check((says in text) if says else "begin with" not in text, text)
        for ranks in (0, 2):
            done = expect_exit(moemill("run", "--overwrite", *words, ranks=ranks), 0)
            log = (folder / prompts.stem / "run.log").read_text()
            for told in (done.stdout + done.stderr, log): check(told.count(says) == 1 if says else "begin with" not in told, told)
            summary = json.loads((folder / prompts.stem / "summary.json").read_text())
            check(summary["double_bos_prompts"] == count, summary)
        text = expect_exit(moemill("preview", *words[:4], "--num-prompts", "9"), 0).stdout
        check(text.count("begins with <s>") == count, text)


if __name__ == "__main__":
    main([each_column_acts_as_its_key, layouts_resume_and_replay_agree, logprobs_by_row, values_out_of_range_name_their_row,
          columns_that_are_nearly_a_setting_are_refused, ordinary_columns_are_data, rows_that_are_too_large_are_refused,
          special_tokens_by_row_by_file_and_by_run, a_token_that_stands_there_twice_is_told])
