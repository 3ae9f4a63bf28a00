#!/usr/bin/env python3
"""Texts of answers from a model with known answers: the first space, stop strings, special tokens; jobs without a
tokenizer; end tokens and sampling settings of a model folder.

    texts.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import pathlib
import sys

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from chain_model import sentencepiece_tokenizer, write_chain_model  # noqa: E402
from moemill_program import SOURCE, check, expect_exit, fresh, main, moemill, rows, write_prompts  # noqa: E402

STOP, STOP_STRING, LENGTH = 1, 3, 2
SPECIAL = ["<unk>", "<s>", "</s>", "<|channel|>", "<|message|>"]


def spm_model(folder, sentence, eos=("</s>",), more=None):
    """A model that says the pieces of `sentence` in order, starting at any of them, and then </s>."""
    tokenizer = sentencepiece_tokenizer([piece for piece in sentence if piece not in SPECIAL], SPECIAL)
    ids = tokenizer["model"]["vocab"]
    pieces = [*sentence, "</s>"]
    chain = {ids[a]: ids[b] for a, b in zip(pieces, pieces[1:])}
    chain[ids["<s>"]] = ids[sentence[0]]
    return write_chain_model(folder, len(ids), chain, tokenizer, [ids[e] for e in eos], more), ids


def run(folder, model, prompts, *keys, ranks=0, code=0, words=()):
    """The job's exit code, and its rows if it has any."""
    out = folder / "out"
    sets = [w for key in ("sampling.temperature=0", *keys) for w in ("--set", key)]
    done = expect_exit(moemill("run", "--model", model, "-i", prompts, "-o", out, "--overwrite", *sets, *words, ranks=ranks), code)
    return done, rows(out / "outputs.h5") if (out / "outputs.h5").exists() else []


def texts(found):
    return [row["text"] for row in found]


MAT = ["▁the", "▁cat", "▁is", "▁on", "▁a", "▁mat", "."]


def the_first_space_belongs_to_the_answer():
    folder = fresh("first_space")
    model, ids = spm_model(folder / "model", MAT)
    prompts = write_prompts(folder / "p.h5", {"prompt": ["the cat is on", "the cat 😀", "the"]})
    _, found = run(folder, model, prompts, "sampling.max_tokens=8")
    check(texts(found)[0] == " a mat.", "the space of the first token", texts(found))
    check(texts(found)[2] == " cat is on a mat.", texts(found))
    check("😀" not in texts(found)[1], "the prompt's own bytes are in its answer", texts(found))
    again = expect_exit(moemill("verify", folder / "out", "--replay", "3"), 0)
    check("0 differ" in again.stdout, again.stdout)
    shown = expect_exit(moemill("preview", "--model", model, "-i", prompts, "--num-prompts", "1", "--set", "sampling.temperature=0"), 0)
    check("answer      a mat." in shown.stdout, shown.stdout)
    # Without a prompt a text begins without the space: prompt and answer are what the tokens spell.
    _, found = run(folder, model, ids_file(folder / "ids.h5", [[ids["<s>"], ids["▁on"]], [ids["<s>"]]]))
    check(texts(found) == [" a mat.", "the cat is on a mat."], "prompts of ids", texts(found))


def stop_strings_see_the_first_space():
    folder = fresh("stop_strings")
    model, _ = spm_model(folder / "model", MAT)
    prompts = write_prompts(folder / "p.h5", {"prompt": ["the cat is on"]})
    for stop, text in ((" a", ""), (" a mat", ""), ("mat", " a "), ("at.", " a m")):
        _, found = run(folder, model, prompts, f"sampling.stop=[{json.dumps(stop)}]")
        check(found[0]["finish_reason"] == STOP_STRING and found[0]["text"] == text, repr(stop), repr(found[0]["text"]))
    _, found = run(folder, model, prompts, 'sampling.stop=["on"]')
    check(found[0]["finish_reason"] == STOP and found[0]["text"] == " a mat.", "a stop string in the prompt ends nothing", found[0])


def special_tokens_stay_where_asked():
    folder = fresh("special_tokens")
    channels = ["▁the", "<|channel|>", "▁cat", "<|message|>", "▁mat"]
    model, ids = spm_model(folder / "model", channels)
    prompts = write_prompts(folder / "p.h5", {"prompt": ["the"]})
    _, found = run(folder, model, prompts)
    check(texts(found) == [" cat mat"], texts(found))
    keep = "output.skip_special_tokens=false"
    _, found = run(folder, model, prompts, keep)
    check(texts(found) == ["<|channel|> cat<|message|> mat"], "special tokens are text", texts(found))
    check(found[0]["token_ids"][-1] == ids["</s>"], "the token that ended the row is among the ids, not in the text")
    check("0 differ" in expect_exit(moemill("verify", folder / "out", "--replay", "1"), 0).stdout)
    _, found = run(folder, model, prompts, keep, 'sampling.stop=["<|message|>"]')
    check(texts(found) == ["<|channel|> cat"] and found[0]["finish_reason"] == STOP_STRING, texts(found))
    _, found = run(folder, model, prompts, keep, "sampling.ignore_eos=true", "sampling.max_tokens=5")
    check(texts(found)[0].startswith("<|channel|> cat<|message|> mat</s>"), "an EOS that ends nothing is text", texts(found))
    _, found = run(folder, model, prompts, keep, f"sampling.stop_token_ids=[{ids['<|message|>']}]")
    check(texts(found) == ["<|channel|> cat"] and found[0]["finish_reason"] == STOP, texts(found))
    # The setting is part of the answers: a run keeps its own.
    refused = expect_exit(moemill("run", "--model", model, "-i", prompts, "-o", folder / "out", "--set", "sampling.temperature=0",
                                  "--set", f"sampling.stop_token_ids=[{ids['<|message|>']}]"), 2)
    check("output.skip_special_tokens" in refused.stderr, refused.stderr)


def ids_file(path, prompts):
    with h5py.File(path, "w") as f:
        f.create_dataset("prompt_token_ids", (len(prompts),), dtype=h5py.vlen_dtype(np.int32))
        for i, ids in enumerate(prompts): f["prompt_token_ids"][i] = np.array(ids, np.int32)
    return path


def token_ids_need_no_tokenizer():
    folder = fresh("no_tokenizer")
    for name, spoil, reason in (("missing", lambda t: t.unlink(), "has no tokenizer.json"),
                                ("unigram", lambda t: t.write_text('{"model": {"type": "Unigram", "vocab": []}}'), "only BPE models")):
        model, ids = spm_model(folder / name, MAT)
        spoil(model / "tokenizer.json")
        prompts = ids_file(folder / f"{name}.h5", [[ids["<s>"], ids["▁on"]]])
        _, found = run(folder, model, prompts, "output.store=[token_ids]")
        check(found[0]["token_ids"].tolist() == [ids[p] for p in ("▁a", "▁mat", ".", "</s>")], found)
        check("0 differ" in expect_exit(moemill("verify", folder / "out", "--replay", "1"), 0).stdout)
        expect_exit(moemill("validate", "--model", model, "-i", prompts, "-o", folder / "new", "--set", "output.store=[token_ids]"), 0)
        expect_exit(moemill("preview", "--model", model, "-i", prompts, "--set", "output.store=[token_ids]"), 0)
        text = write_prompts(folder / "text.h5", {"prompt": ["the"]})
        for what, path, keys in (("are text", text, ["output.store=[token_ids]"]), ("output.store has text", prompts, []),
                                 ("sampling.stop is set", prompts, ["output.store=[token_ids]", "sampling.stop=[x]"])):
            done = expect_exit(moemill("run", "--model", model, "-i", path, "-o", folder / "refused",
                                       *(w for k in keys for w in ("--set", k))), 2)
            check(reason in done.stderr and what in done.stderr, name, what, done.stderr)


def tiktoken_folders_work():
    folder = fresh("tiktoken")
    model = write_chain_model(folder / "model", 956, {702: 104, 104: 105, 105: 702}, eos=[702])
    for name in ("tiktoken.model", "tokenizer_config.json"):
        (model / name).write_bytes((SOURCE / "tests/data/text/tiktoken" / name).read_bytes())
    prompts = write_prompts(folder / "p.h5", {"prompt": ["<|im_end|>", "h"]})
    _, found = run(folder, model, prompts)
    check(texts(found) == ["hi", "i"], texts(found))
    with h5py.File(folder / "out/outputs.h5") as f: check(len(f.attrs["tokenizer_sha256"]) == 64, "no fingerprint")
    check("0 differ" in expect_exit(moemill("verify", folder / "out", "--replay", "2"), 0).stdout)
    check("answer     hi" in expect_exit(moemill("preview", "--model", model, "-i", prompts), 0).stdout)
    lines = (model / "tiktoken.model").read_text().splitlines(True)
    (model / "tiktoken.model").write_text("".join(lines[:300] + lines[301:]))
    done = expect_exit(moemill("validate", "--model", model, "-i", prompts), 2)
    check("tiktoken.model:301: the rank \"301\" should be 300" in done.stderr, done.stderr)


def advice(model, prompts, *keys):
    done = expect_exit(moemill("validate", "--model", model, "-i", prompts, "-o", model.parent / "not_made",
                               *(w for k in keys for w in ("--set", k))), 0)
    return [line for line in done.stdout.splitlines() if line.startswith("warning: ")]


def warnings_of_endings():
    folder = fresh("endings")
    config = {"eos_token": {"content": "<|message|>"}, "chat_template": "{{ m }}<|im_end|>"}
    model, ids = spm_model(folder / "model", MAT, more={"tokenizer_config.json": config})
    prompts = write_prompts(folder / "p.h5", {"prompt": ["the"]})
    said = advice(model, prompts)
    check(len(said) == 1 and f"\"<|message|>\" (token {ids['<|message|>']}) is tokenizer_config.json's eos_token" in said[0] and
          f"sampling.stop_token_ids: [{ids['<|message|>']}]" in said[0], said)
    done, _ = run(folder, model, prompts, "sampling.max_tokens=2")
    check("is tokenizer_config.json's eos_token" in done.stderr, done.stderr)
    check(advice(model, prompts, f"sampling.stop_token_ids=[{ids['<|message|>']}]") == [], "the cure")
    check(advice(model, prompts, "sampling.ignore_eos=true") == [], "asked for")
    cured = f"sampling.stop_token_ids=[{ids['<|message|>']}]"
    said = advice(model, prompts, cured, 'sampling.stop=["mat", "x<|channel|>"]')
    check(len(said) == 1 and "\"x<|channel|>\" has a special token" in said[0] and f"[{ids['<|channel|>']}]" in said[0], said)
    check(advice(model, prompts, cured, 'sampling.stop=["<|channel|>"]', "output.skip_special_tokens=false") == [], "it can match")
    write_prompts(prompts, {"prompt": ["the"] * 4, "stop": ["", '["x<|channel|>", "mat"]', '["mat"]', '["x<|channel|>"]']})
    said = advice(model, prompts, cured)
    check(len(said) == 1 and "column stop: \"x<|channel|>\" has a special token" in said[0] and f"[{ids['<|channel|>']}]" in said[0], said)
    check(advice(model, prompts, cured, "output.skip_special_tokens=false") == [], "it can match")
    done, _ = run(folder, model, prompts, "sampling.max_tokens=2")
    check(done.stderr.count("has a special token") == 1, done.stderr)


def the_publishers_sampling():
    folder = fresh("from_model")
    generation = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "do_sample": True, "eos_token_id": 2}
    model, _ = spm_model(folder / "model", MAT, more={"generation_config.json": generation})
    prompts = write_prompts(folder / "p.h5", {"prompt": ["the"]})
    said = advice(model, prompts)
    check(len(said) == 1 and "recommends temperature 0.6, top_p 0.95, top_k 20; this run uses temperature 1, top_p 1, top_k 0" in said[0] and
          "sampling.from_model: true" in said[0], said)
    check(advice(model, prompts, "sampling.temperature=0") == [], "greedy was chosen")
    check(advice(model, prompts, "sampling.temperature=0.7", "sampling.top_p=0.5", "sampling.top_k=1") == [], "chosen")
    check(advice(model, prompts, "sampling.from_model=true") == [], "taken")
    words = ["run", "--model", model, "-i", prompts, "-o", folder / "out", "--set", "sampling.from_model=true", "--set", "sampling.top_p=0.5"]
    expect_exit(moemill(*words), 0)
    text = (folder / "out/config.yaml").read_text()
    for line in ("temperature: 0.6", "top_p: 0.5", "top_k: 20", "from_model: true"): check(line in text, line, text)
    expect_exit(moemill(*words), 0)  # the same again
    changed = expect_exit(moemill(*words[:-4]), 2)
    check("sampling.temperature" in changed.stderr and "sampling.from_model" in changed.stderr, changed.stderr)
    check("0 differ" in expect_exit(moemill("verify", folder / "out", "--replay", "1"), 0).stdout)
    # A run's own config.yaml has every value: commands that only read the run ignore later changes of the file.
    (model / "generation_config.json").write_text('{"top_p": 0.0}')
    expect_exit(moemill("verify", folder / "out"), 0)
    check(json.loads(expect_exit(moemill("status", folder / "out", "--json"), 0).stdout)["prompts_done"] == 1)
    own = ["sampling.from_model=false", "sampling.temperature=0.6", "sampling.top_k=20"]
    changed = expect_exit(moemill(*words[:-4], *(w for s in own for w in ("--set", s))), 2)
    check("sampling.from_model: true there, false now" in changed.stderr and "recommends" not in changed.stderr, changed.stderr)
    (model / "generation_config.json").write_text(json.dumps(dict(generation, temperature=-1)))
    done = expect_exit(moemill("validate", "--model", model, "-i", prompts, "--set", "sampling.from_model=true"), 2)
    check("generation_config.json" in done.stderr and "sampling.temperature" in done.stderr, done.stderr)
    check("leave it out" in done.stderr, done.stderr)
    # Other values in the file are not requested: whole numbers as floats count, values that moemill does not accept are ignored.
    odd = {"temperature": 1.0, "top_k": 50.0, "top_p": 0.0, "repetition_penalty": 0, "min_p": "a lot"}
    (model / "generation_config.json").write_text(json.dumps(odd))
    said = advice(model, prompts)
    check(len(said) == 1 and "recommends top_k 50; this run uses top_k 0 (" in said[0], said)
    run(folder, model, prompts)
    (model / "generation_config.json").write_text(json.dumps({"top_k": 50.0, "temperature": 1e300}))
    advice(model, prompts)
    (model / "generation_config.json").write_text(json.dumps({"top_k": 50.0}))
    expect_exit(moemill(*words[:6], folder / "whole", *words[7:]), 0)
    check("top_k: 50" in (folder / "whole/config.yaml").read_text())


main([the_first_space_belongs_to_the_answer, stop_strings_see_the_first_space, special_tokens_stay_where_asked, token_ids_need_no_tokenizer,
      tiktoken_folders_work, warnings_of_endings, the_publishers_sampling])
