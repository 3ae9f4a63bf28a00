#!/usr/bin/env python3
"""Makes lib/text/regex/unicode_tables.inc: which characters each property has in Unicode 16, the version that the tokenizers
library's regular expressions know. No build needs this script. Needs two packages of that version:

    pip install unicodedata2==16.0.0 regex==2024.11.6
    make_unicode_tables.py > lib/text/regex/unicode_tables.inc
"""
import sys

import regex
import unicodedata2
from regex import _regex_core

BINARY = ["Alphabetic", "Lowercase", "Uppercase", "Emoji", "Emoji_Modifier", "Emoji_Component", "Emoji_Presentation",
          "Extended_Pictographic", "Ideographic", "Math", "Dash"]
CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]  # UTF-8 has no surrogates
TEXT = "".join(map(chr, CHARACTERS))


def ranges_of(points):
    ranges = []
    for c in points:
        if ranges and (ranges[-1][1] == c - 1):
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return ranges


def categories():
    """{name: ranges} of the general categories; Cs is empty here."""
    points = {}
    for c in CHARACTERS: points.setdefault(unicodedata2.category(chr(c)), []).append(c)
    return {name.lower(): ranges_of(found) for name, found in sorted(points.items())}


def having(prop):
    return ranges_of(ord(c) for match in regex.finditer(r"\p{%s}+" % prop, TEXT) for c in match.group())


def scripts():
    """{"sc:name": ranges}, and {"sc:short": "sc:name"}."""
    names = {}
    for name, number in _regex_core.PROPERTIES["SCRIPT"][1].items(): names.setdefault(number, []).append(name.lower())
    found, also = {}, {}
    for spellings in sorted(names.values(), key=lambda s: max(s, key=len)):
        name = max(spellings, key=len)
        if name in ("unknown", "zzzz") or not (ranges := having(f"sc={name}")): continue
        found["sc:" + name] = ranges
        for other in sorted(set(spellings) - {name}): also["sc:" + other] = "sc:" + name
    return found, also


def lines(items, width=150):
    line = ""
    for item in items:
        if len(line) + len(item) > width:
            yield line
            line = ""
        line += item
    if line: yield line


def main():
    if unicodedata2.unidata_version != "16.0.0" or not regex.fullmatch(r"\p{sc=Garay}", "\U00010D40") or \
            regex.fullmatch(r"\p{Lo}", "\U0003347A"):
        sys.exit("needs unicodedata2 16.0.0 and regex 2024.11.6: Unicode 16")
    script, also = scripts()
    properties = {**categories(), **{name.replace("_", "").lower(): having(name) for name in BINARY}, **script}
    print("// Unicode 16.0.0. Made by scripts/make_unicode_tables.py; first and last character of each range.")
    print("constexpr CodePoints ranges[] = {")
    for line in lines(f"{{0x{a:x},0x{b:x}}}," for found in properties.values() for a, b in found): print(line)
    print("};")
    print("// Name, first range, number of ranges; by name.")
    print("constexpr Entry entries[] = {")
    begin, entries = 0, {}
    for name, found in properties.items():
        entries[name] = (begin, len(found))
        begin += len(found)
    for short, name in also.items(): entries[short] = entries[name]
    for line in lines(f'{{"{name}",{at},{count}}},' for name, (at, count) in sorted(entries.items())): print(line)
    print("};")


if __name__ == "__main__": main()
