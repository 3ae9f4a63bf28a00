#include "expected.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;

namespace {

const fs::path v3 = models / "deepseek_v3";

Quantization read_quantized(const char* quantization) {
  return read_patched(v3, {{"quantization_config", Json::parse(quantization)}}).quantization;
}

}  // namespace

TEST_CASE("quantization: FP8 in blocks") {
  Quantization q = read_config((models / "deepseek_v3_fp8").string()).quantization;
  CHECK(q.format == WeightFormat::Fp8Blocks);
  CHECK(q.block_rows == 128);
  CHECK(q.block_columns == 128);

  q = read_quantized(R"({"quant_method": "fp8", "weight_block_size": [64, 32], "activation_scheme": "static",
                         "modules_to_not_convert": ["lm_head"], "scale_fmt": "ue8m0"})");
  CHECK(q.format == WeightFormat::Fp8Blocks);
  CHECK(q.block_rows == 64);
  CHECK(q.block_columns == 32);
  q = read_quantized(R"({"quant_method": "fp8"})");
  CHECK(q.block_rows == 128);
  CHECK(q.block_columns == 128);
  CHECK(read_with(v3, {{"quantization_config", nullptr}}).quantization.format == WeightFormat::Plain);
  CHECK(read_patched(models / "qwen3_moe", {{"quantization_config", {{"quant_method", "fp8"}}}}).quantization.format ==
        WeightFormat::Fp8Blocks);
}

TEST_CASE("quantization: what is refused, by key") {
  for (const char* method : {"gptq", "awq", "bitsandbytes", "compressed-tensors", "fbgemm_fp8", "mxfp4", "modelopt"}) {
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
       {R"({"compression_config": {"format": "pack-quantized"}})", {"compression_config"}}});
  Json null_block = {{"quant_method", "fp8"}, {"weight_block_size", nullptr}};
  check_contains(user_error_of([&] {
                   read_with(v3, {{"quantization_config", null_block}});
                 }),
                 {"weight_block_size", "null", "by tensor"});
}
