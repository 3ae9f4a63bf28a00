#!/usr/bin/env python3
"""Makes tiktoken/ beside it with the `tiktoken` package (0.14.0 was used); no test needs this script.

tiktoken/tiktoken.model, tokenizer_config.json   a small folder of the form of Kimi K2 and Moonlight
tiktoken/strings.jsonl                           a line: {"text", "ids"} by tiktoken with Kimi's split pattern, special tokens recognised
"""
import base64
import json
import pathlib
import random

import tiktoken

here = pathlib.Path(__file__).parent
PATTERN = "|".join([
    r"""[\p{Han}]+""",
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""\p{N}{1,3}""", r""" ?[^\s\p{L}\p{N}]+[\r\n]*""", r"""\s*[\r\n]+""", r"""\s+(?!\S)""", r"""\s+"""])
SPECIAL = ["[BOS]", "[EOS]", "<|im_end|>", "<|im_user|>", "<|im_assistant|>", "<|start_header_id|>", None, "<|im_middle|>"]
PLAIN = "<|tool_call_begin|>"  # an added token that is no special one
WORDS = """the cat sat on a mat and the other cats HELLO Hello hello I'll I'M we've wait waiting 12345 1 22 世界 世世 世界界 人工智能 aaaa aaaaaaa
    ababab babab abab don't éclair ΑΒΓ αβγ привет Привет 🙂 👍🏽 ... !? -- ( ) \t \n \n\n \r\n １２３ ﷺ ナニ カタカナ हिन्दी ไทย عربى""".split(" ")


def ranks(draw):
    """Single bytes, then pairs and longer runs of what the words hold, so that tokens can be made in several ways."""
    tokens = [bytes([b]) for b in range(256)]
    known = set(tokens)
    while len(tokens) < 700:
        word = draw.choice(["", " "]).encode() + draw.choice(WORDS).encode()
        begin = draw.randrange(len(word)) if word else 0
        token = word[begin:begin + draw.choice([2, 2, 2, 3, 3, 4, 5, 7])]
        if token and token not in known:
            known.add(token)
            tokens.append(token)
    return tokens


def main():
    draw = random.Random(10)
    tokens = ranks(draw)
    base = len(tokens)
    folder = here / "tiktoken"
    folder.mkdir(exist_ok=True)
    (folder / "tiktoken.model").write_text("".join(f"{base64.b64encode(t).decode()} {i}\n" for i, t in enumerate(tokens)))
    added = {str(base + i): {"content": name, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
             for i, name in enumerate(SPECIAL) if name}
    added[str(base + 20)] = {"content": PLAIN, "special": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"added_tokens_decoder": added, "bos_token": "[BOS]", "eos_token": "[EOS]", "tokenizer_class": "TikTokenTokenizer"}, indent=1) + "\n")
    names = {base + i: f"<|reserved_token_{base + i}|>" for i in range(256)} | {int(k): v["content"] for k, v in added.items()}
    encoding = tiktoken.Encoding("kimi", pat_str=PATTERN, mergeable_ranks={t: i for i, t in enumerate(tokens)},
                                 special_tokens={name: id for id, name in names.items()})
    texts = ["", *WORDS, "\U0001fae8 \U0001fa77!", "a" * 300, "ab" * 77, f"<|im_user|>hi<|im_end|>{names[base + 6]}x{PLAIN}y[BOS"]
    for _ in range(120):
        texts.append("".join(draw.choice(WORDS + [" ", " ", "  ", *filter(None, SPECIAL)]) for _ in range(draw.randrange(1, 12))))
    with open(folder / "strings.jsonl", "w") as out:
        for text in texts:
            out.write(json.dumps({"text": text, "ids": encoding.encode(text, allowed_special="all")}, ensure_ascii=False) + "\n")


if __name__ == "__main__": main()
