#!/usr/bin/env python3
"""Shows some of the demo's prompts with their answers, and how many of the checkable ones are right.

    show.py runs/demo/outputs.h5 prompts.h5"""
import os
import sys
import textwrap

os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")  # some file systems have no locks; HDF5 reads this when it is loaded
import h5py

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_answers

SHOWN = ["add-01", "buy-00", "reverse-00", "json-00", "capital-00", "fact-00", "make-00", "story-00", "prose-00"]


def main():
    if len(sys.argv) != 3: sys.exit(__doc__)
    with h5py.File(sys.argv[1]) as out, h5py.File(sys.argv[2]) as prompts:
        done = out["completions"]
        values, offsets = done["text/values"][:].tobytes(), done["text/offsets"][:]
        texts = [values[a:b].decode() for a, b in zip(offsets[:-1], offsets[1:])]
        index, ids = done["prompt_index"][:], [i.decode() for i in done["id"][:]]
        asked = [p.decode() for p in prompts["prompt"][:]]
        expected = [e.decode() for e in out["carry/expected"][:]]

    shown = set()
    for i, name in enumerate(ids):
        if name not in SHOWN or name in shown: continue
        shown.add(name)
        text = (asked[index[i]] + "\x1b[1m" + texts[i] + "\x1b[0m") if sys.stdout.isatty() else asked[index[i]] + texts[i]
        print(textwrap.indent(text.strip(), "    "), end="\n\n")

    verdicts = []
    for i in range(len(ids)):
        if not expected[index[i]]: continue
        question = asked[index[i]].removeprefix("Q: ").split("\nA:")[0]
        verdicts.append(bool(check_answers.right(question, texts[i].rstrip("\n"), expected[index[i]])))
    print(f"{sum(verdicts)} of {len(verdicts)} checkable answers are right "
          "(the model is a toy: configs/demo/README.md says what it knows)")


if __name__ == "__main__": main()
