#include "expected.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

std::vector<bool> moe_layers(const fs::path& from, const char* patch) {
  return read_patched(from, Json::parse(patch)).layer_is_moe;
}

}  // namespace

TEST_CASE("Qwen3-MoE: the reference") {
  ModelConfig c = read_reference(qwen3);
  CHECK(c.attention == AttentionKind::Grouped);
  CHECK(c.gqa.heads == 6);
  CHECK(c.gqa.kv_heads == 2);
  CHECK(c.gqa.head_dim == 24);
  CHECK(c.gqa.qk_norm == QkNorm::PerHead);
  CHECK_FALSE(c.gqa.qkv_bias);
  CHECK_FALSE(c.gqa.out_bias);
  CHECK(c.gqa.window == 0);
  CHECK(c.norm_eps == 1e-6f);
  CHECK(c.vocabulary == 368);
  CHECK(c.layer_is_moe == std::vector<bool>(3, true));
  CHECK(c.moe.experts == 10);
  CHECK(c.moe.picks == 3);
  CHECK(c.moe.expert_width == 40);
  CHECK(c.moe.shared_width == 0);
  CHECK(c.moe.score == RouterScore::Softmax);
  CHECK(c.moe.normalize);
  CHECK(c.moe.normalize_eps == 0);
  CHECK(c.names.moe == "mlp");
  CHECK(c.names.router == "gate");
  // As transformers 5.23 computes them from this config.json.
  CHECK(c.rope.dim == 24);
  CHECK(c.rope.pairs == RotaryPairs::Halves);
  check_close(c.rope.frequencies,
              {1.0, 0.3831186890602112, 0.14677992463111877, 0.05623412877321243, 0.02154434472322464,
               0.008254042826592922, 0.003162277862429619, 0.001211527967825532, 0.00046415874385274947,
               0.00017782794020604342, 6.812922219978645e-05, 2.610156479931902e-05});
  CHECK(c.gqa.softmax_scale == near(0.2041241452319315));
}

TEST_CASE("Qwen2-MoE: the reference") {
  ModelConfig c = read_reference(qwen2);
  CHECK(c.gqa.heads == 6);
  CHECK(c.gqa.kv_heads == 3);
  CHECK(c.gqa.head_dim == 12);
  CHECK(c.gqa.qkv_bias);  // there is no key for it in published files
  CHECK_FALSE(c.gqa.out_bias);
  CHECK(c.gqa.qk_norm == QkNorm::None);
  CHECK(c.gqa.window == 0);  // sliding_window is 16, but use_sliding_window is false
  CHECK(c.gqa.layer_has_window.empty());
  CHECK(c.layer_is_moe == std::vector<bool>{true, false, true, true});
  CHECK(c.dense_width == 104);
  CHECK(c.moe.experts == 9);
  CHECK(c.moe.picks == 4);
  CHECK(c.moe.expert_width == 28);
  CHECK(c.moe.shared_width == 52);
  CHECK(c.moe.shared_gate);
  CHECK_FALSE(c.moe.normalize);
  CHECK(c.names.shared == "shared_expert");
  check_close(c.rope.frequencies, {1.0, 0.19193829596042633, 0.03684031218290329, 0.0070710680447518826,
                                   0.0013572084717452526, 0.00026050041196867824});
  CHECK(c.gqa.softmax_scale == near(0.28867513459481287));
}

TEST_CASE("Qwen: which layers are MoE") {
  using Layers = std::vector<bool>;
  CHECK(moe_layers(qwen2, R"({"decoder_sparse_step": 2, "mlp_only_layers": []})") == Layers{false, true, false, true});
  CHECK(moe_layers(qwen2, R"({"decoder_sparse_step": 2})") == Layers{false, false, false, true});
  CHECK(moe_layers(qwen2, R"({"decoder_sparse_step": 3, "mlp_only_layers": null})") ==
        Layers{false, false, true, false});
  CHECK(moe_layers(qwen2, R"({"decoder_sparse_step": 5})") == Layers{false, false, false, false});
  CHECK(moe_layers(qwen2, R"({"mlp_only_layers": [0, 3, 4, -1, 99]})") == Layers{false, true, true, false});
  CHECK(moe_layers(qwen3, R"({"mlp_only_layers": [0]})") == Layers{false, true, true});
  CHECK(moe_layers(qwen3, R"({"decoder_sparse_step": null})") == Layers{true, true, true});
  CHECK(read_with(qwen3, {{"mlp_only_layers", nullptr}}).layer_is_moe == Layers{true, true, true});
}

TEST_CASE("Qwen2-MoE: windows as transformers 5.23 gives them") {
  using Layers = std::vector<bool>;
  ModelConfig c = read_patched(qwen2, {{"use_sliding_window", true}, {"max_window_layers", 3}});
  CHECK(c.gqa.window == 16);
  CHECK(c.gqa.layer_has_window == Layers{true, false, true, false});
  CHECK(read_patched(qwen2, {{"use_sliding_window", true}}).gqa.layer_has_window == Layers{true, false, false, false});
  ModelConfig none = read_patched(qwen2, {{"use_sliding_window", true}, {"max_window_layers", 0}});
  CHECK(none.gqa.window == 0);
  CHECK(none.gqa.layer_has_window.empty());

  Json types = {"full_attention", "sliding_attention", "sliding_attention", "full_attention"};
  CHECK(read_patched(qwen2, {{"use_sliding_window", true}, {"layer_types", types}}).gqa.layer_has_window ==
        Layers{false, true, true, false});
  CHECK(read_patched(qwen2, {{"layer_types", Json(4, "full_attention")}, {"sliding_window", 0}}).gqa.window == 0);
  CHECK(read_patched(qwen2, {{"use_sliding_window", true}, {"sliding_window", nullptr}}).gqa.window == 4096);
}

TEST_CASE("Qwen3-MoE: a window is on every layer or on none") {
  ModelConfig c = read_patched(qwen3, {{"use_sliding_window", true}, {"sliding_window", 16}, {"max_window_layers", 1}});
  CHECK(c.gqa.window == 16);
  CHECK(c.gqa.layer_has_window == std::vector<bool>(3, true));
  CHECK(read_patched(qwen3, {{"sliding_window", 16}}).gqa.window == 0);
  CHECK(read_patched(qwen3, {{"use_sliding_window", true}, {"sliding_window", nullptr}}).gqa.window == 4096);
  CHECK(read_with(qwen3, {{"use_sliding_window", true}, {"sliding_window", nullptr}}).gqa.window == 0);
  CHECK(read_patched(qwen3, {{"layer_types", Json(3, "full_attention")}}).gqa.window == 0);
}

TEST_CASE("Qwen: options and what absent keys mean") {
  CHECK_FALSE(read_patched(qwen2, {{"qkv_bias", false}}).gqa.qkv_bias);
  CHECK_FALSE(read_with(qwen2, {{"qkv_bias", nullptr}}).gqa.qkv_bias);
  CHECK(read_patched(qwen2, {{"head_dim", 20}}).gqa.head_dim == 20);
  CHECK(read_patched(qwen2, {{"norm_topk_prob", true}}).moe.normalize);
  ModelConfig unshared = read_patched(qwen2, {{"shared_expert_intermediate_size", 0}});
  CHECK(unshared.moe.shared_width == 0);
  CHECK_FALSE(unshared.moe.shared_gate);
  CHECK(read_patched(qwen2, {{"shared_expert_intermediate_size", nullptr}}).moe.shared_width == 5632);
  CHECK(read_patched(qwen2, {{"num_experts", nullptr}}).moe.experts == 60);

  ModelConfig biased = read_patched(qwen3, {{"attention_bias", true}});
  CHECK(biased.gqa.qkv_bias);
  CHECK(biased.gqa.out_bias);
  CHECK_FALSE(read_patched(qwen3, {{"norm_topk_prob", nullptr}}).moe.normalize);
  CHECK(read_patched(qwen3, {{"head_dim", nullptr}}).gqa.head_dim == 16);
  CHECK(read_with(qwen3, {{"head_dim", nullptr}}).gqa.head_dim == 16);
  CHECK(read_patched(qwen3, {{"num_key_value_heads", nullptr}, {"num_attention_heads", 8}}).gqa.kv_heads == 4);
  CHECK(read_patched(qwen3, {{"num_experts_per_tok", nullptr}}).moe.picks == 8);
  CHECK(read_patched(qwen3, {{"tie_word_embeddings", true}}).tied_embeddings);
  CHECK(read_patched(qwen3, {{"rms_norm_eps", nullptr}}).norm_eps == 1e-6f);
}

TEST_CASE("Qwen3-MoE: as transformers 5 saves it") {
  Json saved = {{"num_experts", nullptr},
                {"num_local_experts", 10},
                {"rope_scaling", nullptr},
                {"rope_theta", nullptr},
                {"rope_parameters", {{"rope_theta", 100000.0}, {"rope_type", "default"}}},
                {"torch_dtype", nullptr},
                {"dtype", "bfloat16"}};
  ModelConfig c = read_patched(qwen3, saved);
  CHECK(c.moe.experts == 10);
  CHECK(c.rope.frequencies == read_reference(qwen3).rope.frequencies);
  CHECK(read_patched(qwen3, {{"num_local_experts", 10}}).moe.experts == 10);  // both, and equal
}

TEST_CASE("Qwen: YaRN as published for long contexts") {
  Json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 128}};
  ModelConfig c = read_patched(qwen3, {{"rope_scaling", yarn}});
  check_close(c.rope.frequencies,
              {1.0, 0.3112839460372925, 0.09173744916915894, 0.024602431803941727, 0.00538608618080616,
               0.0020635107066482306, 0.0007905694656074047, 0.000302881991956383, 0.00011603968596318737,
               4.4456985051510856e-05, 1.7032305549946614e-05, 6.525391199829755e-06});
  CHECK(c.rope.magnitude == near(1.138629436111989));
  Json both = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 64},
               {"rope_theta", 1e6},   {"mscale", 0.7}, {"mscale_all_dim", 1.0}};
  ModelConfig m = read_patched(qwen2, {{"rope_theta", nullptr}, {"rope_parameters", both}});
  check_close(m.rope.frequencies, {1.0, 0.0624999962747097, 0.002499999711290002, 0.0002500000118743628,
                                   2.4999992092489265e-05, 2.5000008463393897e-06});
  CHECK(m.rope.magnitude == near(0.9634746568860826));
  CHECK(m.gqa.softmax_scale == near(0.28867513459481287));
}

TEST_CASE("Qwen: what is refused, by key") {
  check_refused(
      qwen2,
      {{R"({"decoder_sparse_step": 0})", {"decoder_sparse_step", "is 0"}},
       {R"({"mlp_only_layers": 1})", {"mlp_only_layers", "list"}},
       {R"({"mlp_only_layers": ["1"]})", {"mlp_only_layers", "list of layer indices"}},
       {R"({"mlp_only_layers": [1.5]})", {"mlp_only_layers"}},
       {R"({"use_sliding_window": 1})", {"use_sliding_window", "true or false"}},
       {R"({"use_sliding_window": true, "sliding_window": 0})", {"sliding_window", "is 0"}},
       {R"({"layer_types": ["sliding_attention", "full_attention", "full_attention", "full_attention"]})",
        {"layer_types", "use_sliding_window"}},
       {R"({"layer_types": ["full_attention", "full_attention"]})", {"layer_types", "4 layers"}},
       {R"({"attention_bias": true})", {"attention_bias"}},
       {R"({"shared_expert_intermediate_size": -1})", {"shared_expert_intermediate_size", "-1"}},
       {R"({"num_experts": 0})", {"num_experts", "is 0"}},
       {R"({"num_experts_per_tok": 10})", {"num_experts_per_tok", "1 to 9"}},
       {R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})", {"full_attention", "layer type"}},
       {R"({"hidden_act": "gelu"})", {"hidden_act", "gelu"}}});
  check_contains(user_error_of([] {
                   read_with(qwen2, {{"use_sliding_window", true}, {"sliding_window", nullptr}});
                 }),
                 {"sliding_window", "null"});
  check_refused(
      qwen3,
      {{R"({"layer_types": ["full_attention", "full_attention", "sliding_attention"]})", {"layer_types"}},
       {R"({"num_local_experts": 11})", {"num_local_experts", "11", "num_experts"}},
       {R"({"head_dim": 23})", {"head_dim", "23", "even"}},
       {R"({"num_key_value_heads": 4})", {"num_key_value_heads", "divisor of the 6"}},
       {R"({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}})", {"rope_scaling.rope_type", "dynamic"}},
       {R"({"quantization_config": {"quant_method": "awq"}})", {"quantization_config.quant_method", "awq", "fp8"}}});
}
