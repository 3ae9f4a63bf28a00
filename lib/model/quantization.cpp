// quantization_config: which of the two stored formats besides plain ones the weights have. What is stored how is read
// from the files tensor by tensor, so the lists of modules left alone are not needed here.
#include "base/error.hpp"
#include "model/family.hpp"

namespace moemill::model {

namespace {

constexpr std::uint32_t max_block = 1u << 18;

void read_fp8(const JsonObject& json, Quantization& quantization) {
  quantization.format = WeightFormat::Fp8Blocks;
  if (json.text_or("fmt", "e4m3") != "e4m3") json.refuse("fmt", "e4m3");
  if (!json.json().contains("weight_block_size")) return;
  const nlohmann::json& block = json.json()["weight_block_size"];
  auto extent = [&](std::size_t i) {
    bool good = block.is_array() && block.size() == 2 && block[i].is_number_integer();
    auto n = good ? block[i].get<std::int64_t>() : 0;
    if (n < 1 || n > max_block) {
      json.refuse("weight_block_size", fmt::format("[rows, columns], each 1 to {}: scales by tensor or by row are not "
                                                   "supported",
                                                   max_block));
    }
    return static_cast<std::uint32_t>(n);
  };
  quantization.block_rows = extent(0);
  quantization.block_columns = extent(1);
}

// Blocks of 32 values go along the inputs of both products: hidden_size and the experts' width.
void read_mxfp4(const JsonObject& json, ModelConfig& config) {
  config.quantization.format = WeightFormat::Mxfp4;
  if (config.hidden % 32 != 0) json.refuse("hidden_size", "a multiple of 32, a block of MXFP4");
  if (config.moe.expert_width % 32 != 0) json.refuse("intermediate_size", "a multiple of 32, a block of MXFP4");
}

}  // namespace

void read_quantization(const JsonObject& json, ModelConfig& config) {
  if (json.has("compression_config")) json.refuse("compression_config", "absent: such weights are not supported");
  if (!json.has("quantization_config")) return;
  JsonObject quantization = json.object("quantization_config");
  std::string method = quantization.text("quant_method");
  bool fused = config.names.experts == ExpertStorage::Fused;
  if (method == (fused ? "mxfp4" : "fp8")) {
    if (fused) {
      read_mxfp4(json, config);
    } else {
      read_fp8(quantization, config.quantization);
    }
    return;
  }
  quantization.refuse("quant_method", fmt::format("{} in this family: other quantised weights are not supported; use "
                                                  "such a copy of the model, or one in bfloat16",
                                                  fused ? "mxfp4" : "fp8"));
}

}  // namespace moemill::model
