// Reads quantization_config: the quantised format of the weights. Which tensors have it is read from the files, tensor
// by tensor, so the lists of excluded modules are not needed here.
#include <algorithm>

#include "base/error.hpp"
#include "model/family.hpp"

namespace moemill::model {

namespace {

constexpr std::uint32_t max_block = 1u << 18;

void read_block(const JsonObject& json, std::string_view key, Quantization& quantization) {
  const nlohmann::json& block = json.json()[std::string(key)];
  auto extent = [&](std::size_t i) {
    bool good = block.is_array() && block.size() == 2 && block[i].is_number_integer();
    auto n = good ? block[i].get<std::int64_t>() : 0;
    if (n < 1 || n > max_block) json.refuse(key, fmt::format("[rows, columns], each 1 to {}", max_block));
    return static_cast<std::uint32_t>(n);
  };
  quantization.block_rows = extent(0);
  quantization.block_columns = extent(1);
}

// DeepSeek's and similar files have one scale per block. AutoFP8's files have one scale per matrix and no
// weight_block_size.
void read_fp8(const JsonObject& json, Quantization& quantization) {
  quantization = {WeightFormat::Fp8, 128, 128};
  if (json.text_or("fmt", "e4m3") != "e4m3") json.refuse("fmt", "e4m3");
  if (!json.json().contains("weight_block_size")) return;
  if (json.has("weight_block_size")) {
    read_block(json, "weight_block_size", quantization);
  } else {
    quantization.block_rows = quantization.block_columns = 0;
  }
}

// Reads the weight scheme of one group of modules in the format of compressed-tensors.
Quantization read_scheme(const JsonObject& weights) {
  if (weights.text("type") != "float") {
    weights.refuse("type",
                   "float: integer weights (INT4, INT8) are not read yet; use a copy of the model in FP8 or bfloat16");
  }
  if (weights.integer("num_bits", 1, 64) != 8) {
    weights.refuse("num_bits",
                   "8: FP4 weights (NVFP4, MXFP4) are not read yet under compressed-tensors; use a copy of the "
                   "model in FP8 or bfloat16");
  }
  if (!weights.flag_or("symmetric", true)) weights.refuse("symmetric", "true: FP8 has no zero point");
  Quantization q{WeightFormat::Fp8, 0, 0};
  const bool grouped = weights.has("group_size") && weights.json()["group_size"] != -1;
  const std::string strategy = weights.text_or("strategy", grouped ? "group" : "tensor");
  if (strategy == "block") {
    if (!weights.has("block_structure")) weights.refuse("block_structure", "[rows, columns] under strategy block");
    read_block(weights, "block_structure", q);
  } else if (strategy == "group") {
    q.block_rows = 1;
    q.block_columns = weights.integer("group_size", 1, max_block);
  } else if (strategy != "tensor" && strategy != "channel") {
    weights.refuse("strategy", "tensor, channel, group or block");
  }
  return q;
}

void check_compressed_format(const JsonObject& json) {
  constexpr std::string_view known[] = {"float-quantized", "naive-quantized"};
  const std::string format = json.text_or("format", "float-quantized");
  if (std::find(std::begin(known), std::end(known), format) != std::end(known)) return;
  json.refuse(
      "format",
      "float-quantized (FP8): INT4 (pack-quantized, marlin-24), INT8 (int-quantized), NVFP4 and sparse weights are "
      "not read yet; use a copy of the model in FP8 or bfloat16");
}

// Reads the files of llm-compressor: FP8 with one scale per matrix, row or block.
void read_compressed_tensors(const JsonObject& json, Quantization& quantization) {
  const bool mixed = json.text_or("format", "") == "mixed-precision";
  if (!mixed) check_compressed_format(json);
  for (std::string_view key : {"sparsity_config", "transform_config"}) {
    if (!json.has(key)) continue;
    const JsonObject more = json.object(key);
    if (more.json().empty() || more.text_or("format", "") == "dense") continue;
    json.refuse(key, "absent or empty: sparse and rotated weights are not read yet");
  }
  const JsonObject groups = json.object("config_groups");
  quantization = {WeightFormat::Fp8, 0, 0};
  for (const auto& [name, value] : groups.json().items()) {
    const JsonObject group = groups.object(name);
    if (!group.has("weights")) continue;  // the group quantises activations only
    if (mixed || group.has("format")) check_compressed_format(group);
    const Quantization own = read_scheme(group.object("weights"));
    if (own.block_rows == 0) continue;
    const bool same = quantization.block_rows == own.block_rows && quantization.block_columns == own.block_columns;
    if (quantization.block_rows > 0 && !same) group.refuse("weights", "of one size of blocks in all groups");
    quantization = own;
  }
}

// Reads MXFP4. Blocks of 32 values lie along the inputs of both products: hidden_size and the experts' width.
void read_mxfp4(const JsonObject& json, ModelConfig& config) {
  config.quantization.format = WeightFormat::Mxfp4;
  if (config.hidden % 32 != 0) json.refuse("hidden_size", "a multiple of 32, a block of MXFP4");
  if (config.moe.expert_width % 32 != 0) json.refuse("intermediate_size", "a multiple of 32, a block of MXFP4");
}

// The format's usual name, for messages; the method's own name if there is no other.
std::string spoken_name(const std::string& method) {
  constexpr std::pair<std::string_view, std::string_view> names[] = {
      {"gptq", "GPTQ"},
      {"gptq_marlin", "GPTQ"},
      {"awq", "AWQ"},
      {"awq_marlin", "AWQ"},
      {"auto-round", "AutoRound"},
      {"hqq", "HQQ"},
      {"aqlm", "AQLM"},
      {"bitsandbytes", "bitsandbytes"},
      {"mxfp4", "MXFP4"},
      {"quark", "Quark"},
      {"modelopt", "ModelOpt (NVFP4, FP8)"},
      {"modelopt_fp4", "NVFP4"},
  };
  for (const auto& [key, name] : names) {
    if (key == method) return std::string(name);
  }
  return "\"" + method.substr(0, 40) + "\"";
}

[[noreturn]] void refuse_method(const JsonObject& json, const std::string& method, bool fused) {
  json.refuse(
      "quant_method",
      fmt::format("{} in this family: {} weights are not read yet; use a copy of the model in {} or in bfloat16",
                  fused ? "mxfp4" : "fp8, fbgemm_fp8 or compressed-tensors (FP8)", spoken_name(method),
                  fused ? "MXFP4" : "FP8"));
}

}  // namespace

void read_quantization(const JsonObject& json, ModelConfig& config) {
  if (json.has("quantization")) {
    json.refuse("quantization", "absent: MLX's weights are not read yet; use a copy of the model in FP8 or bfloat16");
  }
  // Until 2024, compressed-tensors wrote another key.
  const bool old = !json.has("quantization_config") && json.has("compression_config");
  if (!old && !json.has("quantization_config")) return;
  const JsonObject quantization = json.object(old ? "compression_config" : "quantization_config");
  const std::string method = old ? "compressed-tensors" : quantization.text("quant_method");
  const bool fused = config.names.experts == ExpertStorage::Fused;
  if (fused && method == "mxfp4") return read_mxfp4(json, config);
  if (fused) refuse_method(quantization, method, fused);
  if (method == "fp8") return read_fp8(quantization, config.quantization);
  if (method == "compressed-tensors") return read_compressed_tensors(quantization, config.quantization);
  if (method != "fbgemm_fp8") refuse_method(quantization, method, fused);
  config.quantization = {WeightFormat::Fp8, 0, 0};  // one scale per row
}

}  // namespace moemill::model
