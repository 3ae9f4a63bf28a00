#!/usr/bin/env python3
"""Makes the tokenizer goldens beside it with the `tokenizers` package (0.23.3 was used); no test needs this script.

    make_goldens.py REFERENCE_DIR      (a folder of model folders with tokenizer.json, and golden.h5 with texts)

base.json          a small BPE tokenizer with byte letters, byte tokens and words
variants.jsonl     a line: {"name", "patch": keys to replace in base.json (in its model, under "model"), "encode": [[text, ids, ids without special
                   tokens], ...], "decode": [[ids, text, text without special tokens], ...]}
families.jsonl     a line: {"name", "file": a whole tokenizer.json of tests/text/differential/structures.py, "encode", "decode"}
NAME.json          tokenizers of the small reference models
NAME.golden.json   {"encode": ..., "decode": ..., "texts": [[text, ids], ...] from golden.h5}
"""
import json
import pathlib
import random
import sys

from tokenizers import Tokenizer

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here.parents[1] / "text" / "differential"))
import structures  # noqa: E402  (published structures, shared with the differential test)
rng = random.Random(20261122)


def alphabet():
    printable = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or b >= 0xAE]
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def base():
    merges = """t h|th e|i n|in g|e r|o n|a n|an d|Ġ the|Ġ t|Ġ a|▁ t|▁ a|▁t h|▁th e|▁a nd|h e|l l|he ll|hell o|1 2|12 3|. .|.. .
Ġ Ġ|ĠĠ ĠĠ|▁ ▁|▁▁ ▁▁|' s|a a|aa aa|aaaa aaaa|Ã ©|ä ¸|ä¸ Ń|é é|日 本|e s|Ċ Ċ|A B|b c|a bc|a b|ab c|x x""".replace("\n", "|")
    vocab = ["<unk>", "<s>", "</s>"] + alphabet() + [f"<0x{b:02X}>" for b in range(256)] + ["▁", "日", "本", "é́"[0] + "x"]
    pairs = [m.split(" ") for m in merges.split("|")]
    for left, right in pairs:
        for token in (left, right, left + right):
            if token not in vocab:
                vocab.append(token)
    vocab.append("whole piece")
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(1, "<s>"), added(2, "</s>")],
        "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {t: i for i, t in enumerate(vocab)}, "merges": pairs},
    }


def added(id, content, special=True, **flags):
    token = {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": special}
    return token | flags


def byte_level(prefix=False, regex=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def sequence(key, *items):
    return {"type": "Sequence", key: list(items)}


patterns = [
    r"\h+", r"\H", r"\p{Han}+", r"\p{Latin}", r"(?i)the|HE", r"a(?i)b|c", r"(?i:'s|'t|'ll)", r"\w+", r"\W+", r"\bt",
    r"\Ba", r"^.", r".$", r"(?m).+", r".+", r"\p{Letter}+", r"\p{Uppercase_Letter}", r"\p{^L}+", r"\P{L}+", r"[[:alpha:]]+",
    r"[[:punct:]]", r"[[:^alpha:]]", r"[[:space:]]+", r"\p{Alnum}+", r"\p{Punct}+", r"a{,3}", r"a{2}+", r"a{2}?", r"a{1,2}+b", r"a++b",
    r"(?<n>a)\k<n>", r"\u0041", r"\x{41}", r"[\s\S]", r"[^\S\n]+", r"\s+(?!\S)|\s+", r"\R", r"(?>a+)b|a", r"[\d]+|\D",
    r"\p{Lu}", r"[a-z&&[^e]]+", r"x*", r"|a", r"(?=t)", r"\A.", r".\z", r"\v", r"[]a]+", r"[a\-z]", r"\p{Greek}|\p{sc=Han}",
    r"(?i)ß", r"a{", r"a{b}", r"(?#no)a", r"\p{N}{1,3}(?=(?:\p{N}{3})*\b)", r"[^\W\d]+", r"\O", r"\X", r"é", r"[é-ü]", r"\e", r"\-\_",
    r"(?<=t)h", r"(?<!t)h", r"\p{Emoji}", r"[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*",
]
behaviors = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def template(*single):
    return {"type": "TemplateProcessing",
            "single": [{"Sequence" if s == "A" else "SpecialToken": {"id": s, "type_id": 0}} for s in single],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]},
                               "two": {"id": "two", "ids": [2, 1], "tokens": ["</s>", "<s>"]}}}


def variants():
    yield "plain", {}
    yield "fuse_unk", {"model": {"fuse_unk": True}}
    yield "no_unk", {"model": {"unk_token": None}}
    yield "byte_fallback", {"model": {"byte_fallback": True}}
    yield "ignore_merges", {"model": {"ignore_merges": True}}
    yield "suffix", {"model": {"end_of_word_suffix": "e", "continuing_subword_prefix": ""}}
    level = {"pre_tokenizer": byte_level(), "decoder": byte_level()}
    yield "byte_level", level
    yield "byte_level_regex", level | {"pre_tokenizer": byte_level(regex=True)}
    yield "byte_level_prefix", level | {"pre_tokenizer": byte_level(prefix=True, regex=True)}
    yield "prefix_after_split", level | {
        "pre_tokenizer": sequence("pretokenizers", split("[0-9]+"), byte_level(prefix=True))}
    for single in (True, False):
        yield f"digits_{single}", level | {
            "pre_tokenizer": sequence("pretokenizers", {"type": "Digits", "individual_digits": single}, byte_level())}
    for behavior in behaviors:
        yield f"punctuation_{behavior}", {"pre_tokenizer": {"type": "Punctuation", "behavior": behavior}}
        for invert in (False, True):
            yield f"string_{behavior}_{invert}", {"pre_tokenizer": split("aa", behavior, invert, "String")}
            yield f"regex_{behavior}_{invert}", {"pre_tokenizer": split("[a-c]*", behavior, invert)}
    yield "whitespace_split", {"pre_tokenizer": {"type": "WhitespaceSplit"}}
    for i, pattern in enumerate(patterns):
        yield f"pattern_{i}", level | {"pre_tokenizer": sequence("pretokenizers", split(pattern, "Removed"), byte_level())}
    for scheme in ("always", "first", "never"):
        for cut in (True, False):
            space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}
            yield f"metaspace_{scheme}_{cut}", {"pre_tokenizer": space, "decoder": space}
    yield "metaspace_after_removal", {
        "pre_tokenizer": sequence("pretokenizers", split("^[a ]", "Removed"),
                                  {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True})}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    space = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    fuse = {"type": "Fuse"}
    llama = sequence("normalizers", {"type": "Prepend", "prepend": "▁"},
                     {"type": "Replace", "pattern": {"String": " "}, "content": "▁"})
    yield "llama", {"normalizer": llama, "model": {"byte_fallback": True, "fuse_unk": True},
                    "decoder": sequence("decoders", space, {"type": "ByteFallback"}, fuse, strip),
                    "post_processor": template("<s>", "A")}
    yield "strip_each", {"decoder": sequence("decoders", space, strip)}
    yield "strip_ends", {"decoder": sequence("decoders", byte_level(), {"type": "Strip", "content": "a", "start": 2, "stop": 0})}
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield form, level | {"normalizer": {"type": form}}
    yield "lowercase", level | {"normalizer": {"type": "Lowercase"}}
    for left in (True, False):
        for right in (True, False):
            yield f"strip_{left}_{right}", level | {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": right}}
    yield "replace_regex", level | {
        "normalizer": {"type": "Replace", "pattern": {"Regex": r"\s+|x*"}, "content": " é"}}
    yield "template", level | {"post_processor": template("two", "A", "<s>", "two")}
    yield "processors", level | {"post_processor": sequence("processors", byte_level(), template("<s>", "A"))}
    yield "roberta", level | {"post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1],
                                                  "trim_offsets": True, "add_prefix_space": True}}
    tokens = [added(1, "<s>"), added(2, "</s>"), added(0, "<left>", False, lstrip=True),
              added(0, "<right>", rstrip=True), added(0, "the", False, single_word=True),
              added(0, "ÄB", False, normalized=True), added(0, "<s><s>"),
              added(0, "  ", False), added(0, "<both>", lstrip=True, rstrip=True, single_word=True)]
    yield "added", level | {"added_tokens": tokens}
    yield "added_lowercase", level | {"added_tokens": tokens, "normalizer": sequence(
        "normalizers", {"type": "NFKC"}, {"type": "Lowercase"})}
    yield "merges_with_spaces", {"model": {"merges": [" ".join(m) for m in base()["model"]["merges"] if m[0] != " "]}}


words = ["the", "The", " the", "hello", "and", " ", "  ", "\n", "\n\n", "\r\n", "\t", "123", "12", "7", "'s", "'S", "'ſ", "'ll", "...", "!",
         "aaaa", "aa", "a", "ab", "abc", "Abc", "AB", "x", "xx", "é", "e\u0301", "ÄB", "äb", "中", "日本", "ß", "ﬁ", "İ", "<s>",
         "</s>", "<left>", " <left> ", "<right>", "  <right>  ", "<both>", " <both> ", "\u00a0", "\u2003", "\u200b", "\u180e", "\x0b", "\x85", "_", "-", "]", "[", "{",
         "\u0000", "👨\u200d👩\u200d👧", "👍🏽", "\uac00", "\u1112\u1161\u11ab", "α", "Σ", "ǅ", "½", "²", "٣", "$", "^", "`", "+", "«", "f00", "whole piece", "▁", "▁▁", "\u0323\u0301", "A", "b{", "_-"]


def text():
    return "".join(rng.choice(words) for _ in range(rng.choice([1, 2, 3, 5, 8, 12])))


def encoded(tokenizer, text):
    try:
        return tokenizer.encode(text).ids
    except BaseException as e:  # empty matches can make the library panic
        if type(e).__name__ != "PanicException":
            raise
        return None


def goldens(tokenizer, texts, sequences):
    encode, decode = [], []
    for t in texts:
        ids = encoded(tokenizer, t)
        if ids is not None:
            encode.append([t, ids, tokenizer.encode(t, add_special_tokens=False).ids])
    for ids in (s for s in sequences if s is not None):
        decode.append([ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)])
    return {"encode": encode, "decode": decode}


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


FAMILIES = ["olmoe", "glm4", "kimi_k2", "deepseek_v2", "o200k_inverted", "granite", "mixtral", "phimoe", "llama_legacy_tokens",
            "mixtral_first_False", "mixtral_always_True", "mixtral_never_False", "metaspace_decoder", "no_bytes"]


def families():
    """One tokenizer.json of each structure, trained small, with strings of words and of its own added tokens."""
    own = random.Random(20261123)
    for name in FAMILIES:
        file = structures.fill(*structures.families()[name], own, 500)
        tokenizer = Tokenizer.from_str(json.dumps(file))
        contents = [t["content"] for t in file["added_tokens"]]
        samples = structures.SAMPLE.split(" ") + words

        def string():
            return "".join(own.choice(contents if own.random() < .15 else samples) + own.choice(["", " ", " ", "  ", "\n"])
                           for _ in range(own.randrange(1, 16)))
        texts = ["", " ", "  a", "a ", structures.SAMPLE] + [string() for _ in range(40)]
        ids = [encoded(tokenizer, t) for t in texts[5:20]]
        cut = [i[own.randrange(3):len(i) - own.randrange(3)] for i in ids if i]
        odd = [[own.randrange(tokenizer.get_vocab_size() + 2) for _ in range(own.randrange(14))] for _ in range(30)]
        yield {"name": name, "file": file} | goldens(tokenizer, texts, ids + cut + odd)


def main():
    with open(here / "families.jsonl", "w") as lines:
        for line in families():
            lines.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    b = base()
    write(here / "base.json", b)
    size = len(b["model"]["vocab"])
    fixed = ["", " ", "a", "<s>", "the aa\u00e9 <left> the\r\n", " x aaab 12 hello  world", "it's THE\nHE 123456 ab"]
    with open(here / "variants.jsonl", "w") as lines:
        for name, patch in variants():
            whole = {**b, **{k: v for k, v in patch.items() if k != "model"}, "model": {**b["model"], **patch.get("model", {})}}
            try:
                tokenizer = Tokenizer.from_str(json.dumps(whole))
            except Exception as e:
                print(f"{name}: the library refuses it: {e}", file=sys.stderr)
                continue
            texts = fixed + [text() for _ in range(12)]
            sequences = [[rng.randrange(size + 12) for _ in range(n)] for n in (0, 1, 5, 9)]
            sequences += [encoded(tokenizer, t) for t in texts[-3:]]
            if "added_tokens" in patch:  # the ids that the library gives
                for token in patch["added_tokens"]:
                    token["id"] = tokenizer.token_to_id(token["content"])
            line = {"name": name, "patch": patch} | goldens(tokenizer, texts, sequences)
            lines.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    import h5py
    reference = pathlib.Path(sys.argv[1])
    for name in ("deepseek_v3", "gpt_oss", "mixtral", "qwen3_moe"):
        source = reference / name / "tokenizer.json"
        (here / f"{name}.json").write_bytes(source.read_bytes())
        tokenizer = Tokenizer.from_file(str(source))
        size = tokenizer.get_vocab_size()
        texts = fixed + [text() for _ in range(60)]
        value = goldens(tokenizer, texts, [[rng.randrange(size + 3) for _ in range(rng.randrange(12))] for _ in range(40)])
        with h5py.File(reference / name / "golden.h5") as f:
            offsets = f["texts/token_ids/offsets"][:]
            ids = f["texts/token_ids/values"][:].tolist()
            value["texts"] = [[t.decode(), ids[offsets[i]:offsets[i + 1]]] for i, t in enumerate(f["texts/text"][:])]
        write(here / f"{name}.golden.json", value)


main()
