#include "expected.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

const std::vector<bool> alternate = {true, false, true, false};

}  // namespace

TEST_CASE("gpt-oss: the reference") {
  ModelConfig c = read_reference(gpt_oss);
  CHECK(c.attention == AttentionKind::Grouped);
  CHECK(c.gqa.heads == 6);
  CHECK(c.gqa.kv_heads == 2);
  CHECK(c.gqa.head_dim == 16);
  CHECK(c.gqa.qkv_bias);
  CHECK(c.gqa.out_bias);
  CHECK(c.gqa.sinks);
  CHECK(c.gqa.qk_norm == QkNorm::None);
  CHECK(c.gqa.window == 16);
  CHECK(c.gqa.layer_has_window == alternate);
  CHECK(windowed_layers(c) == 2);
  CHECK(c.norm_eps == 1e-5f);
  CHECK(c.layer_is_moe == std::vector<bool>(4, true));
  CHECK(c.moe.experts == 7);
  CHECK(c.moe.picks == 3);
  CHECK(c.moe.expert_width == 40);
  CHECK(c.moe.shared_width == 0);
  CHECK(c.moe.score == RouterScore::SoftmaxOfPicks);
  CHECK(c.moe.router_bias);
  CHECK(c.moe.expert_bias);
  CHECK_FALSE(c.moe.selection_bias);
  CHECK_FALSE(c.moe.normalize);
  CHECK(c.moe.activation == Activation::ClampedSilu);
  CHECK(c.moe.activation_limit == 7.0f);
  CHECK(c.names.moe == "mlp");
  CHECK(c.names.router == "router");
  CHECK(c.names.experts == ExpertStorage::Fused);
  CHECK(c.quantization.format == WeightFormat::Plain);
  // As transformers 5.23 computes them from this config.json.
  CHECK(c.rope.dim == 16);
  CHECK(c.rope.pairs == RotaryPairs::Halves);
  check_close(c.rope.frequencies,
              {1.0, 0.24989114701747894, 0.011295025236904621, 0.0033952814992517233, 0.0010206206934526563,
               0.0003067983197979629, 9.222349763149396e-05, 2.772235711745452e-05});
  CHECK(c.rope.magnitude == near(1.2079441541679836));
  CHECK(c.gqa.softmax_scale == 0.25f);  // YaRN's magnitude is on cos and sin alone
}

TEST_CASE("gpt-oss: what absent keys mean") {
  ModelConfig c =
      read_without(gpt_oss, {"rope_scaling", "rope_theta", "layer_types", "sliding_window", "attention_bias",
                             "swiglu_limit", "rms_norm_eps", "num_attention_heads", "num_key_value_heads", "head_dim",
                             "num_local_experts", "num_experts_per_tok", "intermediate_size"});
  CHECK(c.gqa.heads == 64);
  CHECK(c.gqa.kv_heads == 8);
  CHECK(c.gqa.head_dim == 64);
  CHECK(c.gqa.qkv_bias);
  CHECK(c.gqa.window == 128);
  CHECK(c.gqa.layer_has_window == alternate);
  CHECK(c.norm_eps == 1e-5f);
  CHECK(c.moe.experts == 128);
  CHECK(c.moe.picks == 4);
  CHECK(c.moe.expert_width == 2880);
  CHECK(c.moe.activation_limit == 7.0f);

  ModelConfig rope = read_patched(gpt_oss, {{"rope_scaling", nullptr}, {"rope_theta", nullptr}});
  const std::vector<double> published = {1.0,
                                         0.22541800141334534,
                                         0.05081327259540558,
                                         0.006794959306716919,
                                         0.0004564839182421565,
                                         1.818833698052913e-05,
                                         4.099978468730114e-06,
                                         9.242089618055616e-07};
  check_close(rope.rope.frequencies, published);
  CHECK(rope.rope.magnitude == near(1.3465735902799727));
  check_close(read_with(gpt_oss, {{"rope_scaling", nullptr}, {"rope_theta", nullptr}}).rope.frequencies, published);
  // An empty rope_parameters is no scaling, unlike an absent one.
  ModelConfig plain = read_patched(gpt_oss, {{"rope_scaling", nullptr}, {"rope_parameters", Json::object()}});
  CHECK(plain.rope.magnitude == 1.0f);
  CHECK(plain.rope.frequencies[3] == near(0.027162251994013786));
}

TEST_CASE("gpt-oss: options") {
  CHECK(read_patched(gpt_oss, {{"num_local_experts", nullptr}, {"num_experts", 9}}).moe.experts == 9);
  ModelConfig c = read_patched(gpt_oss, {{"attention_bias", false}});
  CHECK_FALSE(c.gqa.qkv_bias);
  CHECK_FALSE(c.gqa.out_bias);
  CHECK_FALSE(read_with(gpt_oss, {{"attention_bias", nullptr}}).gqa.qkv_bias);
  CHECK(read_patched(gpt_oss, {{"swiglu_limit", 0.25}}).moe.activation_limit == 0.25f);
  CHECK(read_patched(gpt_oss, {{"swiglu_alpha", 1.702}}).moe.activation == Activation::ClampedSilu);
  CHECK(read_patched(gpt_oss, {{"hidden_act", "gelu"}}).moe.activation == Activation::ClampedSilu);
  CHECK(read_patched(gpt_oss, {{"tie_word_embeddings", true}}).tied_embeddings);
  CHECK(read_patched(gpt_oss, {{"num_key_value_heads", 6}}).gqa.kv_heads == 6);

  ModelConfig full = read_patched(gpt_oss, {{"layer_types", Json(4, "full_attention")}});
  CHECK(full.gqa.window == 0);
  CHECK(full.gqa.layer_has_window.empty());
  ModelConfig last = read_patched(gpt_oss, Json::parse(R"({"sliding_window": 5, "layer_types": ["full_attention",
      "full_attention", "full_attention", "sliding_attention"]})"));
  CHECK(last.gqa.window == 5);
  CHECK(last.gqa.layer_has_window == std::vector<bool>{false, false, false, true});

  ModelConfig linear = read_patched(gpt_oss, {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 4.0}}}});
  CHECK(linear.rope.frequencies[0] == 0.25f);
  CHECK(linear.rope.frequencies[1] == near(0.07514993846416473));
  CHECK(linear.rope.magnitude == 1.0f);
}

TEST_CASE("gpt-oss: MXFP4") {
  ModelConfig c = read_reference(gpt_oss_mxfp4);
  CHECK(c.quantization.format == WeightFormat::Mxfp4);
  CHECK(c.names.experts == ExpertStorage::Fused);
  CHECK(c.gqa.window == 20);
  CHECK(c.rope.frequencies[1] == near(0.1418553590774536));
  CHECK(c.rope.magnitude == near(1.138629436111989));
}

TEST_CASE("gpt-oss: what is refused, by key") {
  check_refused(gpt_oss,
                {{R"({"swiglu_alpha": 1.5})", {"swiglu_alpha", "1.5", "1.702"}},
                 {R"({"swiglu_limit": 0})", {"swiglu_limit", "0"}},
                 {R"({"swiglu_limit": "7"})", {"swiglu_limit", "number"}},
                 {R"({"mlp_bias": true})", {"mlp_bias"}},
                 {R"({"sliding_window": 0})", {"sliding_window", "is 0"}},
                 {R"({"sliding_window": 16.5})", {"sliding_window", "16.5"}},
                 {R"({"layer_types": ["full_attention"]})", {"layer_types", "each of the 4 layers"}},
                 {R"({"layer_types": "full_attention"})", {"layer_types", "a list"}},
                 {R"({"layer_types": ["full_attention", "full_attention", "full_attention", "chunked_attention"]})",
                  {"layer_types", "chunked_attention"}},
                 {R"({"num_key_value_heads": 4})", {"num_key_value_heads", "divisor of the 6"}},
                 {R"({"head_dim": 15})", {"head_dim", "15", "even"}},
                 {R"({"num_experts": 8})", {"num_experts", "num_local_experts"}},
                 {R"({"num_experts_per_tok": 8})", {"num_experts_per_tok", "1 to 7"}},
                 {R"({"rope_scaling": {"rope_type": "longrope"}})", {"rope_scaling.rope_type", "longrope", "yarn"}},
                 {R"({"partial_rotary_factor": 0.5})", {"partial_rotary_factor", "0.5"}},
                 {R"({"quantization_config": {"quant_method": "fp8"}})", {"quantization_config.quant_method", "mxfp4"}},
                 {R"({"quantization_config": {}})", {"quantization_config.quant_method", "missing"}}});
  check_contains(user_error_of([] { read_with(gpt_oss, {{"sliding_window", nullptr}}); }), {"sliding_window", "null"});
  check_refused(gpt_oss_mxfp4, {{R"({"hidden_size": 80})", {"hidden_size", "80", "multiple of 32"}},
                                {R"({"intermediate_size": 40})", {"intermediate_size", "multiple of 32"}}});
}
