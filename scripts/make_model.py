#!/usr/bin/env python3
"""Writes a model folder of real size with random bf16 weights: config.json, safetensors shards with
their index, and a byte-level tokenizer. For measuring loading and memory with the shapes of a
published model, whole or with fewer layers and experts:

    scripts/make_model.py --config configs/models/deepseek-v2-lite --layers 5 --out /tmp/v2-lite-5

The answers of such a model mean nothing. All families that moemill reads are written, in bf16 (a
quantization_config is left out of the config.json that is written). The same options give the same
bytes. Needs numpy."""
import argparse
import json
import math
import os
import struct
import sys

import numpy

from moemill_tools.common import HelpForm

CHUNK_VALUES = 1 << 24


def mlp(prefix, hidden, width, names=("gate_proj", "up_proj", "down_proj")):
    gate, up, down = (f"{prefix}.{name}.weight" for name in names)
    return [(gate, (width, hidden), hidden), (up, (width, hidden), hidden), (down, (hidden, width), width)]


def latent_attention(prefix, c):
    hidden, heads, rank = c["hidden_size"], c["num_attention_heads"], c["kv_lora_rank"]
    nope, rope, value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    queries = heads * (nope + rope)
    if c.get("q_lora_rank"):
        lora = c["q_lora_rank"]
        yield f"{prefix}.q_a_proj.weight", (lora, hidden), hidden
        yield f"{prefix}.q_a_layernorm.weight", (lora,), None
        yield f"{prefix}.q_b_proj.weight", (queries, lora), lora
    else:
        yield f"{prefix}.q_proj.weight", (queries, hidden), hidden
    yield f"{prefix}.kv_a_proj_with_mqa.weight", (rank + rope, hidden), hidden
    yield f"{prefix}.kv_a_layernorm.weight", (rank,), None
    yield f"{prefix}.kv_b_proj.weight", (heads * (nope + value), rank), rank
    yield f"{prefix}.o_proj.weight", (hidden, heads * value), heads * value


def grouped_attention(prefix, c):
    kind, hidden, heads = c["model_type"], c["hidden_size"], c["num_attention_heads"]
    dim = c.get("head_dim") or hidden // heads
    queries, keys = heads * dim, c.get("num_key_value_heads", heads) * dim
    for part, out in (("q", queries), ("k", keys), ("v", keys)):
        yield f"{prefix}.{part}_proj.weight", (out, hidden), hidden
        if kind == "qwen2_moe" or c.get("attention_bias"):
            yield f"{prefix}.{part}_proj.bias", (out,), 2500
    yield f"{prefix}.o_proj.weight", (hidden, queries), queries
    if kind == "gpt_oss":
        yield f"{prefix}.o_proj.bias", (hidden,), 2500
        yield f"{prefix}.sinks", (heads,), 1
    if kind in ("qwen3_moe", "olmoe") or c.get("use_qk_norm"):
        yield f"{prefix}.q_norm.weight", (queries if kind == "olmoe" else dim,), None
        yield f"{prefix}.k_norm.weight", (keys if kind == "olmoe" else dim,), None


def experts(prefix, c):
    kind, hidden = c["model_type"], c["hidden_size"]
    count = c[expert_key(c)]
    width = c.get("moe_intermediate_size") or c["intermediate_size"]
    if kind == "gpt_oss":
        yield f"{prefix}.router.weight", (count, hidden), hidden
        yield f"{prefix}.router.bias", (count,), 2500
        yield f"{prefix}.experts.gate_up_proj", (count, hidden, 2 * width), hidden
        yield f"{prefix}.experts.gate_up_proj_bias", (count, 2 * width), 2500
        yield f"{prefix}.experts.down_proj", (count, width, hidden), width
        yield f"{prefix}.experts.down_proj_bias", (count, hidden), 2500
        return
    yield f"{prefix}.gate.weight", (count, hidden), hidden
    if kind in ("deepseek_v3", "kimi_k2", "glm4_moe"):
        yield f"{prefix}.gate.e_score_correction_bias", (count,), 10000
    names = ("w1", "w3", "w2") if kind == "mixtral" else ("gate_proj", "up_proj", "down_proj")
    for expert in range(count):
        yield from mlp(f"{prefix}.experts.{expert}", hidden, width, names)
    if c.get("n_shared_experts"):
        yield from mlp(f"{prefix}.shared_experts", hidden, width * c["n_shared_experts"])
    if kind == "qwen2_moe":
        yield from mlp(f"{prefix}.shared_expert", hidden, c["shared_expert_intermediate_size"])
        yield f"{prefix}.shared_expert_gate.weight", (1, hidden), hidden


def is_moe(c, layer):
    if "decoder_sparse_step" in c:
        return layer not in c.get("mlp_only_layers", []) and (layer + 1) % c["decoder_sparse_step"] == 0
    return layer >= c.get("first_k_dense_replace", 0)


def expert_key(c):
    return next(key for key in ("n_routed_experts", "num_local_experts", "num_experts") if key in c)


def tensors(c):
    """(name, shape, inputs). Values have the standard deviation 1 / sqrt(inputs); norms, whose inputs are None, are all 1."""
    hidden = c["hidden_size"]
    yield "model.embed_tokens.weight", (c["vocab_size"], hidden), hidden
    for layer in range(c["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", (hidden,), None
        yield from (latent_attention if "kv_lora_rank" in c else grouped_attention)(f"{prefix}.self_attn", c)
        yield f"{prefix}.post_attention_layernorm.weight", (hidden,), None
        if is_moe(c, layer):
            yield from experts(prefix + (".block_sparse_moe" if c["model_type"] == "mixtral" else ".mlp"), c)
        else:
            yield from mlp(f"{prefix}.mlp", hidden, c["intermediate_size"])
    yield "model.norm.weight", (hidden,), None
    if not c.get("tie_word_embeddings"):
        yield "lm_head.weight", (c["vocab_size"], hidden), hidden


def write_values(out, random, count, inputs):
    while count > 0:
        now = min(count, CHUNK_VALUES)
        if inputs is None:
            bits = numpy.full(now, 0x3F80, dtype="<u2")
        else:
            # Random sign and fraction with one exponent: sizes are uniform in 2^e * [1, 2), with a root mean square of 1.53.
            exponent = 127 + round(math.log2(1 / math.sqrt(inputs) / 1.53))
            bits = numpy.frombuffer(random.bytes(2 * now), dtype="<u2") & 0x807F | exponent << 7
        out.write(bits.astype("<u2").tobytes())
        count -= now


def write_shard(path, entries, random):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, _ in entries:
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, shape, inputs in entries:
            write_values(out, random, math.prod(shape), inputs)


def write_tokenizer(folder):
    """Byte-level BPE without merges: one token per byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        letters.setdefault(byte, chr(256 + len(letters) - len(printable)))
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": level, "post_processor": level, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {letters[byte]: byte for byte in range(256)}, "merges": []}}
    write_json(os.path.join(folder, "tokenizer.json"), tokenizer)


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out, indent=1)
        out.write("\n")


def into_shards(entries, shard_bytes):
    shards, size = [[]], 0
    for entry in entries:
        length = 2 * math.prod(entry[1])
        if shards[-1] and size + length > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(entry)
        size += length
    return shards


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpForm)
    parser.add_argument("--config", required=True, help="config.json, or a folder that has one")
    parser.add_argument("--out", required=True, help="folder to create; must not hold a model")
    parser.add_argument("--layers", type=int, help="number of layers, replacing the config's num_hidden_layers")
    parser.add_argument("--experts", type=int, help="routed experts per layer, replacing the config's")
    parser.add_argument("--shard-gb", type=float, default=2.0, help="largest file, in GB (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random values (default %(default)s)")
    options = parser.parse_args(words)

    path = options.config
    with open(os.path.join(path, "config.json") if os.path.isdir(path) else path, encoding="utf-8") as source:
        config = json.load(source)
    config.pop("quantization_config", None)
    if options.layers:
        config["num_hidden_layers"] = options.layers
        if "layer_types" in config:
            config["layer_types"] = config["layer_types"][: options.layers]
    if options.experts:
        config[expert_key(config)] = options.experts

    os.makedirs(options.out, exist_ok=True)
    if any(name.endswith(".safetensors") for name in os.listdir(options.out)):
        sys.exit(f"{options.out}: already holds weights; give an empty or new folder")
    write_json(os.path.join(options.out, "config.json"), config)
    write_tokenizer(options.out)
    shards = into_shards(tensors(config), options.shard_gb * 1e9)
    index = {"metadata": {"total_size": 0}, "weight_map": {}}
    for number, entries in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_shard(os.path.join(options.out, name), entries, numpy.random.default_rng([options.seed, number]))
        index["metadata"]["total_size"] += sum(2 * math.prod(shape) for _, shape, _ in entries)
        index["weight_map"].update({entry[0]: name for entry in entries})
        print(f"{name}: {len(entries)} tensors", flush=True)
    write_json(os.path.join(options.out, "model.safetensors.index.json"), index)
    print(f"{options.out}: {index['metadata']['total_size'] / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
