#!/usr/bin/env python3
"""Makes unicode16.jsonl beside it with the `tokenizers` package (0.23.3 was used) and the names of
scripts/make_unicode_tables.py; no test needs this script. It runs for a quarter of an hour.

A line: {"pattern" or "pre_tokenizer", "pieces": how many stretches of the text of all characters (without surrogates, in
order) it finds, "sha256": of the lines "first last\\n" of their code points in hexadecimal}
"""
import hashlib
import json
import pathlib
import re
import sys

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

here = pathlib.Path(__file__).parent
TEXT = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF)
OTHERS = [r"\w", r"\W", r"\d", r"\s", r"\h", "[[:alpha:]]", "[[:alnum:]]", "[[:digit:]]", "[[:lower:]]", "[[:upper:]]",
          "[[:space:]]", "[[:blank:]]", "[[:cntrl:]]", "[[:punct:]]", "[[:word:]]", r"\p{Alphabetic}", r"\P{L}", r"[^\p{L}\p{N}\s]",
          r"[\p{L}\p{M}&&[^\p{Han}]]", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"]
PRE_TOKENIZERS = [{"type": "Digits", "individual_digits": False}, {"type": "Punctuation", "behavior": "Contiguous"},
                  {"type": "Whitespace"}, {"type": "WhitespaceSplit"}]


def names():
    text = (here.parents[2] / "lib/text/unicode_tables.inc").read_text()
    found = re.findall(r'\{"([a-z:]+)",', text[text.index("constexpr Entry"):])
    categories = [n for n in found if len(n) == 2]
    return [n.capitalize() for n in categories + ["l", "m", "n", "p", "s", "z", "c"]] + \
        [n for n in found if len(n) > 2 and not n.startswith("sc:")] + [n[3:] for n in found if n.startswith("sc:") and len(n) > 7]


def line(what, value, pre_tokenizer):
    pieces = pre_tokenizer.pre_tokenize_str(TEXT)
    text = "".join(f"{ord(p[0]):x} {ord(p[-1]):x}\n" for p, _ in pieces)
    print(json.dumps({what: value, "pieces": len(pieces), "sha256": hashlib.sha256(text.encode()).hexdigest()}), flush=True)


def main():
    sys.stdout = open(here / "unicode16.jsonl", "w")
    for settings in PRE_TOKENIZERS:
        tokenizer = Tokenizer(models.BPE())
        as_json = json.loads(tokenizer.to_str())
        as_json["pre_tokenizer"] = settings
        line("pre_tokenizer", settings, Tokenizer.from_str(json.dumps(as_json)).pre_tokenizer)
    for pattern in [*OTHERS, *(r"\p{%s}" % n for n in names())]:
        try:
            compiled = Regex(pattern + "+")
        except Exception as error:  # a name that the library does not know
            print(pattern, error, file=sys.stderr)
            continue
        line("pattern", pattern, pre_tokenizers.Split(compiled, "removed", invert=True))


if __name__ == "__main__": main()
