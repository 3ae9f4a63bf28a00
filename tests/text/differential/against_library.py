#!/usr/bin/env python3
"""Holds moemill's tokenizer against the `tokenizers` package on random strings and ids. Development only.

    against_library.py TOKENIZE_LINES [--strings N] [--random-files N] [--seed S] [--only NAME] [--young] [--published DIR ...]
    against_library.py TOKENIZE_LINES --code-points      every code point in some contexts, for every splitting pattern

For each tokenizer.json of structures.py (published structures and, from them, random ones), and the published ones in
the folders DIR: encodes with and without special tokens, decodes with and without them, and streams. Prints each
difference; the exit status is 1 if there is any. A file that only moemill refuses is counted by reason.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

os.environ["RUST_BACKTRACE"] = "0"  # the library often panics on empty matches

from tokenizers import Regex, Tokenizer, pre_tokenizers

import structures

SPACES = [chr(c) for c in (9, 10, 11, 12, 13, 0x1C, 0x1F, 0x20, 0x85, 0xA0, 0x1680, 0x180E, 0x2000, 0x2003, 0x200A, 0x200B, 0x2028,
                           0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF)]
WORDS = structures.SAMPLE.split(" ") + """'s 'S 'ſ 'll 'LL 've 'Ve 'RE 'd 'M ' '' "  " ▁ ▁▁ _ __ - -- --- ... !!! ??? /// \\ \\n <0x41> <0xE4>
<s> </s> <unk> <S> <s <| |> <|im_start|> <|im_start|>user <|IM_START|> [INST] [/INST] [gMASK] <sop> <think> </think> <｜User｜> the THE The HTTPs
ﬁ ß ẞ İ ı ſ K Å ǅ ǆ Σσς Ⅷ ⅷ ① ½ 10⁵ ٣٤ ४५६ 一二三 〇 ㈱ ｶﾞ 각 각 가각 e\u0301 é ệ ệ Å \u0301\u0323 \u0323\u0301 q̣̇ a\u200db
👨‍👩‍👧‍👦 👍🏽 🇫🇷🇩 ❤️ 1️⃣ 😀😀 \ufe0f \u200d \u200c \u200b \ufeff \u202e \u00ad \u034f \ufffd \ufffe \uffff \x00 \x7f \x9f \ue000 \U000f0000 \U0010ffff
0 00 000 0000 1,000,000.00 1e-9 0x7F 20260101 ab12cd //path/to /a/b.c:12 foo(){} a=b;c x_y-z CamelCaseWord ALLCAPS aB Ab éÉ я Я あア 々 ー""".split()
# Characters that the library and PCRE2 10.42 classify alike: Unicode 14 and the library's 16 agree on them. --young includes the others.
KINDS = collections.defaultdict(list)
YOUNG, EVERY = set(), []


def sort_characters(with_young):
    in_library = {}
    for category in "L M N P S Z Cc Cf Co Cn".split():
        removes = pre_tokenizers.Split(Regex(r"\p{%s}" % category), "removed")
        for c in range(0x110000):
            if not 0xD800 <= c <= 0xDFFF and c not in in_library and not removes.pre_tokenize_str(chr(c)):
                in_library[c] = category
    for c, category in in_library.items():
        if not unicodedata.category(chr(c)).startswith(category):
            YOUNG.add(chr(c))
        if with_young or chr(c) not in YOUNG:
            KINDS[unicodedata.category(chr(c))].append(chr(c))
            EVERY.append(chr(c))


def random_text(rng, contents):
    kind = rng.randrange(10)
    if kind == 0:  # a long run
        unit = rng.choice([rng.choice(WORDS), rng.choice(SPACES), rng.choice(KINDS[rng.choice(sorted(KINDS))])])
        return rng.choice(["", "x", " "]) + unit * rng.choice([2, 3, 5, 17, 60, 130]) + rng.choice(["", "x", " ", "\n"])
    if kind == 1:  # one character class after another
        return "".join(rng.choice(KINDS[rng.choice(sorted(KINDS))]) for _ in range(rng.randrange(1, 20)))
    if kind == 2:  # any code point
        return "".join(rng.choice(EVERY) for _ in range(rng.randrange(1, 12)))

    def part():
        pick = rng.randrange(16)
        if pick == 0:
            return rng.choice(KINDS[rng.choice(sorted(KINDS))])
        if pick == 1:
            return "".join(rng.choice(SPACES) for _ in range(rng.randrange(1, 4)))
        if pick == 2:
            return rng.choice("aeoAOuU") + "".join(rng.choice(KINDS["Mn"]) for _ in range(rng.randrange(1, 4)))
        if pick in (3, 4) and contents:
            c = rng.choice(contents)
            return rng.choice([c, c, c[:-1], c[1:], c.upper(), c.lower(), " " + c + " ", c + c, "x" + c + "y", c[:len(c) // 2], "\n" + c])
        if pick == 5:
            return "".join(rng.choice("0123456789") for _ in range(rng.randrange(1, 9)))
        if pick == 6:
            return rng.choice(["'", "’"]) + rng.choice(["s", "S", "ſ", "ll", "lL", "ve", "re", "m", "M", "d", "x"])
        return rng.choice(WORDS)
    return "".join(part() + rng.choice(["", "", " ", " ", " ", rng.choice(SPACES)]) for _ in range(rng.randrange(1, 14)))


def random_ids(rng, size, encoded):
    ids = list(rng.choice(encoded)) if encoded and rng.random() < .6 else [rng.randrange(size) for _ in range(rng.randrange(16))]
    for _ in range(rng.randrange(3)):
        if ids:
            at = rng.randrange(len(ids))
            ids[at:at + rng.randrange(3)] = [rng.randrange(size + 3)] * rng.randrange(3)
    if rng.random() < .15:  # bytes, one by one
        ids += [rng.randrange(min(size, 300)) for _ in range(rng.randrange(8))]
    return ids


def library(call):
    try:
        return call()
    except BaseException as e:
        if type(e).__name__ != "PanicException" and not isinstance(e, Exception):
            raise
        return "panic" if type(e).__name__ == "PanicException" else "error"


class Run:
    def __init__(self, program, seed):
        self.program, self.rng = program, random.Random(seed)
        self.strings = self.sequences = self.differences = self.files = self.panics = 0
        self.refused = collections.Counter()
        self.folder = tempfile.TemporaryDirectory()
        self.shown = collections.Counter()

    def compare(self, name, path, count, texts=None):
        """Random strings, or `texts`, through both; then random ids."""
        theirs = library(lambda: Tokenizer.from_file(str(path)))
        if isinstance(theirs, str):
            return self.ours(path, [])  # the library refuses it: moemill must only not crash
        contents = [t.content for t in theirs.get_added_tokens_decoder().values()][:60]
        if texts is None:
            texts = [random_text(self.rng, contents) for _ in range(count)]
        want = [library(lambda: [theirs.encode(t).ids, theirs.encode(t, add_special_tokens=False).ids]) for t in texts]
        encoded = [w[0][:40] for w in want if isinstance(w, list)]
        size = theirs.get_vocab_size()
        sequences = [random_ids(self.rng, size, encoded) for _ in range(count // 2)]
        for ids in sequences:
            all_of_it = library(lambda: theirs.decode(ids, skip_special_tokens=False))
            rest = library(lambda: theirs.decode(ids, skip_special_tokens=True))
            want.append("panic" if "panic" in (all_of_it, rest) else [all_of_it, rest, rest])
        got = self.ours(path, texts + sequences)
        if got is None:
            return
        self.files += 1
        self.strings += len(texts)
        self.sequences += len(sequences)
        for question, w, g in zip(texts + sequences, want, got):
            if w == "panic":
                self.panics += 1
            elif w != g and not (w == "error" and "error" in g):
                self.differences += 1
                self.shown[name] += 1
                if self.shown[name] <= 3:
                    print(f"{name} {path}\n   {question!a}\n   library {w!a}\n   moemill {g!a}", flush=True)

    def ours(self, path, questions):
        done = subprocess.run([self.program, path], input="".join(json.dumps(q) + "\n" for q in questions), text=True,
                              capture_output=True)
        if done.returncode == 2:
            self.refused[done.stderr.strip().replace(str(path), "")[:150]] += 1
            return None
        if done.returncode != 0:
            sys.exit(f"{self.program} {path}: status {done.returncode}\n{done.stderr}")
        return [json.loads(line) for line in done.stdout.split("\n")[:-1]]

    def write(self, name, file):
        path = pathlib.Path(self.folder.name) / f"{name}.json"
        path.write_text(json.dumps(file, ensure_ascii=False))
        return path

    def keep(self, path):
        os.makedirs("/tmp/differential", exist_ok=True)
        (pathlib.Path("/tmp/differential") / path.name).write_bytes(path.read_bytes())


def every_code_point(run, only):
    """Every character next to a letter, digit, sign and space, many in one text, with visible cuts."""
    chars = EVERY
    frames = ["a{}b", " {}", "1{}2", "!{}\n", "{}{}x", "A{}a", "'{} "]
    texts = []
    for i in range(0, len(chars), 64):
        texts += ["\u4e00".join(f.format(c, c) for c in chars[i:i + 64]) for f in frames]
    bytes_ = {"decoder": structures.level(), "post_processor": None, "added_tokens": []}
    files = {name: parts for name, (kind, _, parts) in structures.families().items() if kind == "bytes"}
    for name, piece in {"digits": {"type": "Digits", "individual_digits": True}, "whitespace": {"type": "Whitespace"},
                        "whitespace_split": {"type": "WhitespaceSplit"}, "punctuation": {"type": "Punctuation", "behavior": "Isolated"},
                        "word": structures.split(r"\w+"), "digit": structures.split(r"\d+"), "emoji": structures.split(r"\p{Emoji}"),
                        "alnum": structures.split(r"[[:alnum:]]+"), "greek": structures.split(r"\p{Greek}+"),
                        "fold": structures.split(r"(?i:[a-zα-ω])+")}.items():
        files[name] = bytes_ | {"pre_tokenizer": structures.pieces(piece, structures.level())}
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"):
        files[form] = bytes_ | {"normalizer": {"type": form}, "pre_tokenizer": structures.level()}
    files["strip"] = bytes_ | {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}, "pre_tokenizer": structures.level()}
    files["single_word"] = bytes_ | {"pre_tokenizer": structures.level(), "added_tokens": [structures.token("x", single_word=True)]}
    for name, parts in files.items():
        if only and only not in name:
            continue
        before = run.differences
        lines = chars if name == "strip" else [t for t in texts if name != "single_word" or "x" in t]
        run.compare(name, run.write(name, structures.show_pieces(structures.fill("bytes", {}, parts, run.rng, 300), run.rng)), 0, lines)
        print(f"{name}: {run.differences - before} differences", flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("program")
    options.add_argument("--strings", type=int, default=2000, help="for each file of a published structure")
    options.add_argument("--random-files", type=int, default=0, help="for each published structure")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", default="")
    options.add_argument("--published", nargs="*", default=[])
    options.add_argument("--code-points", action="store_true")
    options.add_argument("--young", action="store_true", help="with characters that Unicode 14 lacks")
    o = options.parse_args()
    sort_characters(o.young)
    run = Run(o.program, o.seed)
    if o.code_points:
        every_code_point(run, o.only)
    else:
        for folder in o.published:
            run.compare(folder, pathlib.Path(folder) / "tokenizer.json", o.strings)
        for name, (kind, model, parts) in structures.families().items():
            if o.only not in name:
                continue
            file = structures.fill(kind, model, parts, run.rng)
            run.compare(name, run.write(name, file), o.strings)
            if kind == "bytes":
                run.compare(name + " pieces", run.write(name + "_pieces", structures.show_pieces(file, run.rng)), o.strings)
            for i in range(o.random_files):
                path = run.write(f"{name}_{i}", structures.random_file(file, run.rng))
                before = run.differences
                run.compare(f"{name} random", path, 60)
                if run.differences > before:
                    run.keep(path)
    print(f"{run.files} files, {run.strings} strings, {run.sequences} sequences of ids: {run.differences} differences; "
          f"{run.panics} panics of the library; refused by moemill alone or by both: {sum(run.refused.values())}")
    for reason, count in run.refused.most_common(40):
        print(f"   {count} x {reason}")
    sys.exit(run.differences > 0)


main()
