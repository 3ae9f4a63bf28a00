#!/usr/bin/env python3
"""Users' errors as a table: exit code, one message that says where the error is and how to fix it, and no hang; as a plain
process and on two ranks.

    bad_input.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import os
import shutil
import struct
import subprocess

import h5py
import numpy as np

from moemill_program import MODELS, PROGRAM, check, expect_exit, fresh, main, moemill, rows, write_prompts

GOOD = {"prompt": ["one two", "three"]}


def refused(name, words, parts, ranks=(0, 2), code=2):
    for r in ranks:
        done = expect_exit(moemill("run", *words, ranks=r), code)
        for part in parts: check(part in done.stderr, f"{name} on {r} ranks: the message lacks '{part}':\n{done.stderr}")
        check(done.stderr.count("moemill: ") == 1, f"{name} on {r} ranks: said more than once:\n{done.stderr}")


def model_copy(folder, name="deepseek_v2_lite"):
    """A model that a test may spoil (one file of weights)."""
    target = folder / "model"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(MODELS / name, target)
    for path in target.iterdir(): path.chmod(0o644)
    return target


def safetensors(path):
    """Header and data of a safetensors file."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8:8 + size]), raw[8 + size:]


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def bad_models():
    folder = fresh("models")
    prompts = write_prompts(folder / "p.h5", GOOD)
    words = ["--model", folder / "model", "-i", prompts, "-o", folder / "out"]

    def spoil(name, change, *parts):
        model = model_copy(folder)
        change(model)
        refused(name, words, parts)

    def header(change):
        def spoil_header(model):
            head, data = safetensors(model / "model.safetensors")
            names = sorted(n for n in head if n != "__metadata__")
            change(head, names)
            write_safetensors(model / "model.safetensors", head, data)
        return spoil_header

    def config(change):
        def spoil_config(model):
            values = json.loads((model / "config.json").read_text())
            change(values)
            (model / "config.json").write_text(json.dumps(values))
        return spoil_config

    weights = "model.safetensors"
    spoil("no folder", shutil.rmtree, "model: no such folder (model.path, --model)")
    spoil("a file as folder", lambda m: (shutil.rmtree(m), m.write_text("")), "model: is not a directory")
    (folder / "model").unlink()
    spoil("no config", lambda m: (m / "config.json").unlink(), "model: has no config.json")
    spoil("config is no JSON", lambda m: (m / "config.json").write_text("{"), "config.json: is not valid JSON: at line 1")
    spoil("unknown family", config(lambda c: c.update(model_type="gpt9")),
          'config.json: "model_type" is "gpt9"', "deepseek_v3")
    spoil("missing key", config(lambda c: c.pop("kv_lora_rank")), 'config.json: key "kv_lora_rank" is missing')
    spoil("key of a wrong type", config(lambda c: c.update(hidden_size="big")),
          'config.json: "hidden_size" is "big"')
    spoil("groups of null", config(lambda c: c.update(topk_method="group_limited_greedy", n_group=None)),
          'config.json: "n_group" is null, but must be an integer')
    spoil("no tokenizer", lambda m: (m / "tokenizer.json").unlink(), "has no tokenizer.json")
    spoil("tokenizer is no JSON", lambda m: (m / "tokenizer.json").write_text("[1"), "tokenizer.json: not JSON: at line 1")
    spoil("no weights", lambda m: (m / weights).unlink(), "has neither model.safetensors nor")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 16777216\n"
    for name in (weights, "tokenizer.json", "config.json"):
        spoil(f"LFS pointer as {name}", lambda m: (m / name).write_text(pointer), f"{name}: is a Git LFS pointer", "git lfs pull")
    spoil("parts without their index", lambda m: (m / weights).rename(m / "model-00001-of-00002.safetensors"),
          "has parts of the weights (model-00001-of-00002.safetensors), but no model.safetensors.index.json")
    for name in ("model-Q4_K_M.gguf", "pytorch_model.bin", "consolidated.00.pth", "model.pt"):
        spoil(f"{name} alone", lambda m: (m / weights).rename(m / name), f"(found: {name})", "Other formats are not read", "safetensors")
    spoil("empty weights", lambda m: (m / weights).write_bytes(b""), f"{weights}: 0 bytes")
    spoil("truncated weights", lambda m: (m / weights).write_bytes((m / weights).read_bytes()[:-5000]),
          f"{weights}: tensor ", "cut short")
    spoil("header of 2^62 bytes", lambda m: (m / weights).write_bytes(
        struct.pack("<Q", 1 << 62) + (m / weights).read_bytes()[8:]), f"{weights}: header length 4611686018427387904")
    spoil("header is no JSON", lambda m: (m / weights).write_bytes(struct.pack("<Q", 4) + b"{{{{"),
          f"{weights}: the header is not valid JSON: at line 1")
    spoil("missing tensor", header(lambda h, n: h.pop(n[3])), f"{weights}: tensor ", "leaves a gap")
    spoil("tensor out of range", header(lambda h, n: h[n[0]].update(data_offsets=[0, 1 << 60])),
          f"{weights}: tensor lm_head.weight: ends at byte {1 << 60}")
    spoil("overlapping tensors", header(lambda h, n: h[n[1]].update(data_offsets=h[n[0]]["data_offsets"])),
          f"{weights}: tensor lm_head.weight overlaps")
    spoil("wrong shape", header(lambda h, n: h[n[0]].update(shape=h[n[0]]["shape"][::-1] + [1])),
          f"{weights}: tensor lm_head.weight: has shape [80, 350, 1]", "[350, 80]")


def doubtful_models():
    """Input that works but may not be what is meant causes a warning in validate, preview and run."""
    folder = fresh("doubtful")
    prompts = write_prompts(folder / "p.h5", GOOD)

    def told(name, base, change, *parts, code=0, commands=("validate", "run")):
        model = model_copy(folder, base)
        values = json.loads((model / "config.json").read_text())
        change(values)
        (model / "config.json").write_text(json.dumps(values))
        (model / "generation_config.json").unlink(missing_ok=True)
        shutil.rmtree(folder / "out", ignore_errors=True)
        for command in commands:
            done = expect_exit(moemill(command, "--model", model, "-i", prompts, "-o", folder / "out", "--set", "sampling.max_tokens=2"), code)
            for part in parts: check(part in done.stdout + done.stderr, name, command, part, done.stdout, done.stderr)
        return done.stdout + done.stderr

    told("end of text beyond the vocabulary", "deepseek_v2_lite", lambda c: c.update(eos_token_id=[2, 99999]),
         "eos_token_id 99999 is outside the vocabulary of 350 tokens")
    told("fewer layers than stored", "deepseek_v2_lite", lambda c: c.update(num_hidden_layers=c["num_hidden_layers"] - 1),
         "but config.json has num_hidden_layers")
    # The layer after the last one of DeepSeek-V3 and GLM predicts further tokens: there is no message about it.
    check("num_hidden_layers" not in told("as published", "deepseek_v3", lambda c: None))
    check("num_hidden_layers" not in told("its spare layer", "deepseek_v3", lambda c: c.update(
        num_hidden_layers=c["num_hidden_layers"] - 1, num_nextn_predict_layers=1 + c.get("num_nextn_predict_layers", 0))))
    told("no groups", "deepseek_v3", lambda c: c.update(n_group=None, topk_group=None))
    told("heads that do not divide", "glm4_moe", lambda c: (c.pop("head_dim", None), c.update(num_attention_heads=3, num_key_value_heads=3)),
         "is no multiple of num_attention_heads 3", "has shape", code=2, commands=["run"])


def bad_yaml():
    folder = fresh("yaml")
    prompts = write_prompts(folder / "p.h5", GOOD)
    config = folder / "run.yaml"
    for name, text, parts in [
        ("syntax", "model: {path: x\ninput: [", ["run.yaml:"]),
        ("unknown key", "sampling:\n  temprature: 1\n", ["run.yaml:2", "sampling.temprature", "sampling.temperature"]),
        ("type", "sampling:\n\n  n: lots\n", ["run.yaml:3", "sampling.n", "lots", "accepted"]),
        ("range", "sampling: {top_p: 1.5}", ["run.yaml:1", "sampling.top_p"]),
        ("not yet", "parallel: {roles: {prefill_ranks: 2}}", ["prefill_ranks", "not in this version"]),
        ("schema", "schema_version: 7", ["schema_version"]),
        ("list", "- model", ["mapping"]),
    ]:
        config.write_text(text)
        refused(name, ["-c", config, "-i", prompts, "-o", folder / "out"], parts)
    refused("no config file", ["-c", folder / "none.yaml"], ["none.yaml"])
    refused("no model", ["-i", prompts], ["model.path", "--model"])
    refused("no prompts", ["--model", MODELS / "deepseek_v3"], ["input.path", "-i"])
    check(not (folder / "out").exists(), "a refused job left files")


def bad_prompts():
    folder = fresh("prompts")
    path = folder / "p.h5"
    words = ["--model", MODELS / "deepseek_v3", "-i", path, "-o", folder / "out"]

    def file_of(columns): return lambda: write_prompts(path, columns)

    def with_lzf():
        write_prompts(path, {"prompt": ["a", "b"]})
        with h5py.File(path, "a") as f: f.create_dataset("note", data=[1, 2], chunks=(2,), compression="lzf")

    def truncated():
        write_prompts(path, {"prompt": ["some text"] * 500})
        path.write_bytes(path.read_bytes()[:2000])

    for name, make, parts in [
        ("no file", lambda: path.unlink(missing_ok=True), ["p.h5: no such file (input.path)"]),
        ("no HDF5", lambda: path.write_text("prompt\nhello\n"), ["p.h5: is not an HDF5 file"]),
        ("truncated", truncated, ["p.h5: cannot be read as HDF5"]),
        ("no prompt column", file_of({"text": ["a"]}), ["p.h5: group '/' has neither 'prompt' nor", "it has: text."]),
        ("zero prompts", file_of({"prompt": np.array([], dtype="S5")}), ["p.h5: dataset '/prompt' has no rows"]),
        ("ragged columns", file_of({"prompt": ["a", "b"], "n": [1, 2, 3]}), ["p.h5: dataset '/n': has 3 rows, but 'prompt' has 2"]),
        ("filter that is not there", with_lzf, ["p.h5: dataset 'note' is compressed with the HDF5 filter 'lzf'", "gzip"]),
        ("numbers as prompts", file_of({"prompt": [1.5, 2.5]}), ["p.h5: dataset '/prompt': holds floats, needs strings"]),
        ("duplicate ids", file_of({"prompt": ["a", "b", "c"], "id": ["x", "y", "x"]}),
         ["p.h5: dataset '/id': rows 0 and 2 have the same id 'x'"]),
        ("empty id", file_of({"prompt": ["a", "b", "c"], "id": ["x", "", "y"]}), ["p.h5: dataset '/id': row 1 is empty"]),
        ("n of zero", file_of({"prompt": ["a", "b"], "n": [1, 0]}), ["dataset '/n': row 1 is 0, must be from 1"]),
        ("temperature below zero", file_of({"prompt": ["a", "b"], "temperature": [0.5, -3]}),
         ["dataset '/temperature': row 1 is -3, must be from 0"]),
        ("stop is no JSON", file_of({"prompt": ["a", "b"], "stop": ["", "[oops"]}), ["dataset '/stop': row 1 must be a JSON list"]),
    ]:
        shutil.rmtree(folder / "out", ignore_errors=True)
        make()
        refused(name, words, parts)
    write_prompts(path, GOOD)
    refused("too many redundant experts", [*words, "--set", "parallel.ranks_per_node=1", "--set", "parallel.expert_domain=world",
                                           "--set", "parallel.redundant_experts=1000"],
            ["parallel.redundant_experts: 1000 are more than the 2 nodes", "at most; lower it"], ranks=(2,))
    refused("no such group", [*words, "--set", "input.group=/nowhere"], ["p.h5: has no group '/nowhere'"])
    write_prompts(path, dict(GOOD, topic=["x", "y"]))
    refused("carried twice", [*words, "--set", "output.carry_columns=[topic, topic]"],
            ["output.carry_columns: element 2 of the list, 'topic', is given twice", "each once"])
    refused("no such carried column", [*words, "--set", "output.carry_columns=[nothing]"], ["p.h5: dataset '/nothing': is not there"])


def files_that_are_none():
    """Pipes, folders and dangling links in place of prompts or model files: each is named as what it is, and the program neither waits
    for one nor continues without it."""
    folder = fresh("none")
    prompts, model = write_prompts(folder / "p.h5", GOOD), model_copy(folder)
    def pipe(path): os.mkfifo(path)
    def link(path): path.symlink_to("gone/" + path.name)
    def folder_there(path): path.mkdir()
    for name in ("p.h5", "config.json", "generation_config.json", "tokenizer.json", "run.yaml"):
        path = folder / name if name in ("p.h5", "run.yaml") else model / name
        kept = path.read_bytes() if path.exists() else None
        for make, says in ((folder_there, "is a folder, not a file"), (link, f"it is a link to gone/{name}, where nothing is"),
                           (pipe, "is not a regular file, but a pipe")):
            if name == "run.yaml" and make is pipe: continue  # <(...) of a shell is a pipe that can be read
            path.unlink(missing_ok=True)
            make(path)
            words = ["-c", path] if name == "run.yaml" else []
            refused(name, [*words, "--model", model, "-i", prompts, "-o", folder / "out"], [f"{name}: ", says], ranks=(0,))
            path.rmdir() if path.is_dir() else path.unlink()
        if kept: path.write_bytes(kept)


def too_few_open_files():
    prompts = write_prompts(fresh("few") / "p.h5", GOOD)
    words = ["run", "--model", MODELS / "deepseek_v3", "-i", prompts, "-o", prompts.parent / "out"]
    for most in (5, 6, 7, 12):
        done = subprocess.run(["bash", "-c", f"ulimit -n {most}; exec \"$@\"", "bash", PROGRAM, *map(str, words)],
                              stderr=subprocess.PIPE, text=True, timeout=60)
        if done.returncode == 0: continue
        check("Too many open files" in done.stderr and "ulimit -n" in done.stderr, most, done.stderr)
    expect_exit(moemill(*words), 0)


def bad_layouts():
    folder = fresh("layouts")
    prompts = write_prompts(folder / "p.h5", GOOD)
    words = ["--model", MODELS / "deepseek_v3", "-i", prompts, "-o", folder / "out"]
    refused("domain", [*words, "--set", "parallel.expert_domain=2"], ["parallel.expert_domain: 2 does not divide the 3 ranks"], ranks=(3,))
    refused("domain", [*words, "--set", "parallel.expert_domain=4"], ["parallel.expert_domain: 4 does not divide the 2 ranks"], ranks=(2,))
    refused("cuda", [*words, "--set", "runtime.backend=cuda"], ["runtime.backend: cuda: this moemill is built without CUDA; write cpu or auto"])
    refused("context", [*words, "--set", "model.max_model_len=100000"], ["model.max_model_len: 100000 is more than", "512"])
    refused("cache", [*words, "--set", "parallel.kv_cache_tokens=64", "--set", "sampling.max_tokens=200"],
            ["p.h5: row 0 needs 6 prompt and 200 new tokens", "raise parallel.kv_cache_tokens"])
    # The advice in the message is accepted.
    expect_exit(moemill("run", *words, "--set", "parallel.kv_cache_tokens=auto", "--set", "sampling.max_tokens=200"), 0)
    shutil.rmtree(folder / "out")
    for key, path in (("output.dir", "~/out"), ("input.path", "~/p.h5")):
        refused("a home folder", [*words[:-4], "--set", f"{key}={path}"], [f"{key}: {path}: only a shell", "write the full path"])
    (folder / "file").write_text("not a folder")
    refused("output below a file", [*words[:-1], folder / "file/out"], ["make folder", "/file: Not a directory"], code=1)


def limits_of_yaml_and_columns():
    """validate accepts the largest value and refuses the next one, from every source."""
    folder = fresh("limits")
    path = folder / "p.h5"
    words = ["validate", "--model", MODELS / "deepseek_v3", "-i", path, "-o", folder / "out", "--set", "errors.too_long=reduce_max_tokens"]
    for name, most, more in [("n", 65536, 65537), ("temperature", 100, 100.5), ("top_k", 1 << 30, (1 << 30) + 1),
                             ("max_tokens", 1 << 30, (1 << 30) + 1)]:
        write_prompts(path, GOOD)
        expect_exit(moemill(*words, "--set", f"sampling.{name}={most}"), 0)
        done = expect_exit(moemill(*words, "--set", f"sampling.{name}={more}"), 2)
        check(f"sampling.{name}: '{more}' is not accepted" in done.stderr, done.stderr)
        write_prompts(path, {**GOOD, name: [most, most]})
        expect_exit(moemill(*words), 0)
        write_prompts(path, {**GOOD, name: [most, more]})
        done = expect_exit(moemill(*words), 2)
        check(f"dataset '/{name}': row 1 is {more}, must be" in done.stderr, done.stderr)
    # Numbers above 0 that are too small for a float, and texts that are not numbers.
    for small in ("1e-300", "1e-400", "1e-40"):
        write_prompts(path, GOOD)
        for name in ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty"):
            expect_exit(moemill(*words, "--set", f"sampling.{name}={small}"), 0)
        write_prompts(path, {**GOOD, "top_p": [float(small) or 1, 1]})
        expect_exit(moemill(*words), 0)
    for none in ("1e300", "1e400", "inf", "-inf", "nan", "0x10", "-1e-300"):
        done = expect_exit(moemill(*words, "--set", f"sampling.temperature={none}"), 2)
        check(f"sampling.temperature: '{none}' is not accepted; accepted: a number from 0 (greedy) to 100" in done.stderr, done.stderr)
    write_prompts(path, {**GOOD, "max_tokens": [0, 2]})
    expect_exit(moemill("run", *words[1:], "--set", "sampling.ignore_eos=true"), 0)
    check([int(r["num_completion_tokens"]) for r in rows(folder / "out/outputs.h5")] == [0, 2])


def files_of_somebody_else():
    """In a folder without a run nothing is overwritten, and --overwrite removes nothing."""
    for name in ("config.yaml", "metrics.jsonl", "summary.json", "run.log", "outputs.h5"):
        folder = fresh("foreign")
        prompts = write_prompts(folder / "p.h5", GOOD)
        (folder / name).write_text("mine")
        for more in ([], ["--overwrite"]):
            refused(name, ["--model", MODELS / "deepseek_v3", "-i", prompts, "-o", folder, *more], [f"{folder / name}: "])
            check((folder / name).read_text() == "mine", name, "was written over")


def a_bad_prompt_is_a_failed_row():
    """All kinds of bad prompts beside good ones: the rows of the good ones equal those of a file without bad prompts."""
    folder = fresh("rows")
    good = ["one two", "three four five", "six"]
    bad = {"": b"empty", b"\xff\xfe broken": b"bad_utf8", "long " * 400: b"too_long"}
    with h5py.File(folder / "mixed.h5", "w") as f:
        column = f.create_dataset("prompt", (6,), dtype=h5py.string_dtype())
        for i, text in enumerate([*good, *bad]): column[i] = text
        f["id"] = [10, 11, 12, 13, 14, 15]
    write_prompts(folder / "good.h5", {"prompt": good, "id": [10, 11, 12]})
    words = ["--model", MODELS / "deepseek_v3", "--set", "sampling.max_tokens=5", "--set", "errors.max_failed_fraction=0.6"]
    expect_exit(moemill("run", *words, "-i", folder / "good.h5", "-o", folder / "alone"), 0)
    alone = [(r["seed"], r["text"], r["token_ids"].tolist()) for r in rows(folder / "alone/outputs.h5")]
    for ranks in (0, 2):
        expect_exit(moemill("run", *words, "-i", folder / "mixed.h5", "-o", folder / f"mixed{ranks}", ranks=ranks), 0)
        made = rows(folder / f"mixed{ranks}/outputs.h5")
        check([int(r["status"]) for r in made] == [1, 1, 1, 2, 2, 2], made)
        check([(r["seed"], r["text"], r["token_ids"].tolist()) for r in made[:3]] == alone, made, alone)
        with h5py.File(folder / f"mixed{ranks}/outputs.h5") as f:
            check(f["errors/code"][:].tolist() == list(bad.values()), f["errors/code"][:])
            check(all(len(m) > 10 for m in f["errors/message"][:]), f["errors/message"][:])
    expect_exit(moemill("run", *words, "--set", "errors.max_failed_fraction=0.4", "-i", folder / "mixed.h5", "-o",
                        folder / "strict", ranks=2), 3)


def token_ids_out_of_range():
    folder = fresh("tokens")
    with h5py.File(folder / "p.h5", "w") as f:
        column = f.create_dataset("prompt_token_ids", (4,), dtype=h5py.vlen_dtype(np.int64))
        for i, tokens in enumerate([[5, 6], [7, 320], [-1], [1 << 40]]): column[i] = np.array(tokens)
    expect_exit(moemill("run", "--model", MODELS / "deepseek_v3", "-i", folder / "p.h5", "-o", folder / "out", "--set",
                        "sampling.max_tokens=3", ranks=2), 3)
    with h5py.File(folder / "out/outputs.h5") as f:
        check(f["completions/status"][:].tolist() == [1, 2, 2, 2], f["completions/status"][:])
        check(f["errors/code"][:].tolist() == [b"bad_token"] * 3, f["errors/code"][:])


def more_ranks_than_work():
    folder = fresh("idle")
    write_prompts(folder / "p.h5", {"prompt": ["only one"]})
    expect_exit(moemill("run", "--model", MODELS / "deepseek_v3", "-i", folder / "p.h5", "-o", folder / "out", "--set",
                        "sampling.max_tokens=5", ranks=4), 0)
    check(len(rows(folder / "out/outputs.h5")) == 1)


if __name__ == "__main__":
    main([bad_models, doubtful_models, bad_yaml, bad_prompts, files_that_are_none, too_few_open_files, bad_layouts, limits_of_yaml_and_columns, files_of_somebody_else, a_bad_prompt_is_a_failed_row, token_ids_out_of_range,
          more_ranks_than_work])
