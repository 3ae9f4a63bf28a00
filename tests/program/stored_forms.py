#!/usr/bin/env python3
"""The same weights in the forms in which tools save them, through the whole program. Experts fused as transformers 5 writes
them, and different names: transformers' greedy tokens. FP8 with every kind of scale: the bytes of the outputs are those of
a bf16 model that numpy decoded, and of a rank that holds them as bf16. A router in fp32: the bytes do not depend on the layout.

    stored_forms.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import os
import shutil
import struct

import h5py
import numpy as np

from launch import instruction_sets
from moemill_program import MODELS, PROGRAM, SOURCE, check, expect_exit, fresh, main, moemill

STEPS = 24
NUMPY = {"BF16": np.uint16, "F32": np.float32, "F8_E4M3": np.uint8}


def read_weights(folder):
    """Name to (dtype of the file, array); bf16 as its bits."""
    tensors = {}
    for file in folder.glob("*.safetensors"):
        raw = file.read_bytes()
        size = struct.unpack("<Q", raw[:8])[0]
        for name, t in json.loads(raw[8:8 + size]).items():
            if name == "__metadata__": continue
            begin, end = (8 + size + at for at in t["data_offsets"])
            tensors[name] = t["dtype"], np.frombuffer(raw[begin:end], NUMPY[t["dtype"]]).reshape(t["shape"])
    return tensors


def write_model(folder, source, tensors, **changes):
    folder.mkdir(parents=True)
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        if (source / name).exists(): shutil.copy(source / name, folder / name)
    (folder / "config.json").write_text(json.dumps(dict(json.loads((source / "config.json").read_text()), **changes)))
    header, at = {}, 0
    for name, (dtype, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    data = b"".join(values.tobytes() for _, values in tensors.values())
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def generate(model, prompts, work, ranks, *more):
    """(token ids, log-probabilities), greedy."""
    with h5py.File(work / "prompts.h5", "w") as f:
        f["prompt_token_ids/values"], f["prompt_token_ids/offsets"] = prompts
    sets = ["sampling.temperature=0", f"sampling.max_tokens={STEPS}", "sampling.ignore_eos=true", "sampling.logprobs=1",
            "output.store=[token_ids]", *more]
    words = [word for key in sets for word in ("--set", key)]
    shutil.rmtree(work / "out", ignore_errors=True)
    expect_exit(moemill("run", "--model", model, "-i", work / "prompts.h5", "-o", work / "out", *words, ranks=ranks), 0)
    with h5py.File(work / "out" / "outputs.h5") as f:
        return f["completions/token_ids/values"][:], f["completions/logprobs/values"][:]


def golden_of(model):
    with h5py.File(SOURCE / f"tests/data/layers/{model}.h5") as f:
        return (f["prompts/values"][:], f["prompts/offsets"][:]), f["greedy/token_ids"][:].ravel()


def same(a, b): return all(x.tobytes() == y.tobytes() for x, y in zip(a, b))


def fused(tensors, moe="mlp", parts=("gate_proj", "up_proj", "down_proj")):
    """transformers 5 with save_original_format=False: experts.gate_up_proj [E, 2 width, hidden] with gate's rows first, and
    experts.down_proj [E, hidden, width], all under mlp."""
    kept = {name.replace(f".{moe}.", ".mlp."): t for name, t in tensors.items() if ".experts." not in name}
    for prefix in sorted({name[:name.index(".experts.") + 9] for name in tensors if ".experts." in name}):
        count = len({name[len(prefix):].split(".")[0] for name in tensors if name.startswith(prefix)})
        gate, up, down = ([tensors[f"{prefix}{e}.{part}.weight"][1] for e in range(count)] for part in parts)
        target = prefix.replace(f".{moe}.", ".mlp.")
        kept[target + "gate_up_proj"] = "BF16", np.stack([np.concatenate(pair) for pair in zip(gate, up)])
        kept[target + "down_proj"] = "BF16", np.stack(down)
    return kept


def fused_experts():
    for family in ("qwen3_moe", "mixtral", "deepseek_v3"):
        work = fresh(f"fused_{family}")
        names = dict(moe="block_sparse_moe", parts=("w1", "w3", "w2")) if family == "mixtral" else {}
        write_model(work / "model", MODELS / family, fused(read_weights(MODELS / family), **names))
        prompts, wanted = golden_of(family)
        for ranks in (1, 3):
            tokens, _ = generate(work / "model", prompts, work, ranks)
            check((tokens == wanted).all(), f"{family}: {(tokens == wanted).sum()} of {wanted.size} tokens on {ranks} ranks")


def names_without_model():
    work = fresh("names")
    tensors = fused(read_weights(MODELS / "qwen3_moe"))
    prompts, wanted = golden_of("qwen3_moe")
    for number, body in enumerate(("", "model.language_model.")):
        renamed = {body + name.removeprefix("model.") if name.startswith("model.") else name: t for name, t in tensors.items()}
        write_model(work / f"model{number}", MODELS / "qwen3_moe", renamed)
        check((generate(work / f"model{number}", prompts, work, 0)[0] == wanted).all(), f"names under {body!r}")


def bf16_bits(values):
    """Rounds to nearest, ties to even."""
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def bf16_values(bits): return (bits.astype(np.uint32) << 16).view(np.float32)


def e4m3_values():
    code = np.arange(256)
    exponent, fraction = code >> 3 & 15, code & 7
    size = np.where(exponent == 0, fraction / 8 * 2.0 ** -6, (1 + fraction / 8) * 2.0 ** (exponent - 7.0))
    return np.where(code & 128, -size, size).astype(np.float32)


E4M3 = e4m3_values()


def to_codes(values):
    """The nearest code that is not NaN."""
    finite = np.array([c for c in range(256) if c & 127 != 127], np.uint8)
    order = finite[np.argsort(E4M3[finite], kind="stable")]
    middle = (E4M3[order][1:] + E4M3[order][:-1]) / 2
    return order[np.searchsorted(middle, values)]


def in_fp8(tensors, scale_shape, suffix, dtype):
    """(as stored, its twin in bf16 as numpy decodes it). scale_shape of a matrix: rows and columns of its scales, and the rows and
    columns that one scale covers."""
    stored, twin = {}, {}
    for name, (kind, bits) in tensors.items():
        if "_proj.weight" not in name:
            stored[name] = twin[name] = kind, bits
            continue
        (rows, columns), (block_rows, block_columns) = scale_shape(*bits.shape)
        spread = lambda s: s.repeat(block_rows, 0).repeat(block_columns, 1)[:bits.shape[0], :bits.shape[1]]
        values = bf16_values(bits)
        largest = np.zeros((rows, columns), np.float32)
        np.maximum.at(largest, (np.arange(bits.shape[0])[:, None] // block_rows, np.arange(bits.shape[1]) // block_columns),
                      np.abs(values))
        scale = largest / 448
        if dtype == "BF16": scale = bf16_values(bf16_bits(scale))
        codes = to_codes(values / spread(scale))
        stored[name] = "F8_E4M3", codes
        kept = scale if scale.size > 1 else scale.reshape(1)
        stored[name + suffix] = dtype, kept if dtype == "F32" else bf16_bits(kept)
        stored[name.replace("weight", "input_scale")] = "F32", np.array([0.25], np.float32)
        twin[name] = "BF16", bf16_bits(E4M3[codes] * spread(scale))
    return stored, twin


def compressed(**weights):
    return {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head", "re:.*mlp.gate$"],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": dict(num_bits=8, type="float", **weights)}}}


def one_fp8(name, config, scale_shape, suffix, dtype):
    source = MODELS / "qwen3_moe"
    work = fresh(f"fp8_{name}")
    stored, twin = in_fp8(read_weights(source), scale_shape, suffix, dtype)
    write_model(work / "stored", source, stored, quantization_config=config)
    write_model(work / "twin", source, twin)
    prompts, _ = golden_of("qwen3_moe")
    wanted = generate(work / "twin", prompts, work, 0)
    for ranks in (0, 3): check(same(generate(work / "stored", prompts, work, ranks), wanted), f"{name} on {ranks} ranks")


def fp8_scales():
    matrix = lambda rows, columns: ((1, 1), (rows, columns))
    row = lambda rows, columns: ((rows, 1), (1, columns))
    block = lambda rows, columns: ((-(-rows // 40), -(-columns // 24)), (40, 24))
    one_fp8("autofp8", {"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": ["lm_head"]}, matrix,
            "_scale", "F32")
    one_fp8("fbgemm", {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, row, "_scale", "F32")
    one_fp8("channel", compressed(strategy="channel"), row, "_scale", "BF16")
    one_fp8("tensor", compressed(strategy="tensor"), matrix, "_scale", "BF16")
    one_fp8("block", compressed(strategy="block", block_structure=[40, 24]), block, "_scale", "BF16")


def kept_or_decoded():
    """Held in the codes of the files or as bf16: the same bytes, whatever the kernels' instructions and the ranks."""
    for family in ("deepseek_v3_fp8", "gpt_oss_mxfp4"):
        work = fresh(f"kept_{family}")
        prompts, greedy = golden_of(family)
        wanted = generate(MODELS / family, prompts, work, 0, "model.keep_quantized=off")
        check((wanted[0] == greedy).all(), f"{family}: {(wanted[0] == greedy).sum()} of {greedy.size} tokens")
        for ranks in (0, 3): check(same(generate(MODELS / family, prompts, work, ranks), wanted), f"{family} on {ranks} ranks")
        for isa in instruction_sets(PROGRAM) - {"avx512"}:  # which is mostly what runs by itself
            os.environ["MOEMILL_ISA"] = isa
            check(same(generate(MODELS / family, prompts, work, 0), wanted), f"{family} with {isa} instructions")
        del os.environ["MOEMILL_ISA"]


def fp32_router():
    """With bf16's values stored in fp32 the bytes are those of bf16; with more precise values they are the same in any layout."""
    source = MODELS / "deepseek_v3"
    work = fresh("router")
    tensors = read_weights(source)
    wide, more = dict(tensors), dict(tensors)
    for name, (_, bits) in tensors.items():
        if not name.endswith("mlp.gate.weight"): continue
        wide[name] = "F32", bf16_values(bits)
        more[name] = "F32", (bf16_values(bits) * (1 + np.linspace(0, 2.0 ** -8, bits.size).reshape(bits.shape))).astype(np.float32)
    write_model(work / "wide", source, wide)
    write_model(work / "more", source, more)
    prompts, _ = golden_of("deepseek_v3")
    check(same(generate(work / "wide", prompts, work, 0), generate(source, prompts, work, 0)), "the same values in fp32")
    one = generate(work / "more", prompts, work, 0)
    check(not same(one, generate(source, prompts, work, 0)), "what bf16 has no room for counts")
    check(same(one, generate(work / "more", prompts, work, 3, "parallel.max_num_batched_tokens=33")), "3 ranks, small steps")


if __name__ == "__main__": main([fused_experts, names_without_model, fp8_scales, kept_or_decoded, fp32_router])
