#!/usr/bin/env python3
"""Writes the demo's prompts.jsonl as the HDF5 file that moemill reads.

    make_prompts.py prompts.jsonl prompts.h5

Three lines of h5py are enough for a job (open, `f["prompt"] = texts`, close); this one adds ids, the sampling columns
of each prompt, and two columns that are only carried to the output."""
import json
import os
import sys

os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")  # some file systems have no locks; HDF5 reads this when it is loaded
import h5py


def main():
    if len(sys.argv) != 3: sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as f: rows = [json.loads(line) for line in f]
    with h5py.File(sys.argv[2], "w") as f:
        f["prompt"] = [r["prompt"] for r in rows]
        f["id"] = [r["id"] for r in rows]
        f["n"] = [r["n"] for r in rows]
        f["temperature"] = [r["temperature"] for r in rows]
        f["max_tokens"] = [r["max_tokens"] for r in rows]
        f["category"] = [r["category"] for r in rows]
        f["expected"] = [r.get("expected") or "" for r in rows]
    print(f"{sys.argv[2]}: {len(rows)} prompts")


if __name__ == "__main__": main()
