#include "expected.hpp"

using namespace moemill;
using namespace moemill::test;

TEST_CASE("Mixtral: the reference") {
  ModelConfig c = read_reference(mixtral);
  CHECK(c.attention == AttentionKind::Grouped);
  CHECK(c.hidden == 80);
  CHECK(c.gqa.heads == 10);
  CHECK(c.gqa.kv_heads == 2);
  CHECK(c.gqa.head_dim == 8);
  CHECK_FALSE(c.gqa.qkv_bias);
  CHECK_FALSE(c.gqa.out_bias);
  CHECK_FALSE(c.gqa.sinks);
  CHECK(c.gqa.qk_norm == QkNorm::None);
  CHECK(c.gqa.clip == 0);
  CHECK(c.gqa.window == 0);
  CHECK(c.gqa.layer_has_window.empty());
  CHECK(c.norm_eps == 1e-5f);
  CHECK(c.layer_is_moe == std::vector<bool>(3, true));
  CHECK(c.moe.experts == 8);
  CHECK(c.moe.picks == 2);
  CHECK(c.moe.expert_width == 44);
  CHECK(c.moe.shared_width == 0);
  CHECK(c.moe.score == RouterScore::Softmax);
  CHECK(c.moe.normalize);
  CHECK(c.moe.normalize_eps == 0);
  CHECK(c.moe.groups == 1);
  CHECK(c.moe.scale == 1.0f);
  CHECK(c.moe.activation == Activation::Silu);
  CHECK(c.names.moe == "block_sparse_moe");
  CHECK(c.names.router == "gate");
  CHECK(c.names.gate == "w1");
  CHECK(c.names.up == "w3");
  CHECK(c.names.down == "w2");
  CHECK(c.names.experts == ExpertStorage::Separate);
  CHECK(c.eos == std::vector<TokenId>{2});
  CHECK(c.warnings.empty());
  // As transformers 5.23 computes them from this config.json.
  CHECK(c.rope.dim == 8);
  CHECK(c.rope.pairs == RotaryPairs::Halves);
  check_close(c.rope.frequencies, {1.0, 0.07598356902599335, 0.005773502867668867, 0.0004386913205962628});
  CHECK(c.rope.magnitude == 1.0f);
  CHECK(c.gqa.softmax_scale == near(0.3535533905932738));
}

TEST_CASE("Mixtral: a window is on every layer") {
  ModelConfig c = read_reference(mixtral_window);
  CHECK(c.gqa.window == 24);
  CHECK(c.gqa.layer_has_window == std::vector<bool>(3, true));
  CHECK(windowed_layers(c) == 3);
  CHECK(read_with(mixtral, {{"sliding_window", nullptr}}).gqa.window == 0);
  CHECK(read_with(mixtral, {{"sliding_window", 1}}).gqa.window == 1);
}

TEST_CASE("Mixtral: what absent keys mean") {
  ModelConfig c = read_without(mixtral,
                               {"rope_theta", "rms_norm_eps", "num_key_value_heads", "num_experts_per_tok",
                                "num_local_experts", "intermediate_size", "sliding_window", "tie_word_embeddings"},
                               {{"num_attention_heads", 8}});
  CHECK(c.gqa.kv_heads == 8);
  CHECK(c.gqa.head_dim == 10);
  CHECK(c.norm_eps == 1e-5f);
  CHECK(c.moe.experts == 8);
  CHECK(c.moe.picks == 2);
  CHECK(c.moe.expert_width == 14336);
  CHECK_FALSE(c.tied_embeddings);
  // theta 1e6, and 8 values per head as in the file
  ModelConfig theta = read_patched(mixtral, {{"rope_theta", nullptr}});
  check_close(theta.rope.frequencies, {1.0, 0.03162277862429619, 0.0010000000474974513, 3.162277425872162e-05});
  CHECK(read_with(mixtral, {{"num_key_value_heads", nullptr}}).gqa.kv_heads == 10);
}

TEST_CASE("Mixtral: options") {
  CHECK(read_patched(mixtral, {{"head_dim", 16}}).gqa.head_dim == 16);
  CHECK(read_with(mixtral, {{"head_dim", nullptr}}).gqa.head_dim == 8);
  CHECK(read_patched(mixtral, {{"num_local_experts", nullptr}, {"num_experts", 6}}).moe.experts == 6);
  CHECK(read_patched(mixtral, {{"tie_word_embeddings", true}}).tied_embeddings);
  CHECK(read_patched(mixtral, {{"hidden_act", "swish"}}).moe.activation == Activation::Silu);
  CHECK(read_patched(mixtral, {{"router_jitter_noise", 0.1}, {"attention_dropout", 0.2}}).warnings.empty());

  Json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 64}};
  ModelConfig c = read_patched(mixtral, {{"head_dim", 16}, {"rope_scaling", yarn}});
  check_close(c.rope.frequencies,
              {1.0, 0.17228198051452637, 0.018995892256498337, 0.005236240103840828, 0.0014433757169172168,
               0.00039786819252185524, 0.0001096728301490657, 3.0231445634854026e-05});
  CHECK(c.rope.magnitude == near(1.138629436111989));
  CHECK(c.gqa.softmax_scale == 0.25f);  // without latent attention, YaRN leaves the scale alone

  Json llama3 = {{"rope_type", "llama3"},
                 {"factor", 4.0},
                 {"low_freq_factor", 1.0},
                 {"high_freq_factor", 4.0},
                 {"original_max_position_embeddings", 64}};
  check_close(read_patched(mixtral, {{"head_dim", 16}, {"rope_scaling", llama3}}).rope.frequencies,
              {1.0, 0.19349053502082825, 0.018995892256498337, 0.005236240103840828, 0.0014433757169172168,
               0.00039786819252185524, 0.0001096728301490657, 3.0231445634854026e-05});
}

TEST_CASE("Mixtral: what is refused, by key") {
  check_refused(mixtral, {{R"({"sliding_window": 0})", {"sliding_window", "is 0"}},
                          {R"({"sliding_window": "24"})", {"sliding_window", "integer"}},
                          {R"({"num_key_value_heads": 4})", {"num_key_value_heads", "divisor of the 10"}},
                          {R"({"num_key_value_heads": 20})", {"num_key_value_heads", "divisor"}},
                          {R"({"num_attention_heads": 0})", {"num_attention_heads", "is 0"}},
                          {R"({"num_attention_heads": 90, "num_key_value_heads": 2})", {"num_attention_heads"}},
                          {R"({"head_dim": 9})", {"head_dim", "9", "even"}},
                          {R"({"head_dim": 0})", {"head_dim", "is 0"}},
                          {R"({"head_dim": 2048})", {"head_dim", "2048"}},
                          {R"({"attention_bias": true})", {"attention_bias"}},
                          {R"({"hidden_act": "gelu"})", {"hidden_act", "gelu"}},
                          {R"({"num_local_experts": 1})", {"num_experts_per_tok", "1 to 1"}},
                          {R"({"num_experts_per_tok": null, "num_local_experts": 1})", {"num_experts_per_tok"}},
                          {R"({"num_experts": 16})", {"num_experts", "16", "num_local_experts"}},
                          {R"({"intermediate_size": 4294967296})", {"intermediate_size"}},
                          {R"({"rope_scaling": {"type": "dynamic", "factor": 2}})", {"rope_scaling.type", "dynamic"}},
                          {R"({"rope_parameters": {"rope_type": "longrope"}})", {"rope_parameters.rope_type"}},
                          {R"({"rope_parameters": {"partial_rotary_factor": 0.5}})",
                           {"rope_parameters.partial_rotary_factor", "0.5"}},
                          {R"({"partial_rotary_factor": 0.5})", {"\"partial_rotary_factor", "0.5"}}});
}
