"""The variants that make_variants.py makes: for every family options and shapes that the public references lack. Keys
are those of the published config.json; a variant changes some of its family's small model."""

LENGTHS = [1, 9, 70, 100]  # of the prompts

YARN_DEEPSEEK = dict(type="yarn", factor=4, beta_fast=8, beta_slow=1, mscale=1.0, mscale_all_dim=1.0,
                     original_max_position_embeddings=64)
YARN_GPT_OSS = dict(rope_type="yarn", factor=8.0, beta_fast=4.0, beta_slow=1.0, truncate=False,
                    original_max_position_embeddings=64)
LINEAR = dict(rope_type="linear", factor=4.0)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)

COMMON = dict(hidden_act="silu", rms_norm_eps=1e-5, tie_word_embeddings=False, torch_dtype="bfloat16", vocab_size=200,
              max_position_embeddings=256, use_cache=True, attention_dropout=0.0, bos_token_id=1, eos_token_id=2)
QWEN = dict(COMMON, hidden_size=72, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=3,
            intermediate_size=104, moe_intermediate_size=36, num_experts=9, num_experts_per_tok=3,
            decoder_sparse_step=1, mlp_only_layers=[], rope_theta=10000.0, rope_scaling=None, max_window_layers=2,
            use_sliding_window=False, sliding_window=None)
MLA = dict(COMMON, hidden_size=72, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=6,
           q_lora_rank=40, kv_lora_rank=36, qk_nope_head_dim=20, qk_rope_head_dim=12, v_head_dim=16,
           intermediate_size=104, moe_intermediate_size=28, first_k_dense_replace=1, n_routed_experts=12,
           n_shared_experts=1, num_experts_per_tok=3, rope_theta=5000, rope_scaling=YARN_DEEPSEEK,
           attention_bias=False)
BASES = {
    "qwen3": dict(QWEN, model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"], head_dim=20,
                  norm_topk_prob=True, attention_bias=False),
    "qwen2": dict(QWEN, model_type="qwen2_moe", architectures=["Qwen2MoeForCausalLM"], norm_topk_prob=False,
                  shared_expert_intermediate_size=60),
    "olmoe": dict(COMMON, model_type="olmoe", architectures=["OlmoeForCausalLM"], hidden_size=72, num_hidden_layers=3,
                  num_attention_heads=6, num_key_value_heads=6, intermediate_size=40, num_experts=11,
                  num_experts_per_tok=4, norm_topk_prob=False, rope_theta=10000.0, rope_scaling=None, clip_qkv=None,
                  attention_bias=False, bos_token_id=None),
    "mixtral": dict(COMMON, model_type="mixtral", architectures=["MixtralForCausalLM"], hidden_size=72,
                    num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, intermediate_size=44,
                    num_local_experts=7, num_experts_per_tok=2, rope_theta=30000.0, sliding_window=None,
                    head_dim=12),
    "glm4": dict(COMMON, model_type="glm4_moe", architectures=["Glm4MoeForCausalLM"], hidden_size=72,
                 num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=3, head_dim=20, attention_bias=True,
                 intermediate_size=104, moe_intermediate_size=28, first_k_dense_replace=1, n_group=1, topk_group=1,
                 n_routed_experts=12, n_shared_experts=1, num_experts_per_tok=3, norm_topk_prob=True,
                 partial_rotary_factor=0.5, rope_theta=20000, rope_scaling=None, routed_scaling_factor=1.5,
                 use_qk_norm=True, num_nextn_predict_layers=0),
    "gpt_oss": dict(COMMON, model_type="gpt_oss", architectures=["GptOssForCausalLM"], hidden_size=72,
                    num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2, head_dim=16, attention_bias=True,
                    intermediate_size=40, num_local_experts=7, num_experts_per_tok=3, sliding_window=16,
                    layer_types=["sliding_attention", "full_attention"] * 2, rope_theta=15000,
                    rope_scaling=YARN_GPT_OSS, swiglu_limit=7.0),
    "v3": dict(MLA, model_type="deepseek_v3", architectures=["DeepseekV3ForCausalLM"], n_group=4, topk_group=2,
               norm_topk_prob=True, routed_scaling_factor=2.5, scoring_func="sigmoid", topk_method="noaux_tc",
               moe_layer_freq=1, num_nextn_predict_layers=0),
    "v2": dict(MLA, model_type="deepseek_v2", architectures=["DeepseekV2ForCausalLM"], n_group=1, topk_group=1,
               norm_topk_prob=False, routed_scaling_factor=1.0, scoring_func="softmax", topk_method="greedy",
               moe_layer_freq=1),
}

VARIANTS = {}


def add(base, name, lengths=LENGTHS, without=(), named=None, fp8=None, mxfp4=None, store=None, **changes):
    """without: keys left out; named: model_type of the file, by which transformers does not know it; fp8: rows and
    columns of a scale; store: dtype of the file."""
    config = {k: v for k, v in dict(BASES[base], **changes).items() if k not in without}
    variant = dict(config=config, lengths=lengths, named=named or config["model_type"])
    if fp8:
        variant["fp8"] = fp8
        config["quantization_config"] = dict(quant_method="fp8", fmt="e4m3", activation_scheme="dynamic",
                                             weight_block_size=list(fp8))
    if mxfp4:
        variant["mxfp4"] = True
        config["quantization_config"] = dict(quant_method="mxfp4", modules_to_not_convert=[
            "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"])
    if store:
        variant["store"] = store
        config["torch_dtype"] = store
    VARIANTS[f"{base}_{name}"] = variant


# A norm over all heads is as wide as the hidden state, so OLMoE's heads cannot be wider or narrower than it.
def heads(family, count, key_value, dim):
    size = dict(num_attention_heads=count, num_key_value_heads=key_value)
    return dict(size, hidden_size=count * dim) if family == "olmoe" else dict(size, head_dim=dim)


GQA = ("qwen3", "qwen2", "olmoe", "mixtral", "glm4", "gpt_oss")
for family in BASES: add(family, "base")
# Rotation.
for family in GQA:
    add(family, "linear", rope_scaling=LINEAR)
    add(family, "llama3", rope_scaling=LLAMA3)
    add(family, "yarn", rope_scaling=YARN)
    add(family, "yarn_type", rope_scaling=dict(YARN, type="yarn", beta_fast=16, beta_slow=2))
    add(family, "theta", rope_theta=500.0)
    add(family, "parameters", without=("rope_theta", "rope_scaling"),
        rope_parameters=dict(YARN, rope_theta=9000.0, attention_factor=1.3))
    add(family, "no_theta", without=("rope_theta",))
    add(family, "yarn_mscale", rope_scaling=dict(YARN, mscale=0.707, mscale_all_dim=0.5))
    if family not in ("olmoe", "gpt_oss"):  # transformers itself fails there
        add(family, "partial", partial_rotary_factor=0.25 if family == "glm4" else 0.5, head_dim=24)
add("gpt_oss", "truncate", rope_scaling=dict(YARN_GPT_OSS, truncate=True))
add("gpt_oss", "no_truncate_key", rope_scaling={k: v for k, v in YARN_GPT_OSS.items() if k != "truncate"})
add("gpt_oss", "no_scaling", rope_scaling=None)
add("gpt_oss", "default_scaling", without=("rope_scaling", "rope_theta"))
add("gpt_oss", "magnitude", rope_scaling=dict(YARN_GPT_OSS, attention_factor=1.0))
add("gpt_oss", "dynamic", rope_scaling=dict(rope_type="dynamic", factor=2.0))
add("qwen3", "dynamic", rope_scaling=dict(rope_type="dynamic", factor=2.0))
add("qwen3", "longrope", rope_scaling=dict(rope_type="longrope", factor=2.0, short_factor=[1.0] * 10,
                                           long_factor=[2.0] * 10, original_max_position_embeddings=64))
for family in ("v3", "v2"):
    add(family, "plain_rope", rope_scaling=None)
    add(family, "linear", rope_scaling=LINEAR)
    add(family, "llama3", rope_scaling=LLAMA3)
    add(family, "yarn_other_mscale", rope_scaling=dict(YARN_DEEPSEEK, mscale=0.5, mscale_all_dim=0.9))
    add(family, "yarn_mscale_alone", rope_scaling={k: v for k, v in YARN_DEEPSEEK.items() if k != "mscale_all_dim"})
    add(family, "yarn_all_dim_alone", rope_scaling={k: v for k, v in YARN_DEEPSEEK.items() if k != "mscale"})
    add(family, "yarn_no_mscale", rope_scaling=YARN)
    add(family, "yarn_untruncated", rope_scaling=dict(YARN_DEEPSEEK, truncate=False))
    add(family, "parameters", without=("rope_theta", "rope_scaling"),
        rope_parameters=dict({k: v for k, v in YARN_DEEPSEEK.items() if k != "type"}, rope_type="yarn", rope_theta=900))
    add(family, "no_q_lora", q_lora_rank=None)
    add(family, "tied", tie_word_embeddings=True)
    add(family, "attention_bias", attention_bias=True)
    add(family, "no_shared", n_shared_experts=0)
    add(family, "shared_2", n_shared_experts=2)
    add(family, "no_dense", first_k_dense_replace=0)
    add(family, "dense_2", first_k_dense_replace=2, num_hidden_layers=4)
    add(family, "heads_36", num_attention_heads=36, num_key_value_heads=36, q_lora_rank=12,
        qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5)
    add(family, "odd_shapes", hidden_size=104, num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=33, q_lora_rank=17, qk_nope_head_dim=7, qk_rope_head_dim=6,
        v_head_dim=11, moe_intermediate_size=33, intermediate_size=71, vocab_size=201)
    add(family, "eps", rms_norm_eps=0.05)
    add(family, "scale", routed_scaling_factor=0.7)
add("v3", "ungrouped", n_group=1, topk_group=1)
add("v3", "groups_6", n_group=6, topk_group=3)
add("v3", "unnormalised", norm_topk_prob=False)
add("v3", "halves", rope_interleave=False)
add("v3", "kimi", named="kimi_k2", n_group=1, topk_group=1)
add("v2", "grouped", topk_method="group_limited_greedy", n_group=4, topk_group=2)
add("v2", "grouped_scaled", topk_method="group_limited_greedy", n_group=3, topk_group=1, routed_scaling_factor=16.0)
add("v2", "normalised", norm_topk_prob=True)
add("v2", "mlp_bias", mlp_bias=True)
# Heads and shapes.
for family in GQA:
    add(family, "group_1", **heads(family, 4, 4, 18))
    add(family, "group_3", **heads(family, 6, 2, 18))
    add(family, "group_8", **heads(family, 8, 1, 18))
    add(family, "heads_36", **heads(family, 36, 4, 6))
    if family in ("olmoe", "gpt_oss", "glm4"): add(family, "no_kv_heads", num_key_value_heads=None)
    add(family, "no_kv_heads_key", without=("num_key_value_heads",), num_attention_heads=16, hidden_size=80)
    add(family, "wide_heads", **heads(family, 3, 3, 48))
    add(family, "odd_shapes", hidden_size=104, num_attention_heads=4, num_key_value_heads=2, head_dim=26,
        vocab_size=201, intermediate_size=71, **({"moe_intermediate_size": 33} if family in ("qwen3", "qwen2", "glm4") else {}))
    add(family, "tied", tie_word_embeddings=True)
    add(family, "attention_bias", attention_bias=True)
    add(family, "no_attention_bias", attention_bias=False)
    add(family, "eps", rms_norm_eps=0.05)
    add(family, "one_pick", num_experts_per_tok=1)
    add(family, "window_12", sliding_window=12)
    add(family, "window_64", sliding_window=64, lengths=[1, 64, 70, 140])
for family in ("qwen3", "mixtral"): add(family, "no_head_dim", without=("head_dim",))
# Routing and MLPs.
add("qwen3", "unnormalised", norm_topk_prob=False)
add("qwen3", "no_norm_key", without=("norm_topk_prob",))
add("qwen2", "normalised", norm_topk_prob=True)
add("olmoe", "normalised", norm_topk_prob=True)
add("glm4", "unnormalised", norm_topk_prob=False)
add("mixtral", "jitter", router_jitter_noise=0.1)
for family in ("qwen3", "qwen2"):
    add(family, "sparse_step_2", decoder_sparse_step=2, num_hidden_layers=4)
    add(family, "sparse_step_3_only", decoder_sparse_step=3, num_hidden_layers=6, mlp_only_layers=[5])
    add(family, "all_picks", num_experts=4, num_experts_per_tok=4)
    add(family, "window", use_sliding_window=True, sliding_window=12, max_window_layers=2)
    add(family, "window_late", use_sliding_window=True, sliding_window=12, max_window_layers=0)
    add(family, "window_all", use_sliding_window=True, sliding_window=24, max_window_layers=3)
    add(family, "layer_types", use_sliding_window=True, sliding_window=12,
        layer_types=["full_attention", "sliding_attention", "full_attention"])
    add(family, "window_off", use_sliding_window=False, sliding_window=12)
add("qwen2", "qkv_bias", qkv_bias=True)
add("qwen2", "no_qkv_bias", qkv_bias=False)
add("qwen2", "shared_width", shared_expert_intermediate_size=33)
add("olmoe", "clip", clip_qkv=0.7)
add("glm4", "no_qk_norm", use_qk_norm=False)
add("glm4", "no_qk_norm_key", without=("use_qk_norm", "attention_bias"))
add("glm4", "groups", n_group=2, topk_group=1)
add("glm4", "groups_4", n_group=4, topk_group=3, norm_topk_prob=False)
add("glm4", "no_rotary_key", without=("partial_rotary_factor",))
add("glm4", "full_rotary", partial_rotary_factor=1.0)
add("glm4", "shared_2", n_shared_experts=2)
add("glm4", "no_shared", n_shared_experts=0)
add("glm4", "no_dense", first_k_dense_replace=0)
add("gpt_oss", "other_layers", layer_types=["full_attention", "full_attention", "sliding_attention", "full_attention"])
add("gpt_oss", "all_windows", layer_types=["sliding_attention"] * 4)
add("gpt_oss", "no_windows", layer_types=["full_attention"] * 4)
add("gpt_oss", "default_layers", without=("layer_types",))
add("gpt_oss", "limit", swiglu_limit=0.8)
add("gpt_oss", "alpha", swiglu_alpha=1.2)
add("gpt_oss", "no_limit_key", without=("swiglu_limit",))
# Storage.
add("v3", "fp8_128", fp8=(128, 128), hidden_size=136)
add("v3", "fp8_64_32", fp8=(64, 32))
add("v2", "fp8_16_24", fp8=(16, 24), q_lora_rank=None)
add("qwen3", "fp8_64_32", fp8=(64, 32))
add("glm4", "fp8_32_48", fp8=(32, 48))
add("mixtral", "fp8_20_20", fp8=(20, 20))
add("gpt_oss", "mxfp4", mxfp4=True, hidden_size=96, intermediate_size=32)
add("gpt_oss", "mxfp4_wide", mxfp4=True, hidden_size=64, intermediate_size=96, num_local_experts=5)
add("mixtral", "float16", store="float16")
add("qwen3", "float32", store="float32")
add("gpt_oss", "float16", store="float16")
# Small ones that tests/data/variants keeps, each with many of these at once.
KEPT = []


def keep(base, name, **changes):
    add(base, name, lengths=[1, 9, 40, 80], **dict(dict(vocab_size=104, num_hidden_layers=2), **changes))
    KEPT.append(f"{base}_{name}")


keep("qwen3", "kept", hidden_size=40, head_dim=10, num_attention_heads=8, num_key_value_heads=1, attention_bias=True,
     norm_topk_prob=False, use_sliding_window=True, sliding_window=12, rope_scaling=LLAMA3, tie_word_embeddings=True,
     num_experts=5, moe_intermediate_size=20, fp8=(24, 16), rms_norm_eps=0.01)
keep("qwen2", "kept", hidden_size=36, num_attention_heads=3, num_key_value_heads=3, num_hidden_layers=4,
     norm_topk_prob=True, decoder_sparse_step=2, intermediate_size=28, moe_intermediate_size=20, num_experts=4,
     shared_expert_intermediate_size=28, rope_scaling=LINEAR, use_sliding_window=True, sliding_window=7,
     max_window_layers=2, qkv_bias=False)
keep("olmoe", "kept", hidden_size=72, num_attention_heads=36, num_key_value_heads=4, intermediate_size=12, num_experts=4,
     num_experts_per_tok=2, norm_topk_prob=True, attention_bias=True, clip_qkv=0.8, rope_scaling=YARN)
keep("mixtral", "kept", hidden_size=40, head_dim=18, num_attention_heads=3, num_key_value_heads=3, intermediate_size=20,
     num_local_experts=5, sliding_window=12, rope_scaling=LLAMA3, tie_word_embeddings=True, store="float16")
keep("glm4", "kept", hidden_size=40, head_dim=16, num_attention_heads=6, num_key_value_heads=2, use_qk_norm=False,
     attention_bias=False, n_group=2, topk_group=1, n_routed_experts=6, moe_intermediate_size=12, n_shared_experts=2,
     intermediate_size=28, partial_rotary_factor=0.25, rope_scaling=LINEAR, fp8=(16, 24))
keep("gpt_oss", "kept", hidden_size=64, head_dim=12, num_attention_heads=4, num_key_value_heads=1, num_hidden_layers=3,
     intermediate_size=32, num_local_experts=4, num_experts_per_tok=2, attention_bias=False, swiglu_limit=0.8,
     layer_types=["full_attention", "sliding_attention", "sliding_attention"],
     rope_scaling=dict(YARN_GPT_OSS, truncate=True), tie_word_embeddings=True, mxfp4=True)
keep("v3", "kept_plain_rope", hidden_size=40, q_lora_rank=None, rope_scaling=None, tie_word_embeddings=True, n_group=1, topk_group=1,
     n_routed_experts=7, kv_lora_rank=20, qk_nope_head_dim=8, qk_rope_head_dim=6, v_head_dim=10,
     moe_intermediate_size=12, intermediate_size=28, rope_interleave=False, norm_topk_prob=False,
     num_attention_heads=4, num_key_value_heads=4)
keep("v2", "kept_grouped", hidden_size=40, topk_method="group_limited_greedy", n_group=3, topk_group=2, n_routed_experts=6,
     routed_scaling_factor=4.0, q_lora_rank=12, kv_lora_rank=20, qk_nope_head_dim=8, qk_rope_head_dim=6, v_head_dim=10,
     moe_intermediate_size=12, intermediate_size=28, first_k_dense_replace=0,
     rope_scaling=dict(YARN_DEEPSEEK, mscale=0.5, mscale_all_dim=0.9), num_attention_heads=4, num_key_value_heads=4)
