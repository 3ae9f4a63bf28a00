#!/usr/bin/env python3
"""scripts/make_model.py: every family's tensors by name and shape, and folders that the program accepts.

    make_model.py WORK_DIR MOEMILL [TEST ...]"""
import json
import pathlib
import struct
import subprocess
import sys

from tools import SOURCE, check, fresh, main, script

MODELS = SOURCE / "tests" / "data" / "models"
PROGRAM = None
FAMILIES = ["deepseek_v3", "deepseek_v2_lite", "qwen3_moe", "qwen2_moe", "olmoe", "mixtral", "glm4_moe", "gpt_oss"]


def shapes(folder, layers):
    """Tensors of a folder, without those of spare layers."""
    found = {}
    for path in folder.glob("*.safetensors"):
        with open(path, "rb") as f: header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        for name, entry in header.items():
            words = name.split(".")
            beyond = words[:2] == ["model", "layers"] and int(words[2]) >= layers
            if name != "__metadata__" and not beyond: found[name] = entry["shape"]
    return found


def same_tensors_as_published(work):
    for family in FAMILIES:
        made = fresh(work, family)
        script("make_model", "--config", MODELS / family, "--out", made)
        layers = json.loads((made / "config.json").read_text())["num_hidden_layers"]
        check(shapes(made, layers) == shapes(MODELS / family, layers), family)


def fewer_layers_and_experts_in_shards_are_a_model(work):
    for family in FAMILIES:
        made = fresh(work, family + "-short")
        script("make_model", "--config", MODELS / family / "config.json", "--out", made, "--layers", 2, "--experts", 8,
               "--shard-gb", 0.0002)
        check(len(list(made.glob("*.safetensors"))) > 1, family)
        done = subprocess.run([PROGRAM, "validate", "--model", made, "--ranks", "2"], capture_output=True, text=True)
        check(done.returncode == 0, family, done.stdout, done.stderr)
        check("warning" not in done.stderr, family, done.stderr)


def the_same_options_give_the_same_bytes(work):
    folders = [fresh(work, f"again{i}") for i in range(3)]
    for folder, seed in zip(folders, (0, 0, 1)):
        script("make_model", "--config", MODELS / "olmoe", "--out", folder, "--seed", seed)
    first, second, third = ((f / "model-00001-of-00001.safetensors").read_bytes() for f in folders)
    check(first == second)
    check(first != third)
    script("make_model", "--config", MODELS / "olmoe", "--out", folders[0], code=f"{folders[0]}: already holds weights; "
           "give an empty or new folder")


if __name__ == "__main__":
    PROGRAM = pathlib.Path(sys.argv[2]).resolve()
    tests = [same_tensors_as_published, fewer_layers_and_experts_in_shards_are_a_model,
             the_same_options_give_the_same_bytes]
    main(pathlib.Path(sys.argv[1]).resolve(), tests, sys.argv[3:])
