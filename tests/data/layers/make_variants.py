#!/usr/bin/env python3
"""Small random models of every family with options and shapes that the public references do not have, and what Hugging
Face transformers computes with them. Needs torch, transformers and h5py; nothing at build or test time does.

    make_variants.py OUT [--kept | NAME ...]   all variants of variants.py, those kept in tests/data/variants, or some

OUT/NAME gets config.json, model.safetensors and golden.h5 (as make_goldens.py writes it, without a trace). The logits
are those of the bf16 weights computed in fp32, eager attention and experts. tests/data/variants keeps a few of them;
MOEMILL_GOLDENS=OUT test_layers -tc="models of the folder*" compares all.
"""
import json
import math
import pathlib
import shutil
import sys
import tempfile
import zlib

import h5py
import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from make_goldens import log_probabilities, put
from variants import KEPT, VARIANTS

STEPS = 12  # greedy tokens a prompt

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def draw(name, shape, transposed):
    """A weight whose size keeps activations of order one and routing spread but not even."""
    random = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    n = random.standard_normal(shape, dtype=np.float32)
    last = name.split(".")[-1]
    if "norm" in name: return np.exp(0.3 * n)
    if "e_score_correction_bias" in name: return 0.12 * n - 0.3
    if "sinks" in name: return 1 + 1.5 * n
    if last.endswith("bias"): return 0.4 * n
    if "embed_tokens" in name: return n
    inputs = shape[-2] if transposed else shape[-1]
    gains = {"lm_head": 2.5, "router": 2.2, ".gate.": 2.2, "shared_expert_gate": 2.2, "q_proj": 1.2, "k_proj": 1.2,
             "o_proj": 0.8, "down_proj": 0.5}
    gain = next((g for part, g in gains.items() if part in name), 1.2)
    return n * np.float32(gain / math.sqrt(inputs))


def load(folder, dtype):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager",
                                                 experts_implementation="eager")
    return model.eval().requires_grad_(False)


def write_weights(folder, scratch, config):
    """model.safetensors under the published names, in bf16 but for the correction bias. transformers writes them."""
    parsed = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(parsed)
    with torch.no_grad():
        for name, weight in model.state_dict().items():
            if not weight.is_floating_point(): continue
            fused = config["model_type"] == "gpt_oss" and weight.dim() == 3
            value = draw(name, tuple(weight.shape), fused)
            if "embed_tokens" in name and parsed.tie_word_embeddings: value *= 2.5 / math.sqrt(config["hidden_size"])
            weight.copy_(torch.from_numpy(np.asarray(value)))
    model.save_pretrained(scratch)
    tensors = {}
    for file in sorted(pathlib.Path(scratch).glob("*.safetensors")): tensors.update(load_file(file))
    keep_fp32 = ("e_score_correction_bias",)
    return {k: (v.float() if k.endswith(keep_fp32) else v.bfloat16()).contiguous() for k, v in tensors.items()}


def to_fp8(weight, block_rows, block_columns):
    """As stored, its scales, and the weight that they define."""
    rows, columns = weight.shape
    spread = lambda s: s.repeat_interleave(block_rows, 0).repeat_interleave(block_columns, 1)[:rows, :columns]
    scale = torch.tensor([[weight[i:i + block_rows, j:j + block_columns].float().abs().max() / 448
                           for j in range(0, columns, block_columns)] for i in range(0, rows, block_rows)])
    stored = (weight.float() / spread(scale)).to(torch.float8_e4m3fn)
    return stored, scale, (stored.float() * spread(scale)).bfloat16()


def quantize_fp8(tensors, block):
    stored, defined = {}, {}
    left = ("embed_tokens", "lm_head", "mlp.gate.")
    for name, weight in tensors.items():
        if weight.dim() != 2 or any(part in name for part in left):
            stored[name] = defined[name] = weight
        else:
            stored[name], stored[name + "_scale_inv"], defined[name] = to_fp8(weight, *block)
    return stored, defined


FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def to_mxfp4(weight):
    """[experts, inputs, outputs] to blocks and scales, output first, and the weight that they define."""
    experts, inputs, outputs = weight.shape
    groups = weight.float().transpose(1, 2).reshape(experts, outputs, inputs // 32, 32)
    exponent = torch.floor(torch.log2(groups.abs().amax(-1, keepdim=True))) - 2
    scaled = groups * torch.exp2(-exponent)
    code = (scaled.abs()[..., None] - FP4).abs().argmin(-1)
    value = FP4[code] * torch.where(groups < 0, -1.0, 1.0) * torch.exp2(exponent)
    nibble = (code + 8 * (groups < 0)).to(torch.uint8)
    blocks = nibble[..., 0::2] + 16 * nibble[..., 1::2]
    defined = value.reshape(experts, outputs, inputs).transpose(1, 2).contiguous().bfloat16()
    return blocks.contiguous(), (exponent[..., 0] + 127).to(torch.uint8).contiguous(), defined


def quantize_mxfp4(tensors):
    stored, defined = {}, {}
    for name, weight in tensors.items():
        if weight.dim() != 3:
            stored[name] = defined[name] = weight
        else:
            stored[name + "_blocks"], stored[name + "_scales"], defined[name] = to_mxfp4(weight)
    return stored, defined


def logits_of(model, tokens):
    with torch.inference_mode():
        return model(torch.tensor([tokens]), use_cache=False).logits[0].float().numpy()


def greedy(model, prompt):
    """Tokens, margins and log-probabilities, each step from the whole sequence, ties to the lowest id."""
    tokens, margins, logprobs = list(prompt), [], []
    for _ in range(STEPS):
        row = logits_of(model, tokens)[-1].astype(np.float64)
        first, second = np.sort(row)[::-1][:2]
        tokens.append(int(row.argmax()))
        margins.append(first - second)
        logprobs.append(first - (first + np.log(np.exp(row - first).sum())))
    return tokens[len(prompt):], margins, logprobs


def prompts_of(name, vocabulary, lengths):
    random = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) + 1))
    return [random.integers(3, vocabulary, n).tolist() for n in lengths]


def write_goldens(path, name, config, exact, rounded, lengths):
    prompts = prompts_of(name, config["vocab_size"], lengths)
    logits = [logits_of(exact, p) for p in prompts]
    errors = [np.abs(logits_of(rounded, p) - l) for p, l in zip(prompts, logits)]
    paths = [greedy(exact, p) for p in prompts]
    values, offsets = np.concatenate(prompts).astype(np.int32), np.cumsum([0] + [len(p) for p in prompts])
    with h5py.File(path, "w") as f:
        put(f, "prompts/values", values)
        put(f, "prompts/offsets", offsets.astype(np.uint64))
        put(f, "logits", np.concatenate(logits).astype(np.float16))
        put(f, "prompt_logprobs", log_probabilities(np.concatenate(logits), values, offsets))
        put(f, "greedy/token_ids", np.array([t for t, _, _ in paths], np.int32))
        put(f, "greedy/margin", np.array([m for _, m, _ in paths], np.float32))
        put(f, "greedy/logprob", np.array([l for _, _, l in paths], np.float32))
        put(f, "bf16_rms", np.array([np.sqrt((e.astype(np.float64) ** 2).mean()) for e in errors], np.float32))
        put(f, "bf16_median", np.array([np.median(e) for e in errors], np.float32))
    return np.concatenate(logits).std(), [float(np.sqrt((e ** 2).mean())) for e in errors]


def make(out, name, variant):
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    config = variant["config"]
    plain = {k: v for k, v in config.items() if k != "quantization_config"}

    def write_config(to, values): (to / "config.json").write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")

    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch) / "source"
        source.mkdir()
        write_config(source, plain)
        tensors = write_weights(source, scratch, config)
        stored = defined = tensors
        if "fp8" in variant: stored, defined = quantize_fp8(tensors, variant["fp8"])
        if "mxfp4" in variant: stored, defined = quantize_mxfp4(tensors)
        if "store" in variant: stored = {k: v.to(getattr(torch, variant["store"])) for k, v in tensors.items()}
        save_file(defined, source / "model.safetensors", metadata={"format": "pt"})
        exact, rounded = load(source, torch.float32), load(source, torch.bfloat16)
    write_config(folder, dict(config, model_type=variant["named"]))
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    spread, errors = write_goldens(folder / "golden.h5", name, config, exact, rounded, variant["lengths"])
    print(f"{name}: logits' deviation {spread:.2f}, bf16 errors {' '.join(f'{e:.3f}' for e in errors)}", flush=True)


def main():
    out, wanted = pathlib.Path(sys.argv[1]), sys.argv[2:] or list(VARIANTS)
    if wanted == ["--kept"]: wanted = KEPT
    for name in wanted:
        try:
            make(out, name, VARIANTS[name])
        except Exception as fault:  # some options transformers itself refuses
            print(f"{name}: transformers says {type(fault).__name__}: {fault}", flush=True)
            shutil.rmtree(out / name, ignore_errors=True)


if __name__ == "__main__":
    main()
