#!/usr/bin/env python3
"""Goldens of added tokens that stand beside tokenizer.json, by transformers 5 (needs it, and tokenizers):

    side_files.py > ../../data/text/side_files.jsonl

A line is one model folder: the files beside tests/data/text/qwen3_moe.json, a text, and its ids and texts."""
import json
import os
import pathlib
import shutil
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from transformers import AutoTokenizer  # noqa: E402

FILE = pathlib.Path(__file__).resolve().parents[2] / "data/text/qwen3_moe.json"
TEXT = "Hi <|tool|> there <|two|>  !<pad>"


def token(content, **more):
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True, **more}


def cases(first, known):
    """`first` is the first free id, `known` a token that tokenizer.json has."""
    yield "nothing", {}
    yield "decoder", {"tokenizer_config": {"added_tokens_decoder": {str(first): token("<|tool|>")}}}
    yield "decoder, flags left out", {"tokenizer_config": {"added_tokens_decoder": {str(first): {"content": "<|tool|>"}}}}
    yield "decoder, out of order", {"tokenizer_config": {"added_tokens_decoder": {
        str(first + 1): token("<|tool|>", lstrip=True), str(first): token("<|two|>", special=False, rstrip=True)}}}
    yield "decoder with a known token", {"tokenizer_config": {"added_tokens_decoder": {
        str(known["id"]): {k: v for k, v in known.items() if k != "id"}, str(first): token("<|two|>")}}}
    yield "older file", {"added_tokens": {"<|two|>": first + 1, "<|tool|>": first}}
    yield "older file, one of them special", {"added_tokens": {"<|tool|>": first, "<|two|>": first + 1},
                                              "tokenizer_config": {"extra_special_tokens": ["<|two|>"]}}
    yield "older file, special by its name", {"added_tokens": {"<pad>": first}, "tokenizer_config": {"pad_token": "<pad>"}}
    yield "older file, special by the map", {"added_tokens": {"<pad>": first}, "special_tokens_map": {"pad_token": "<pad>"}}
    yield "the newer form counts", {"tokenizer_config": {"added_tokens_decoder": {str(first): token("<|tool|>")}},
                                    "added_tokens": {"<|two|>": first + 1}, "special_tokens_map": {"pad_token": "<pad>"}}
    yield "an empty newer form", {"tokenizer_config": {"added_tokens_decoder": {}}, "added_tokens": {"<|two|>": first}}
    yield "roles alone", {"tokenizer_config": {"pad_token": "<pad>", "additional_special_tokens": ["<|tool|>", "<|two|>"]}}
    yield "roles by name", {"tokenizer_config": {"extra_special_tokens": {"a_token": "<|tool|>", "b_token": "<|two|>"}}}
    yield "roles in the map", {"special_tokens_map": {"pad_token": token("<pad>", lstrip=True, normalized=True),
                                                      "additional_special_tokens": ["<|tool|>"]}}


def line(name, files):
    folder = pathlib.Path(tempfile.mkdtemp())
    shutil.copy(FILE, folder / "tokenizer.json")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **files.get("tokenizer_config", {})}
    for part, content in {**files, "tokenizer_config": config}.items(): (folder / f"{part}.json").write_text(json.dumps(content))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shutil.rmtree(folder)
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    return {"name": name, "files": {k: json.dumps(v) for k, v in files.items()}, "text": TEXT, "ids": ids,
            "decoded": tokenizer.decode(ids), "decoded_skip": tokenizer.decode(ids, skip_special_tokens=True)}


def main():
    file = json.loads(FILE.read_text())
    first = max([len(file["model"]["vocab"]), *(t["id"] + 1 for t in file["added_tokens"])])
    for name, files in cases(first, file["added_tokens"][0]): json.dump(line(name, files), sys.stdout), print()


if __name__ == "__main__":
    main()
