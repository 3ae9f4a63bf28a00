// FP8 with a scale per matrix, row, group or block, under every name that publishers use, against a decoder of one
// line; and what the shape of the scales means.
#include "weights/files/fp8_scales.hpp"

#include <doctest/doctest.h>

#include "compare.hpp"
#include "weights/files/safetensors.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;

namespace {

const fs::path qwen = models / "qwen3_moe";

std::string floats_as(const std::string& dtype, const std::vector<float>& values) {
  std::string bytes;
  for (float v : values) {
    const bf16 rounded = to_bf16(v);
    if (dtype == "F32") bytes.append(reinterpret_cast<const char*>(&v), 4);
    if (dtype == "BF16") bytes.append(reinterpret_cast<const char*>(&rounded), 2);
  }
  return bytes;
}

// The model with every matrix but embedding, head and routers in codes, with scales of shape
// `scale_shape(rows, columns)`.
template <class Shape>
std::vector<RawTensor> quantized(const std::string& suffix, const std::string& dtype, const Shape& scale_shape) {
  std::vector<RawTensor> out;
  std::uint32_t state = 1;
  for (RawTensor& t : read_tensors(qwen)) {
    if (t.shape.size() == 2 && t.name.find("_proj.") != std::string::npos) {
      t.dtype = "F8_E4M3";
      t.bytes.resize(t.bytes.size() / 2);
      for (char& c : t.bytes) {
        state = state * 1664525u + 1013904223u;
        c = static_cast<char>(state >> 24);
        if ((c & 0x7f) == 0x7f) c = 0x38;
      }
      const std::vector<std::uint64_t> shape = scale_shape(t.shape[0], t.shape[1]);
      std::uint64_t count = 1;
      for (std::uint64_t extent : shape) count *= extent;
      std::vector<float> scales;
      for (std::uint64_t i = 0; i < count; ++i) scales.push_back(0.0003f + 0.00001f * static_cast<float>(i % 97));
      out.push_back({t.name + suffix, dtype, shape, floats_as(dtype, scales)});
      const std::string module = t.name.substr(0, t.name.size() - 7);
      if (module.ends_with("q_proj")) out.push_back({module + ".input_scale", "F32", {1}, floats_as("F32", {0.5f})});
    }
    out.push_back(std::move(t));
  }
  return out;
}

Json compressed(const char* strategy) {
  return {
      {"quant_method", "compressed-tensors"},
      {"format", "float-quantized"},
      {"config_groups", {{"group_0", {{"weights", {{"num_bits", 8}, {"type", "float"}, {"strategy", strategy}}}}}}}};
}

using Dims = std::vector<std::uint64_t>;

// Loads and compares on three ranks. Static scales of activations are reported.
void check_decoded(const std::vector<RawTensor>& tensors, const Json& quantization) {
  TempDir dir;
  write_config(dir, qwen, {{"quantization_config", quantization}});
  write_text(dir.path / "model.safetensors", safetensors(tensors));
  const ModelConfig c = read_config(dir.str());
  const auto warnings = check_model_files(dir.str(), c, "auto");
  REQUIRE(warnings.size() == 1);
  check_contains(warnings[0], {"3 scales of activations", "not used", "q_proj.input_scale"});
  Compare compare(c, dir.path);
  for (std::int32_t rank = 0; rank < 3; ++rank) {
    compare.all(load_weights(dir.str(), c, contiguous_slices(c, 3), {rank}, "auto"), contiguous_slices(c, 3), {rank});
  }
  CHECK(compare.wrong == 0);
  CHECK(compare.compared > 500000);
}

}  // namespace

TEST_CASE("fp8: a scale per matrix, as AutoFP8 and compressed-tensors store it") {
  const Json auto_fp8 = {{"quant_method", "fp8"}, {"activation_scheme", "static"}, {"ignored_layers", {"lm_head"}}};
  check_decoded(quantized("_scale", "F32", [](auto, auto) { return Dims{}; }), auto_fp8);
  check_decoded(quantized("_scale", "BF16", [](auto, auto) { return Dims{1}; }), compressed("tensor"));
  check_decoded(quantized("_scale_inv", "F32",
                          [](auto, auto) {
                            return Dims{1, 1};
                          }),
                {{"quant_method", "fp8"}, {"weight_block_size", nullptr}});
}

TEST_CASE("fp8: a scale per row, as fbgemm and compressed-tensors store it") {
  auto column = [](std::uint64_t rows, auto) { return Dims{rows, 1}; };
  check_decoded(quantized("_scale", "F32", column), {{"quant_method", "fbgemm_fp8"}, {"activation_scale_ub", 1200.0}});
  check_decoded(quantized("_scale", "BF16", column), compressed("channel"));
  check_decoded(quantized("_scale", "BF16", [](std::uint64_t rows, auto) { return Dims{rows}; }),
                compressed("channel"));
}

TEST_CASE("fp8: a scale per block, or per group of values in a row under compressed-tensors") {
  Json block = compressed("block");
  block["config_groups"]["group_0"]["weights"]["block_structure"] = {40, 24};
  check_decoded(quantized("_scale", "F32", [](auto r, auto c) { return Dims{(r + 39) / 40, (c + 23) / 24}; }), block);
  Json group = compressed("group");
  group["config_groups"]["group_0"]["weights"]["group_size"] = 16;
  check_decoded(quantized("_scale", "BF16", [](auto r, auto c) { return Dims{r, (c + 15) / 16}; }), group);
}

TEST_CASE("fp8: what the shape of the scales means") {
  const Quantization none{WeightFormat::Fp8, 0, 0}, block{WeightFormat::Fp8, 4, 3};
  auto is = [](const Dims& values, const Dims& scales, const Quantization& q, const ScaleGrid& wanted) {
    CAPTURE(shape_text(values));
    const std::string shape = shape_text(scales);  // clang 14 captures no structured binding
    CAPTURE(shape);
    const auto grid = scale_grid(values, scales, q);
    REQUIRE(grid.has_value());
    CHECK(grid->group_rows == wanted.group_rows);
    CHECK(grid->group_scales == wanted.group_scales);
    CHECK(grid->block_rows == wanted.block_rows);
    CHECK(grid->block_columns == wanted.block_columns);
  };
  for (const Dims& one : {Dims{}, Dims{1}, Dims{1, 1}}) is({10, 7}, one, none, {10, 1, 10, 7});
  for (const Dims& column : {Dims{10}, Dims{10, 1}}) is({10, 7}, column, none, {10, 10, 1, 7});
  is({10, 7}, {3, 3}, block, {10, 3, 4, 3});
  is({10, 7}, {10, 1}, block, {10, 10, 1, 7});
  // In a fused tensor each matrix begins blocks of its own; if it was joined from two, each of these does.
  for (const Dims& one : {Dims{5}, Dims{5, 1}, Dims{5, 1, 1}}) is({5, 10, 7}, one, none, {10, 1, 10, 7});
  is({5, 10, 7}, {5, 2, 1}, none, {5, 1, 5, 7});
  is({5, 10, 7}, {5, 10, 1}, none, {10, 10, 1, 7});
  is({5, 16, 7}, {5, 4, 3}, block, {16, 4, 4, 3});
  is({5, 10, 7}, {5, 3, 3}, block, {10, 3, 4, 3});  // ceil(10 / 4)
  is({5, 10, 7}, {5, 4, 3}, block, {5, 2, 4, 3});   // 2 ceil(5 / 4)
  for (const auto& [values, scales] : std::vector<std::pair<Dims, Dims>>{{{10, 7}, {3, 3}},
                                                                         {{10, 7}, {2}},
                                                                         {{10, 7}, {10, 7}},
                                                                         {{10, 7}, {1, 10}},
                                                                         {{10, 7}, {1, 1, 1}},
                                                                         {{5, 10, 7}, {}},
                                                                         {{5, 10, 7}, {1}},
                                                                         {{5, 10, 7}, {5, 3, 3}}}) {
    const std::string shape = shape_text(scales);  // clang 14 captures no structured binding
    CAPTURE(shape);
    CHECK_FALSE(scale_grid(values, scales, none).has_value());
  }
  CHECK_FALSE(scale_grid({5, 14, 7}, {5, 4, 3}, block).has_value());  // ceil(14 / 4) and 2 ceil(7 / 4)
}

TEST_CASE("fp8: experts fused by transformers, joined matrices with blocks of their own") {
  const ModelConfig plain = read_config(qwen.string());
  const std::uint64_t e = plain.moe.experts, width = plain.moe.expert_width, hidden = plain.hidden;
  auto blocks = [](std::uint64_t r, std::uint64_t c) { return Dims{(r + 15) / 16, (c + 23) / 24}; };
  std::vector<RawTensor> separate = quantized("_scale_inv", "F32", blocks), fused;
  for (std::uint32_t layer = 0; layer < plain.layers; ++layer) {
    const std::string experts = "model.layers." + std::to_string(layer) + ".mlp.experts.";
    for (const char* what : {"", "_scale_inv"}) {
      const bool codes = *what == '\0';
      const std::uint64_t w = codes ? width : blocks(width, hidden)[0], h = codes ? hidden : blocks(width, hidden)[1];
      const std::uint64_t down_h = codes ? hidden : blocks(hidden, width)[0],
                          down_w = codes ? width : blocks(hidden, width)[1];
      RawTensor gate_up{experts + "gate_up_proj" + what, codes ? "F8_E4M3" : "F32", {e, 2 * w, h}, ""};
      RawTensor down{experts + "down_proj" + what, gate_up.dtype, {e, down_h, down_w}, ""};
      for (std::uint64_t i = 0; i < e; ++i) {
        auto part = [&](const char* name) {
          return tensor(separate, experts + std::to_string(i) + "." + name + ".weight" + what).bytes;
        };
        gate_up.bytes += part("gate_proj") + part("up_proj");
        down.bytes += part("down_proj");
      }
      fused.push_back(gate_up);
      fused.push_back(down);
    }
  }
  TempDir one, two;
  const Json patch = {{"quantization_config", {{"quant_method", "fp8"}, {"weight_block_size", {16, 24}}}}};
  write_config(one, qwen, patch);
  write_config(two, qwen, patch);
  write_text(one.path / "model.safetensors", safetensors(separate));
  for (const RawTensor& t : separate) {
    if (t.name.find(".experts.") == std::string::npos) fused.push_back(t);
  }
  write_text(two.path / "model.safetensors", safetensors(fused));
  const ModelConfig c = read_config(one.str());
  for (std::int32_t rank = 0; rank < 3; ++rank) {
    const Weights a = load_weights(one.str(), c, contiguous_slices(c, 3), {rank}, "auto");
    const Weights b = load_weights(two.str(), c, contiguous_slices(c, 3), {rank}, "auto");
    REQUIRE(a.bytes == b.bytes);
    CHECK(std::memcmp(a.embedding.data, b.embedding.data, a.bytes - 256) == 0);
  }
}
