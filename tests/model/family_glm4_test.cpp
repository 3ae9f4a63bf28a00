#include "expected.hpp"

using namespace moemill;
using namespace moemill::test;

TEST_CASE("GLM-4.5: the reference") {
  ModelConfig c = read_reference(glm4);
  CHECK(c.attention == AttentionKind::Grouped);
  CHECK(c.gqa.heads == 6);
  CHECK(c.gqa.kv_heads == 3);
  CHECK(c.gqa.head_dim == 20);
  CHECK(c.gqa.qkv_bias);
  CHECK_FALSE(c.gqa.out_bias);
  CHECK(c.gqa.qk_norm == QkNorm::PerHead);
  CHECK(c.gqa.window == 0);
  CHECK(c.norm_eps == 1e-5f);
  CHECK(c.dense_width == 120);
  CHECK(c.layer_is_moe == std::vector<bool>{false, true, true});
  CHECK(c.moe.experts == 10);
  CHECK(c.moe.picks == 3);
  CHECK(c.moe.expert_width == 36);
  CHECK(c.moe.shared_width == 36);
  CHECK_FALSE(c.moe.shared_gate);
  CHECK(c.moe.score == RouterScore::Sigmoid);
  CHECK(c.moe.selection_bias);
  CHECK(c.moe.groups == 1);
  CHECK(c.moe.group_score == GroupScore::SumOfTwoLargest);
  CHECK(c.moe.normalize);
  CHECK(c.moe.normalize_eps == 1e-20f);
  CHECK(c.moe.scale == 2.5f);
  CHECK(c.names.shared == "shared_experts");
  CHECK(c.eos == std::vector<TokenId>{356, 358, 359});
  // As transformers 5.23 computes them from this config.json: half of the 20 values rotate.
  CHECK(c.rope.dim == 10);
  CHECK(c.rope.pairs == RotaryPairs::Halves);
  check_close(c.rope.frequencies,
              {1.0, 0.13797296583652496, 0.019036538898944855, 0.0026265273336321115, 0.0003623897791840136});
  CHECK(c.gqa.softmax_scale == near(0.22360679774997896));
}

TEST_CASE("GLM-4.5: the rotating part of a head, as transformers 5.23 resolves it") {
  // The exponents' divisor is int(20 * 0.75) = 15; values rotate in pairs, so that 16 of them do.
  const std::vector<double> three_quarters = {1.0,
                                              0.2670111060142517,
                                              0.07129492610692978,
                                              0.019036538898944855,
                                              0.005082966294139624,
                                              0.0013572084717452526,
                                              0.0003623897791840136,
                                              9.676210902398452e-05};
  ModelConfig c = read_patched(glm4, {{"partial_rotary_factor", 0.75}});
  CHECK(c.rope.dim == 16);
  check_close(c.rope.frequencies, three_quarters);
  // The factor inside rope_parameters wins over the one outside; without either it is a half.
  Json inside = {{"rope_type", "default"}, {"rope_theta", 20000}, {"partial_rotary_factor", 0.75}};
  check_close(read_patched(glm4, {{"rope_parameters", inside}}).rope.frequencies, three_quarters);
  CHECK(read_patched(glm4, {{"partial_rotary_factor", nullptr}}).rope.dim == 10);
  CHECK(read_patched(glm4, {{"partial_rotary_factor", 1.0}}).rope.dim == 20);

  Json linear = {{"type", "linear"}, {"factor", 2.0}, {"partial_rotary_factor", 0.6}};
  check_close(read_patched(glm4, {{"rope_scaling", linear}}).rope.frequencies,
              {0.5, 0.09596914798021317, 0.018420156091451645, 0.0035355340223759413, 0.0006786042358726263,
               0.00013025020598433912});
  Json yarn = {{"type", "yarn"}, {"factor", 8.0}, {"original_max_position_embeddings", 64}, {"beta_fast", 4}};
  ModelConfig y = read_patched(glm4, {{"rope_scaling", yarn}});
  check_close(y.rope.frequencies,
              {1.0, 0.07760979235172272, 0.002379567362368107, 0.00032831591670401394, 4.52987223980017e-05});
  CHECK(y.rope.magnitude == near(1.2079441541679836));
  Json llama3 = {{"rope_type", "llama3"},
                 {"factor", 8.0},
                 {"low_freq_factor", 1.0},
                 {"high_freq_factor", 4.0},
                 {"original_max_position_embeddings", 64}};
  check_close(read_patched(glm4, {{"rope_scaling", llama3}}).rope.frequencies,
              {1.0, 0.03356001526117325, 0.002379567362368107, 0.00032831591670401394, 4.52987223980017e-05});
}

TEST_CASE("GLM-4.5: options and what absent keys mean") {
  ModelConfig c =
      read_without(glm4,
                   {"attention_bias", "use_qk_norm", "routed_scaling_factor", "n_group", "topk_group", "norm_topk_prob",
                    "first_k_dense_replace", "n_shared_experts", "rms_norm_eps", "intermediate_size", "head_dim"},
                   {{"num_attention_heads", 3}});
  CHECK_FALSE(c.gqa.qkv_bias);
  CHECK(c.gqa.qk_norm == QkNorm::None);
  CHECK(c.gqa.head_dim == 26);  // 80 / 3, rounded down
  CHECK(c.rope.dim == 14);      // one more than half of it: values rotate in pairs
  CHECK(c.moe.scale == 1.0f);
  CHECK(c.moe.normalize);
  CHECK(c.moe.shared_width == 36);
  CHECK(c.layer_is_moe == std::vector<bool>{false, true, true});
  CHECK(c.dense_width == 10944);
  CHECK(c.norm_eps == 1e-5f);

  ModelConfig grouped = read_patched(glm4, {{"n_group", 5}, {"topk_group", 2}, {"norm_topk_prob", false}});
  CHECK(grouped.moe.groups == 5);
  CHECK(grouped.moe.groups_kept == 2);
  CHECK_FALSE(grouped.moe.normalize);
  CHECK(read_patched(glm4, {{"n_shared_experts", 2}}).moe.shared_width == 72);
  CHECK(read_patched(glm4, {{"n_shared_experts", 0}}).moe.shared_width == 0);
  CHECK(read_patched(glm4, {{"first_k_dense_replace", 2}}).layer_is_moe == std::vector<bool>{false, false, true});
  CHECK(read_patched(glm4, {{"n_routed_experts", nullptr}, {"num_local_experts", 20}}).moe.experts == 20);
  CHECK(read_with(glm4, {{"use_qk_norm", nullptr}}).gqa.qk_norm == QkNorm::None);
}

TEST_CASE("GLM-4.5: what is refused, by key") {
  check_refused(
      glm4, {{R"({"partial_rotary_factor": 0.01})", {"partial_rotary_factor", "0.01", "even"}},
             {R"({"partial_rotary_factor": 1.5})", {"partial_rotary_factor", "1.5"}},
             {R"({"partial_rotary_factor": "half"})", {"partial_rotary_factor", "half"}},
             {R"({"partial_rotary_factor": 0.75, "rope_scaling": {"type": "yarn", "factor": 8.0}})",
              {"partial_rotary_factor", "even"}},
             {R"({"head_dim": 0})", {"head_dim", "0"}},
             {R"({"n_group": 3})", {"n_group", "divisor of 10"}},
             {R"({"n_group": 10})", {"n_group", "at least 2"}},
             {R"({"n_group": 5, "topk_group": 1})", {"topk_group", "3 picks"}},
             {R"({"topk_group": 2})", {"topk_group", "1 to 1"}},
             {R"({"n_shared_experts": 64, "moe_intermediate_size": 262144})", {"n_shared_experts"}},
             {R"({"first_k_dense_replace": -1})", {"first_k_dense_replace", "-1"}},
             {R"({"routed_scaling_factor": -2.5})", {"routed_scaling_factor"}},
             {R"({"hidden_act": "gelu_new"})", {"hidden_act", "gelu_new"}},
             {R"({"quantization_config": {"quant_method": "mxfp4"}})", {"quantization_config.quant_method", "fp8"}}});
}
