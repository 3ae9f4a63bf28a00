#include "model/config.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "expected.hpp"

using namespace moemill;
using namespace moemill::test;

TEST_CASE("config: the DeepSeek-V3 reference") {
  ModelConfig c = read_reference(v3);
  CHECK(c.model_type == "deepseek_v3");
  CHECK(c.hidden == 96);
  CHECK(c.layers == 3);
  CHECK(c.vocabulary == 320);
  CHECK(c.max_positions == 512);
  CHECK(c.dense_width == 104);
  CHECK(c.layer_is_moe == std::vector<bool>{false, true, true});
  CHECK_FALSE(c.tied_embeddings);
  CHECK(c.mla.heads == 6);
  CHECK(c.mla.q_lora_rank == 40);
  CHECK(c.mla.kv_lora_rank == 36);
  CHECK(c.mla.latent_norm_eps == 1e-6f);
  CHECK(c.moe.experts == 12);
  CHECK(c.moe.picks == 3);
  CHECK(c.moe.groups == 4);
  CHECK(c.moe.groups_kept == 2);
  CHECK(c.expert_sum == ExpertSum::Groups);  // what auto stands for
  CHECK(c.moe.score == RouterScore::Sigmoid);
  CHECK(c.moe.group_score == GroupScore::SumOfTwoLargest);
  CHECK(c.moe.selection_bias);
  CHECK(c.moe.normalize);
  CHECK(c.moe.normalize_eps == 1e-20f);
  CHECK(c.moe.scale == 2.5f);
  CHECK(c.moe.shared_width == 28);
  CHECK(c.eos == std::vector<TokenId>{1});
  CHECK(c.warnings.empty());
  // As transformers 5.23 computes them from this config.json.
  check_close(c.rope.frequencies, {1.0, 0.2418271005153656, 0.03655022010207176, 0.0035355340223759413,
                                   0.0008549878257326782, 0.00020675931591540575});
  CHECK(c.rope.magnitude == 1.0f);
  CHECK(c.rope.pairs == RotaryPairs::Adjacent);
  CHECK(c.mla.softmax_scale == doctest::Approx(0.22918691831189503).epsilon(4 * 0x1p-23));
}

TEST_CASE("config: the DeepSeek-V2-Lite reference") {
  ModelConfig c = read_reference(v2);
  CHECK(c.mla.q_lora_rank == 0);
  CHECK(c.moe.score == RouterScore::Softmax);
  CHECK_FALSE(c.moe.selection_bias);
  CHECK_FALSE(c.moe.normalize);
  CHECK(c.moe.groups == 1);
  CHECK(c.moe.scale == 1.0f);
  CHECK(c.moe.shared_width == 56);
  check_close(c.rope.frequencies, {1.0, 0.08411337435245514, 0.0027950850781053305, 0.0004179626703262329});
  CHECK(c.rope.magnitude == 1.0f);
  CHECK(c.mla.softmax_scale == doctest::Approx(0.2941875881015143).epsilon(4 * 0x1p-23));
}

TEST_CASE("config: rotary scalings as transformers 5.23 resolves them") {
  struct Row {
    const char* rope;
    std::vector<double> frequencies;
    double magnitude, softmax_scale;
  };
  const std::vector<double> yarn16 = {1.0,
                                      0.24211187660694122,
                                      0.05312500149011612,
                                      0.009388012811541557,
                                      0.0006249999860301614,
                                      0.00019764236640185118,
                                      6.25000029685907e-05,
                                      1.9764236640185118e-05};
  const Row rows[] = {
      {R"({"rope_type": "linear", "factor": 4.0})",
       {0.25, 0.07905694097280502, 0.02500000037252903, 0.007905694656074047, 0.0024999999441206455,
        0.0007905694656074047, 0.0002500000118743628, 7.905694656074047e-05},
       1,
       0.1767766952966369},
      {R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 512, "rope_theta": 50000.0})",
       {1.0, 0.2586001455783844, 0.06687403470277786, 0.004225759766995907, 0.0005590170039795339,
        0.00014456186909228563, 3.738372106454335e-05, 9.667434824223164e-06},
       1,
       0.1767766952966369},
      {R"({"type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0,
           "original_max_position_embeddings": 4096})",
       {1.0, 0.3162277638912201, 0.10000000149011612, 0.023914724588394165, 0.005124999675899744, 0.0008498621755279601,
        2.499999936844688e-05, 7.905694474175107e-06},
       1,
       0.33125375419753433},
      {R"({"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 256})", yarn16, 1.2772588722239782,
       0.1767766952966369},
      {R"({"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 256, "attention_factor": 1.25})",
       yarn16, 1.25, 0.1767766952966369},
      {R"({"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 256, "truncate": false,
           "mscale": 0.5, "mscale_all_dim": 1.5})",
       {1.0, 0.23840844631195068, 0.044248297810554504, 0.004144234117120504, 0.0006249999860301614,
        0.00019764236640185118, 6.25000029685907e-05, 1.9764236640185118e-05},
       0.8041802657797008,
       0.3543912593933958},
  };
  const Json small = {{"qk_nope_head_dim", 16}, {"qk_rope_head_dim", 16}, {"max_position_embeddings", 4096}};
  for (const Row& row : rows) {
    CAPTURE(row.rope);
    Json rope = Json::parse(row.rope);
    // The same in all three spellings, theta inside or outside.
    for (std::string type_key : {"type", "rope_type"}) {
      for (std::string place : {"rope_scaling", "rope_parameters"}) {
        Json spelled = rope;
        std::string type = spelled.value("type", spelled.value("rope_type", ""));
        spelled.erase("type"), spelled.erase("rope_type");
        spelled[type_key] = type;
        Json patch = small;
        patch["rope_theta"] = spelled.value("rope_theta", 10000.0);
        if (place == "rope_parameters") {
          spelled["rope_theta"] = patch["rope_theta"];
          patch["rope_theta"] = 777;  // inside wins
        } else {
          spelled.erase("rope_theta");
        }
        TempDir dir;
        Json config = read_json(v3 / "config.json");
        config.erase("rope_scaling");
        config.update(patch);
        config[place] = spelled;
        write_text(dir.path / "config.json", config.dump());
        ModelConfig c = read_config(dir.str());
        check_close(c.rope.frequencies, row.frequencies);
        CHECK(c.rope.magnitude == doctest::Approx(row.magnitude).epsilon(4 * 0x1p-23));
        CHECK(c.mla.softmax_scale == doctest::Approx(row.softmax_scale).epsilon(4 * 0x1p-23));
      }
    }
  }
}

TEST_CASE("config: DeepSeek-V3's published YaRN") {
  ModelConfig c = read_config((fs::path(MOEMILL_SOURCE_DIR) / "configs/models/deepseek-v3").string());
  const auto& f = c.rope.frequencies;
  REQUIRE(f.size() == 32);
  check_close({f[0], f[9], f[10], f[11], f[16], f[22], f[23], f[31]},
              {1.0, 0.07498941570520401, 0.05623412877321243, 0.039006926119327545, 0.005500000435858965,
               0.00017782794020604342, 3.333803397254087e-05, 3.3338035336782923e-06});
  CHECK(c.mla.softmax_scale == doctest::Approx(0.1352337788608801).epsilon(4 * 0x1p-23));
}

TEST_CASE("config: family rules") {
  CHECK(read_config((fs::path(MOEMILL_SOURCE_DIR) / "configs/models/kimi-k2").string()).moe.scale == 2.827f);
  CHECK(read_patched(v3, {{"model_type", "kimi_k2"}}).moe.score == RouterScore::Sigmoid);
  CHECK(read_patched(v3, {{"rope_interleave", false}}).rope.pairs == RotaryPairs::Halves);
  CHECK(read_patched(v3, {{"n_shared_experts", 0}}).moe.shared_width == 0);
  CHECK(read_patched(v3, {{"n_routed_experts", nullptr}, {"num_local_experts", 24}}).moe.experts == 24);
  CHECK(read_patched(v2, {{"n_routed_experts", nullptr}, {"num_experts", 24}}).moe.experts == 24);
  CHECK(read_patched(v3, {{"norm_topk_prob", false}}).moe.normalize == false);
  CHECK(read_patched(v3, {{"first_k_dense_replace", 0}}).layer_is_moe == std::vector<bool>{true, true, true});
  CHECK(read_patched(v3, {{"first_k_dense_replace", 7}}).layer_is_moe == std::vector<bool>{false, false, false});
  CHECK(read_patched(v3, {{"tie_word_embeddings", true}}).tied_embeddings);
  CHECK(read_patched(v2, {{"norm_topk_prob", true}}).moe.normalize == false);
  ModelConfig grouped = read_patched(v2, {{"topk_method", "group_limited_greedy"}, {"n_group", 5}, {"topk_group", 2}});
  CHECK(grouped.moe.groups == 5);
  CHECK(grouped.moe.groups_kept == 2);
  CHECK(grouped.moe.group_score == GroupScore::Largest);
  CHECK(grouped.expert_sum == ExpertSum::Groups);
  const ModelConfig greedy = read_patched(v2, {{"n_group", 5}, {"topk_group", 1}});  // looks at no groups
  CHECK(greedy.moe.groups == 1);
  CHECK(greedy.expert_sum == ExpertSum::Picks);

  Json nulls = read_json(v3 / "config.json");
  nulls["n_shared_experts"] = nullptr;
  nulls["rope_scaling"] = nullptr;
  nulls["q_lora_rank"] = nullptr;
  TempDir dir;
  write_text(dir.path / "config.json", nulls.dump());
  ModelConfig c = read_config(dir.str());
  CHECK(c.moe.shared_width == 0);
  CHECK(c.mla.q_lora_rank == 0);
  CHECK(c.mla.softmax_scale == doctest::Approx(1 / std::sqrt(32.0)).epsilon(0x1p-23));
}

TEST_CASE("config: keys without effect are named") {
  struct Row {
    const fs::path& from;
    Json patch;
    std::string named;
  };
  const Row rows[] = {{v3, {{"scoring_func", "softmax"}}, "scoring_func"},
                      {v2, {{"scoring_func", "sigmoid"}}, "scoring_func"},
                      {v3, {{"topk_method", "greedy"}}, "topk_method"},
                      {v3, {{"moe_layer_freq", 2}}, "moe_layer_freq"}};
  for (const Row& row : rows) {
    ModelConfig c = read_patched(row.from, row.patch);
    REQUIRE(c.warnings.size() == 1);
    check_contains(c.warnings[0], {"config.json", row.named, "no effect"});
  }
}

TEST_CASE("config: end-of-sequence ids") {
  TempDir dir;
  write_config(dir, v3, {{"eos_token_id", {5, 6}}});
  CHECK(read_config(dir.str()).eos == std::vector<TokenId>{5, 6});
  write_text(dir.path / "generation_config.json", R"({"eos_token_id": [7, 8, 9]})");
  CHECK(read_config(dir.str()).eos == std::vector<TokenId>{7, 8, 9});
  write_text(dir.path / "generation_config.json", R"({"eos_token_id": null})");
  CHECK(read_config(dir.str()).eos == std::vector<TokenId>{5, 6});
  write_text(dir.path / "generation_config.json", R"({"eos_token_id": "</s>"})");
  check_contains(user_error_of([&] { read_config(dir.str()); }), {"generation_config.json", "eos_token_id", "</s>"});
  fs::remove(dir.path / "generation_config.json");
  write_config(dir, v3, {{"eos_token_id", nullptr}});
  ModelConfig none = read_config(dir.str());
  CHECK(none.eos.empty());
  REQUIRE(none.warnings.size() == 1);
  check_contains(none.warnings[0], {"eos_token_id"});
}

TEST_CASE("config: a flag that is null means no, as it does to transformers") {
  TempDir dir;
  Json config = read_json(v3 / "config.json");
  config["norm_topk_prob"] = nullptr;
  write_text(dir.path / "config.json", config.dump());
  CHECK_FALSE(read_config(dir.str()).moe.normalize);
}

TEST_CASE("config: values nested millions deep are refused, not followed") {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  TempDir dir;
  write_text(dir.path / "config.json", R"({"model_type": "deepseek_v3", "hidden_size": )" + deep + "}");
  check_contains(user_error_of([&] { read_config(dir.str()); }), {"config.json", "hidden_size", "nested"});
  write_text(dir.path / "config.json", deep);
  check_contains(user_error_of([&] { read_config(dir.str()); }), {"config.json", "nested"});
}

TEST_CASE("config: what is refused, by key") {
  struct Row {
    const fs::path& from;
    const char* patch;
    std::vector<std::string> said;
  };
  const Row rows[] = {
      {v3, R"({"model_type": "llama"})", {"model_type", "llama", "deepseek_v3", "kimi_k2"}},
      {v3, R"({"model_type": 3})", {"model_type", "3", "string"}},
      {v3, R"({"hidden_act": "gelu"})", {"hidden_act", "gelu", "silu"}},
      {v3, R"({"attention_bias": true})", {"attention_bias", "true", "false"}},
      {v2, R"({"mlp_bias": true})", {"mlp_bias"}},
      {v3, R"({"quantization_config": {"quant_method": "gptq"}})", {"quantization_config.quant_method", "gptq", "fp8"}},
      {v3, R"({"rope_scaling": {"type": "dynamic"}})", {"rope_scaling.type", "dynamic", "yarn"}},
      {v3, R"({"rope_scaling": {"type": "linear", "factor": 0}})", {"rope_scaling.factor", "0"}},
      {v3, R"({"rope_scaling": {"factor": "four"}})", {"rope_scaling.factor", "four"}},
      {v3,
       R"({"rope_scaling": {"original_max_position_embeddings": -4}})",
       {"rope_scaling.original_max_position_embeddings", "-4"}},
      {v3, R"({"rope_scaling": {"full_attention": {"factor": 2}}})", {"full_attention", "layer type"}},
      {v3, R"({"rope_scaling": "yarn"})", {"rope_scaling", "an object"}},
      {v3, R"({"rope_theta": 0})", {"rope_theta"}},
      {v3, R"({"partial_rotary_factor": 0.5})", {"partial_rotary_factor", "0.5"}},
      {v3, R"({"hidden_size": 0})", {"hidden_size", "is 0", "1 to"}},
      {v3, R"({"hidden_size": -96})", {"hidden_size", "-96"}},
      {v3, R"({"hidden_size": 4611686018427387904})", {"hidden_size", "4611686018427387904"}},
      {v3, R"({"hidden_size": 18446744073709551615})", {"hidden_size", "18446744073709551615"}},
      {v3, R"({"hidden_size": 1e30})", {"hidden_size", "1e+30"}},
      {v3, R"({"hidden_size": 96.5})", {"hidden_size", "96.5", "integer"}},
      {v3, R"({"hidden_size": "96"})", {"hidden_size", "\"96\""}},
      {v3, R"({"hidden_size": [96]})", {"hidden_size", "[96]"}},
      {v3, R"({"hidden_size": null})", {"hidden_size", "missing"}},
      {v3, R"({"num_hidden_layers": 1000000000})", {"num_hidden_layers"}},
      {v3, R"({"vocab_size": -1})", {"vocab_size"}},
      {v3, R"({"rms_norm_eps": -1})", {"rms_norm_eps"}},
      {v3, R"({"num_key_value_heads": 2})", {"num_key_value_heads", "num_attention_heads"}},
      {v3, R"({"q_lora_rank": 0})", {"q_lora_rank"}},
      {v3, R"({"qk_rope_head_dim": 7})", {"qk_rope_head_dim", "even"}},
      {v3, R"({"n_routed_experts": 0})", {"n_routed_experts"}},
      {v3, R"({"num_experts_per_tok": 13})", {"num_experts_per_tok", "13", "1 to 12"}},
      {v3, R"({"n_group": 5})", {"n_group", "divisor of 12"}},
      {v3, R"({"n_group": 12})", {"n_group", "at least 2"}},
      {v3, R"({"topk_group": 5})", {"topk_group", "1 to 4"}},
      {v3, R"({"topk_group": 1, "num_experts_per_tok": 4})", {"topk_group", "picks"}},
      {v3, R"({"n_shared_experts": -1})", {"n_shared_experts"}},
      {v3, R"({"routed_scaling_factor": 0})", {"routed_scaling_factor"}},
      {v3, R"({"norm_topk_prob": 1})", {"norm_topk_prob", "true or false"}},
      {v3, R"({"tie_word_embeddings": "no"})", {"tie_word_embeddings"}},
      {v3, R"({"eos_token_id": -1})", {"eos_token_id", "-1"}},
      {v2, R"({"topk_method": "noaux_tc"})", {"topk_method", "group_limited_greedy"}},
      {v2, R"({"topk_method": "group_limited_greedy", "n_group": null})", {"n_group", "missing"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.patch);
    std::string message = user_error_of([&] { read_patched(row.from, Json::parse(row.patch)); });
    check_contains(message, row.said);
    check_contains(message, {"config.json"});
  }
}

TEST_CASE("config: files that are no config") {
  check_contains(user_error_of([] { read_config("/nowhere/model"); }),
                 {"/nowhere/model", "config.json", "safetensors"});
  TempDir dir;
  check_contains(user_error_of([&] { read_config(dir.str()); }), {"no config.json", "tokenizer.json"});
  for (const char* text : {"", "{", "[1, 2]", "{\"a\": 1} x", "\xff\xfe", "{\"model_type\": \"deepseek_v3\"}"}) {
    CAPTURE(text);
    write_text(dir.path / "config.json", text);
    check_contains(user_error_of([&] { read_config(dir.str()); }), {"config.json"});
  }
  write_text(dir.path / "config.json", std::string(100000, '['));  // deep nesting must not end the stack
  check_contains(user_error_of([&] { read_config(dir.str()); }), {"not valid JSON"});
  fs::remove(dir.path / "config.json");
  fs::create_directory(dir.path / "config.json");
  check_contains(user_error_of([&] { read_config(dir.str()); }), {"config.json"});
}

TEST_CASE("config: YaRN raises the context to original positions times factor, in every spelling") {
  struct Row {
    const char* patch;
    std::uint32_t context;
  };
  const Row rows[] = {
      {"{}", 512},
      {R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 384}})", 1536},
      {R"({"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 384}})", 1536},
      {R"({"rope_scaling": {"type": "yarn", "rope_type": "yarn", "factor": 4.0}})", 2048},
      {R"({"original_max_position_embeddings": 256, "rope_scaling": {"type": "yarn", "factor": 4.0}})", 1024},
      {R"({"original_max_position_embeddings": 256,
           "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 300}})",
       1024},  // beside wins, as in transformers
      {R"({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e5, "factor": 2.5,
                               "original_max_position_embeddings": 512}})",
       1280},
      {R"({"rope_scaling": {"rope_type": "yarn", "original_max_position_embeddings": 128}})", 512},  // factor 4
      {R"({"max_position_embeddings": 131072,
           "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096}})",
       131072},
      {R"({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 128}})", 512},
      {R"({"rope_scaling": {"rope_type": "linear", "factor": 4.0}})", 512},
      {R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                            "original_max_position_embeddings": 256}})",
       512},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.patch));
    CHECK(read_patched(qwen3, Json::parse(row.patch)).max_positions == row.context);
  }
  for (const char* factor : {R"({"factor": null})", "{}"}) {  // null, as transformers 5 reads it: absent
    Json yarn = {{"type", "yarn"}, {"original_max_position_embeddings", 128}};
    yarn.update(Json::parse(factor));
    CHECK(read_with(qwen3, {{"rope_scaling", yarn}}).max_positions == 512);
  }
  const Json latent = {{"type", "yarn"}, {"factor", 40}, {"original_max_position_embeddings", 4096}};
  CHECK(read_patched(v3, {{"rope_scaling", latent}}).max_positions == 163840);
  const Json huge = {{"type", "yarn"}, {"factor", 1e6}, {"original_max_position_embeddings", 1e9}};
  CHECK(read_patched(qwen3, {{"rope_scaling", huge}}).max_positions == 1u << 26);
}
