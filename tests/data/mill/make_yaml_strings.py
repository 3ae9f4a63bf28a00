#!/usr/bin/env python3
"""yaml_strings.json: texts of run.yaml, most of them dumped by PyYAML in all its styles and widths, with the stop strings
that PyYAML reads from each. Run it again after a change here (Debian's python3-yaml will do)."""
import json
import pathlib

import yaml

STRINGS = ["\n", "x\n\n", "a\nb", "\n\n\n", " lead", "trail ", "  both  ", "a\n  indented\n b", "tab\tend\t", "\n###\n", "'", '"',
           "it's\n\"so\"", "\\n", "a\\\nb", "# no comment", "key: value", "- item", "null", "~", "true", "12", "1e3", "é", "日本\n語",
           "😀", "\u2028", "\x85", "\u200b", "\ufeff", "\x00", "\x1b[0m", "\r\n", "a\rb", "word " * 30, "word\n" * 12, "x" * 120,
           "a  b   c " * 12, "<|im_end|>", "</s>", "[INST]", "{x}", "%d", "@x", "`x`", "!x", "&x", "*x", "|", ">", "?", ": ", ",", "..."]
BY_HAND = {
    "literal": "|\n    a\n     b\n\n    c\n", "literal, stripped": "|-\n    a\n    b\n\n", "literal, kept": "|+\n    a\n\n\n",
    "folded": ">\n    a\n    b\n\n    c\n      d\n    e\n", "folded, stripped": ">-\n    a\n    b\n\n\n    c\n", "folded, kept": ">+\n    a\n    b\n\n",
    "indent said": "|2\n     a\n    b\n", "only breaks, kept": "|+\n\n\n", "plain over lines": "a\n    b\n\n    c", "double over lines": '"a\n    b\n\n    c\\\n    d\\n\n    e"',
    "single over lines": "'a\n    b\n\n    c '", "escapes": r'"\x41\u00e9\U0001F600\e\_\N\L\P\0\t\/"', "breaks at the edges": '"\n    a\n    "',
    "spaces at breaks": "'a  \n\n   b'", "comment behind": "'a\n    b' # c",
}


def stop_of(text): return yaml.safe_load(text)["sampling"]["stop"]


def main():
    texts = []
    for style in (None, "'", '"', "|", ">"):
        for options in ({}, {"width": 20}, {"width": 10 ** 6}, {"allow_unicode": True}, {"default_flow_style": True}, {"line_break": "\r\n"}):
            texts.append(yaml.safe_dump({"sampling": {"stop": STRINGS}}, default_style=style, **options))
            texts += [yaml.safe_dump({"sampling": {"stop": string}}, default_style=style, **options) for string in STRINGS[:9] + STRINGS[30:38]]
    for value in BY_HAND.values():
        text = f"sampling:\n  stop: {value}\noutput: {{merge: true}}\n"
        texts += [text, text.replace("\n", "\r\n")]
    texts = list(dict.fromkeys(texts))
    rows = [{"yaml": text, "stop": stop_of(text)} for text in texts]
    for row in rows: row["stop"] = [row["stop"]] if isinstance(row["stop"], str) else row["stop"]
    path = pathlib.Path(__file__).with_name("yaml_strings.json")
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print(f"{path}: {len(rows)} texts")


if __name__ == "__main__":
    main()
