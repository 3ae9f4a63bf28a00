#include "expected.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

Quantization read_quantized(const char* quantization) {
  return read_patched(v3, {{"quantization_config", Json::parse(quantization)}}).quantization;
}

}  // namespace

TEST_CASE("quantization: FP8 in blocks") {
  Quantization q = read_reference(v3_fp8).quantization;
  CHECK(q.format == WeightFormat::Fp8);
  CHECK(q.block_rows == 128);
  CHECK(q.block_columns == 128);

  q = read_quantized(R"({"quant_method": "fp8", "weight_block_size": [64, 32], "activation_scheme": "static",
                         "modules_to_not_convert": ["lm_head"], "scale_fmt": "ue8m0"})");
  CHECK(q.format == WeightFormat::Fp8);
  CHECK(q.block_rows == 64);
  CHECK(q.block_columns == 32);
  q = read_quantized(R"({"quant_method": "fp8"})");
  CHECK(q.block_rows == 128);
  CHECK(q.block_columns == 128);
  CHECK(read_with(v3, {{"quantization_config", nullptr}}).quantization.format == WeightFormat::Plain);
  CHECK(read_patched(qwen3, {{"quantization_config", {{"quant_method", "fp8"}}}}).quantization.format ==
        WeightFormat::Fp8);
}

TEST_CASE("quantization: what is refused, by key") {
  for (const char* method : {"gptq", "awq", "bitsandbytes", "mxfp4", "modelopt", "hqq", "auto-round", "anything"}) {
    CAPTURE(method);
    check_contains(user_error_of([&] {
                     read_patched(v3, {{"quantization_config", {{"quant_method", method}, {"bits", 4}}}});
                   }),
                   {"config.json", "quantization_config.quant_method", method, "bfloat16"});
  }
  check_refused(
      v3,
      {{R"({"quantization_config": "fp8"})", {"quantization_config", "object"}},
       {R"({"quantization_config": {"weight_block_size": [128, 128]}})", {"quant_method", "missing"}},
       {R"({"quantization_config": {"quant_method": "fp8", "fmt": "e5m2"}})", {"fmt", "e5m2", "e4m3"}},
       {R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128]}})", {"weight_block_size"}},
       {R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [0, 128]}})",
        {"quantization_config.weight_block_size", "[0,128]"}},
       {R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, -1]}})", {"weight_block_size"}},
       {R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": 128}})", {"weight_block_size"}},
       {R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 1.5]}})", {"weight_block_size"}},
       {R"({"compression_config": {"format": "pack-quantized"}})", {"compression_config.format", "INT4"}},
       {R"({"quantization": {"bits": 4, "group_size": 64}})", {"MLX", "bfloat16"}}});
  check_contains(user_error_of([&] {
                   read_patched(gpt_oss, {{"quantization_config", {{"quant_method", "fp8"}}}});
                 }),
                 {"quant_method", "mxfp4", "MXFP4 or in bfloat16"});
}

TEST_CASE("quantization: FP8 with a scale a matrix or a row") {
  const Json null_block = {{"quant_method", "fp8"}, {"weight_block_size", nullptr}};
  const Json fbgemm = {{"quant_method", "fbgemm_fp8"}, {"activation_scale_ub", 1200.0}};
  for (const Json& config : {null_block, fbgemm}) {
    const Quantization q = read_with(v3, {{"quantization_config", config}}).quantization;
    CHECK(q.format == WeightFormat::Fp8);
    CHECK(q.block_rows == 0);
    CHECK(q.block_columns == 0);
  }
}

namespace {

// As llm-compressor writes it, with a patch for the weights of its one group and for the whole.
Json compressed(const Json& weights, const Json& patch = Json::object()) {
  Json all = Json::parse(R"({"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"],
    "quantization_status": "compressed", "kv_cache_scheme": null, "sparsity_config": {}, "transform_config": {},
    "config_groups": {"group_0": {"targets": ["Linear"], "output_activations": null,
      "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": true},
      "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": true, "dynamic": false,
                  "group_size": null, "block_structure": null}}}})");
  all["config_groups"]["group_0"]["weights"].merge_patch(weights);
  all.merge_patch(patch);
  return all;
}

}  // namespace

TEST_CASE("quantization: FP8 of compressed-tensors by matrix, row, group and block") {
  struct Row {
    Json weights;
    std::uint32_t block_rows, block_columns;
  };
  const Row rows[] = {
      {Json::object(), 0, 0},
      {{{"strategy", "tensor"}}, 0, 0},
      {{{"strategy", nullptr}}, 0, 0},
      {{{"strategy", "block"}, {"block_structure", {128, 64}}}, 128, 64},
      {{{"strategy", "group"}, {"group_size", 32}}, 1, 32},
      {{{"strategy", nullptr}, {"group_size", 16}}, 1, 16},
  };
  for (const Row& row : rows) {
    CAPTURE(row.weights.dump());
    for (const char* key : {"quantization_config", "compression_config"}) {
      const Quantization q = read_with(v3, {{key, compressed(row.weights)}}).quantization;
      CHECK(q.format == WeightFormat::Fp8);
      CHECK(q.block_rows == row.block_rows);
      CHECK(q.block_columns == row.block_columns);
    }
  }
  Json mixed = compressed({{"strategy", "block"}, {"block_structure", {128, 128}}}, {{"format", "mixed-precision"}});
  mixed["config_groups"]["group_0"]["format"] = "float-quantized";
  mixed["config_groups"]["activations"] = {{"targets", {"Attention"}}, {"weights", nullptr}};
  CHECK(read_with(v3, {{"quantization_config", mixed}}).quantization.block_rows == 128);
}

TEST_CASE("quantization: what of compressed-tensors is refused, by key") {
  struct Row {
    Json config;
    std::vector<std::string> said;
  };
  Json two_blocks = compressed({{"strategy", "block"}, {"block_structure", {128, 128}}});
  two_blocks["config_groups"]["group_1"] = two_blocks["config_groups"]["group_0"];
  two_blocks["config_groups"]["group_1"]["weights"]["block_structure"] = {64, 64};
  Json mixed = compressed(Json::object(), {{"format", "mixed-precision"}});
  mixed["config_groups"]["group_0"]["format"] = "nvfp4-pack-quantized";
  const Row rows[] = {
      {compressed(Json::object(), {{"format", "pack-quantized"}}), {"quantization_config.format", "INT4", "bfloat16"}},
      {compressed(Json::object(), {{"format", "int-quantized"}}), {"quantization_config.format", "INT8"}},
      {compressed(Json::object(), {{"format", "nvfp4-pack-quantized"}}), {"quantization_config.format", "NVFP4"}},
      {mixed, {"config_groups.group_0.format", "nvfp4-pack-quantized"}},
      {compressed({{"type", "int"}}), {"group_0.weights.type", "integer weights", "bfloat16"}},
      {compressed({{"num_bits", 4}}), {"group_0.weights.num_bits", "NVFP4"}},
      {compressed({{"symmetric", false}}), {"symmetric"}},
      {compressed({{"strategy", "tensor_group"}}), {"strategy", "tensor, channel, group or block"}},
      {compressed({{"strategy", "block"}}), {"block_structure"}},
      {compressed({{"strategy", "group"}}), {"group_size"}},
      {two_blocks, {"group_1.weights", "one size of blocks"}},
      {compressed(Json::object(), {{"sparsity_config", {{"format", "sparse-24-bitmask"}}}}), {"sparsity_config"}},
      {compressed(Json::object(), {{"transform_config", {{"config_groups", {{"R1", 1}}}}}}), {"transform_config"}},
      {compressed(Json::object(), {{"config_groups", nullptr}}), {"config_groups"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.config.dump());
    check_contains(user_error_of([&] { read_with(v3, {{"quantization_config", row.config}}); }), row.said);
  }
}

TEST_CASE("quantization: what is said beside config.json") {
  for (const char* name : {"hf_quant_config.json", "quantize_config.json"}) {
    TempDir dir;
    write_config(dir, v3, Json::object());
    write_text(dir.path / name, "{}");
    check_contains(user_error_of([&] { read_config(dir.str()); }), {name, "not supported", "bfloat16"});
  }
}
