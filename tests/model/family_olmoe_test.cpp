#include "expected.hpp"

using namespace moemill;
using namespace moemill::test;

TEST_CASE("OLMoE: the reference") {
  ModelConfig c = read_reference(olmoe);
  CHECK(c.attention == AttentionKind::Grouped);
  CHECK(c.gqa.heads == 4);
  CHECK(c.gqa.kv_heads == 4);
  CHECK(c.gqa.head_dim == 16);
  CHECK(c.gqa.qk_norm == QkNorm::AllHeads);
  CHECK_FALSE(c.gqa.qkv_bias);
  CHECK_FALSE(c.gqa.out_bias);
  CHECK(c.gqa.clip == 0);
  CHECK(c.gqa.window == 0);
  CHECK(c.tied_embeddings);
  CHECK(c.norm_eps == 1e-5f);
  CHECK(c.layer_is_moe == std::vector<bool>(3, true));
  CHECK(c.moe.experts == 16);
  CHECK(c.moe.picks == 4);
  CHECK(c.moe.expert_width == 40);
  CHECK(c.moe.shared_width == 0);
  CHECK(c.moe.score == RouterScore::Softmax);
  CHECK_FALSE(c.moe.normalize);
  CHECK(c.names.moe == "mlp");
  CHECK(c.names.gate == "gate_proj");
  // As transformers 5.23 computes them from this config.json.
  check_close(c.rope.frequencies,
              {1.0, 0.3162277638912201, 0.10000000149011612, 0.03162277862429619, 0.009999999776482582,
               0.003162277862429619, 0.0010000000474974513, 0.0003162277862429619});
  CHECK(c.rope.pairs == RotaryPairs::Halves);
  CHECK(c.gqa.softmax_scale == 0.25f);
}

TEST_CASE("OLMoE: options and what absent keys mean") {
  CHECK(read_patched(olmoe, {{"clip_qkv", 8.5}}).gqa.clip == 8.5f);
  CHECK(read_patched(olmoe, {{"clip_qkv", 8}}).gqa.clip == 8.0f);
  CHECK(read_with(olmoe, {{"clip_qkv", nullptr}}).gqa.clip == 0);
  ModelConfig c = read_patched(olmoe, {{"attention_bias", true}, {"norm_topk_prob", true}});
  CHECK(c.gqa.qkv_bias);
  CHECK(c.gqa.out_bias);
  CHECK(c.moe.normalize);
  CHECK(c.moe.normalize_eps == 0);
  CHECK(read_patched(olmoe, {{"num_key_value_heads", 2}}).gqa.kv_heads == 2);
  CHECK(read_patched(olmoe, {{"num_key_value_heads", nullptr}}).gqa.kv_heads == 4);
  CHECK(read_with(olmoe, {{"num_key_value_heads", nullptr}}).gqa.kv_heads == 4);
  CHECK(read_patched(olmoe, {{"head_dim", 16}}).gqa.head_dim == 16);
  CHECK(read_patched(olmoe, {{"num_experts", nullptr}, {"num_local_experts", 9}}).moe.experts == 9);
  CHECK(read_patched(olmoe, {{"num_experts", nullptr}, {"num_experts_per_tok", nullptr}}).moe.experts == 64);
  CHECK(read_patched(olmoe, {{"num_experts_per_tok", nullptr}}).moe.picks == 8);
  CHECK(read_patched(olmoe, {{"intermediate_size", nullptr}}).moe.expert_width == 2048);
  CHECK_FALSE(read_patched(olmoe, {{"tie_word_embeddings", nullptr}}).tied_embeddings);
  CHECK(read_patched(olmoe, {{"sliding_window", 16}}).gqa.window == 0);  // this definition has no windows
}

TEST_CASE("OLMoE: what is refused, by key") {
  check_refused(olmoe, {{R"({"clip_qkv": 0})", {"clip_qkv", "is 0"}},
                        {R"({"clip_qkv": -1})", {"clip_qkv", "-1"}},
                        {R"({"clip_qkv": true})", {"clip_qkv", "number"}},
                        {R"({"head_dim": 32})", {"head_dim", "32", "hidden_size"}},
                        {R"({"num_attention_heads": 5})", {"num_key_value_heads", "divisor"}},
                        {R"({"num_attention_heads": 6, "num_key_value_heads": 6})", {"num_attention_heads", "6"}},
                        {R"({"mlp_bias": true})", {"mlp_bias"}},
                        {R"({"hidden_act": "relu"})", {"hidden_act", "relu"}},
                        {R"({"norm_topk_prob": "yes"})", {"norm_topk_prob"}},
                        {R"({"num_local_experts": 8})", {"num_local_experts", "num_experts"}}});
}
