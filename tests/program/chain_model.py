"""A model folder with known answers: token a is always followed by token chain[a] (greedy). One layer that adds nothing, embeddings with
a single 1 each, and an output matrix that encodes the chain. Needs numpy; for tests only."""
import json
import struct

import numpy as np


def write_safetensors(path, tensors):
    """{name: array of 0 and 1} in BF16."""
    header, parts, at = {}, [], 0
    for name, values in tensors.items():
        data = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(parts))


def write_chain_model(folder, size, chain, tokenizer=None, eos=(), more=None):
    """`size` tokens; `chain` is {token: the next}; `tokenizer` the content of tokenizer.json; `more` {file name: object}."""
    folder.mkdir(parents=True, exist_ok=True)
    hidden = -(-size // 64) * 64
    config = {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "attention_bias": False,
              "eos_token_id": list(eos), "head_dim": 16, "hidden_act": "silu", "hidden_size": hidden,
              "intermediate_size": 32, "max_position_embeddings": 512, "mlp_only_layers": [], "decoder_sparse_step": 1,
              "moe_intermediate_size": 16, "norm_topk_prob": True, "num_attention_heads": 2, "num_experts": 4,
              "num_experts_per_tok": 2, "num_hidden_layers": 1, "num_key_value_heads": 1, "rms_norm_eps": 1e-6,
              "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": size}
    embed, head = np.zeros((size, hidden)), np.zeros((size, hidden))
    for token in range(size): embed[token, token] = 1
    for token, following in chain.items(): head[following, token] = 1
    layer, zeros, ones = "model.layers.0.", lambda *shape: np.zeros(shape), lambda n: np.ones(n)
    tensors = {"model.embed_tokens.weight": embed, "lm_head.weight": head, "model.norm.weight": ones(hidden),
               layer + "input_layernorm.weight": ones(hidden), layer + "post_attention_layernorm.weight": ones(hidden),
               layer + "self_attn.q_proj.weight": zeros(32, hidden), layer + "self_attn.k_proj.weight": zeros(16, hidden),
               layer + "self_attn.v_proj.weight": zeros(16, hidden), layer + "self_attn.o_proj.weight": zeros(hidden, 32),
               layer + "self_attn.q_norm.weight": ones(16), layer + "self_attn.k_norm.weight": ones(16),
               layer + "mlp.gate.weight": zeros(4, hidden)}
    for expert in range(4):
        for name, shape in (("gate_proj", (16, hidden)), ("up_proj", (16, hidden)), ("down_proj", (hidden, 16))):
            tensors[f"{layer}mlp.experts.{expert}.{name}.weight"] = zeros(*shape)
    write_safetensors(folder / "model.safetensors", tensors)
    files = {"config.json": config, **({"tokenizer.json": tokenizer} if tokenizer else {}), **(more or {})}
    for name, content in files.items(): (folder / name).write_text(json.dumps(content, ensure_ascii=False))
    return folder


def added(id, content, special=True):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": special}


def sentencepiece_tokenizer(words, special):
    """A tokenizer like Mixtral's: ▁ for the space, one at the beginning of the text, bytes for unknown characters. `special` tokens come
    first, then <0x00> to <0xFF>, then the words, which merges must build letter by letter."""
    pieces = list(special) + [f"<0x{b:02X}>" for b in range(256)]
    merges = []
    for word in words:
        for letter in word:
            if letter not in pieces: pieces.append(letter)
        for end in range(2, len(word) + 1):
            if word[:end] not in pieces:
                pieces.append(word[:end])
                merges.append([word[:end - 1], word[end - 1]])
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    return {"version": "1.0", "added_tokens": [added(i, name) for i, name in enumerate(special)],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
            "pre_tokenizer": None,
            "post_processor": {"type": "TemplateProcessing",
                               "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                               "special_tokens": {"<s>": {"id": "<s>", "ids": [vocabulary["<s>"]], "tokens": ["<s>"]}}},
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True, "vocab": vocabulary,
                      "merges": merges}}
