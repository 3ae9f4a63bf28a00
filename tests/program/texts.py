#!/usr/bin/env python3
"""Texts of answers, by a model whose answers are known: the first space, stop strings, special tokens.

    texts.py MOEMILL SOURCE_DIR WORK_DIR"""
import json

import h5py
import numpy as np

from chain_model import sentencepiece_tokenizer, write_chain_model
from moemill_program import check, expect_exit, fresh, main, moemill, rows, write_prompts

STOP, STOP_STRING, LENGTH = 1, 3, 2
SPECIAL = ["<unk>", "<s>", "</s>", "<|channel|>", "<|message|>"]


def spm_model(folder, sentence, eos=("</s>",), more=None):
    """Says the pieces of `sentence` one after the other, begun at any of them, and then </s>."""
    tokenizer = sentencepiece_tokenizer([piece for piece in sentence if piece not in SPECIAL], SPECIAL)
    ids = tokenizer["model"]["vocab"]
    pieces = [*sentence, "</s>"]
    chain = {ids[a]: ids[b] for a, b in zip(pieces, pieces[1:])}
    chain[ids["<s>"]] = ids[sentence[0]]
    return write_chain_model(folder, len(ids), chain, tokenizer, [ids[e] for e in eos], more), ids


def run(folder, model, prompts, *keys, ranks=0, code=0, words=()):
    """The job's end, and its rows where it has some."""
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
    # With nothing before it, a text begins without the space: prompt and answer are what the tokens spell.
    with h5py.File(folder / "ids.h5", "w") as f:
        f.create_dataset("prompt_token_ids", (2,), dtype=h5py.vlen_dtype(np.int32))
        f["prompt_token_ids"][0] = np.array([ids["<s>"], ids["▁on"]], np.int32)
        f["prompt_token_ids"][1] = np.array([ids["<s>"]], np.int32)
    _, found = run(folder, model, folder / "ids.h5")
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
    # It is part of the answers: a run keeps its own.
    refused = expect_exit(moemill("run", "--model", model, "-i", prompts, "-o", folder / "out", "--set", "sampling.temperature=0",
                                  "--set", f"sampling.stop_token_ids=[{ids['<|message|>']}]"), 2)
    check("output.skip_special_tokens" in refused.stderr, refused.stderr)


main([the_first_space_belongs_to_the_answer, stop_strings_see_the_first_space, special_tokens_stay_where_asked])
