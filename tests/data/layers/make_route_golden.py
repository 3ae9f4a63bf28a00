#!/usr/bin/env python3
"""Routing cases from the reference models' traces: python3 make_route_golden.py REFERENCE_DIR > route.json

Router logits, and the picks and weights that transformers made of them (see the reference's README), for each MoE layer
of the traced prompt. Numbers are written so that they read back as the same fp32."""
import json
import pathlib
import sys

import h5py
import numpy as np

reference = pathlib.Path(sys.argv[1])


def bias_of(folder, layer):
    """e_score_correction_bias of a layer, in fp32, read from whichever safetensors file has it."""
    name = f"model.layers.{layer}.mlp.gate.e_score_correction_bias"
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
            if name in header:
                assert header[name]["dtype"] == "F32"
                begin, end = header[name]["data_offsets"]
                file.seek(8 + size + begin)
                return np.frombuffer(file.read(end - begin), np.float32)
    return None


def numbers(array):
    return [float(str(v)) for v in np.asarray(array, np.float32).ravel()]


cases = []
for model in ("deepseek_v2_lite", "deepseek_v3", "glm4_moe", "olmoe", "mixtral"):
    config = json.loads((reference / model / "config.json").read_text())
    sigmoid = model in ("deepseek_v3", "glm4_moe")
    grouped = sigmoid or config.get("topk_method") == "group_limited_greedy"
    with h5py.File(reference / model / "golden.h5") as golden:
        for layer, trace in sorted(golden["trace/layers"].items()):
            if "moe" not in trace:
                continue
            moe = trace["moe"]
            bias = bias_of(reference / model, layer)
            normalize = model == "mixtral" or (bool(config.get("norm_topk_prob")) and model != "deepseek_v2_lite")
            cases.append({
                "model": model, "layer": int(layer),
                "experts": moe["router_logits"].shape[1], "picks": moe["topk_ids"].shape[1],
                "score": "sigmoid" if sigmoid else "softmax",
                "groups": config["n_group"] if grouped else 1, "groups_kept": config["topk_group"] if grouped else 1,
                "group_score": "sum_of_two_largest" if sigmoid else "largest",
                "normalize": normalize, "normalize_eps": 1e-20 if sigmoid else 0.0,
                "scale": config.get("routed_scaling_factor", 1.0),
                "bias": None if bias is None else numbers(bias),
                "logits": numbers(moe["router_logits"]), "picks_of_rows": moe["topk_ids"][:].ravel().tolist(),
                "weights": numbers(moe["topk_weights"]),
            })
json.dump({"cases": cases}, sys.stdout, separators=(",", ":"))
