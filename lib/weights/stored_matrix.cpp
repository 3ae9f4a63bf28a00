#include "weights/stored_matrix.hpp"

#include "weights/files/fp8_scales.hpp"

namespace moemill::model {

namespace {

// As config.json says.
StoredMatrix usual(const ModelConfig& config, const std::string& name, std::uint64_t rows, std::uint32_t columns) {
  const Quantization& q = config.quantization;
  const bool left_alone = name == config.names.body + "embed_tokens.weight" || name == config.names.head + ".weight";
  if (q.format != WeightFormat::Fp8 || left_alone) return {};
  // A scale per row; files with a scale per matrix are exceptions.
  if (q.block_rows == 0) return {WeightFormat::Fp8, rows, 1, columns};
  return {WeightFormat::Fp8, rows, q.block_rows, q.block_columns};
}

// As the files show. Scales of a wrong shape count as none here; reading the tensor reports them.
StoredMatrix stored_as(const ModelFiles& files, const TensorInfo& data, const Quantization& quantization) {
  if (data.dtype != "F8_E4M3") return {};
  const TensorInfo* scales = files.find(data.name + "_scale_inv");
  if (scales == nullptr) scales = files.find(data.name + "_scale");
  if (scales == nullptr) return {};
  const auto grid = scale_grid(data.shape, scales->shape, quantization);
  if (!grid) return {};
  return {WeightFormat::Fp8, grid->group_rows, grid->block_rows, grid->block_columns};
}

}  // namespace

StoredMatrix stored_matrix(const ModelConfig& config, const std::string& name, std::uint64_t rows,
                           std::uint32_t columns) {
  if (!config.quantization.keep) return {};
  const auto exception = config.quantization.exceptions.find(name);
  return exception == config.quantization.exceptions.end() ? usual(config, name, rows, columns) : exception->second;
}

void find_exceptions(ModelConfig& config, const ModelFiles& files, const std::vector<WantedTensor>& tensors) {
  Quantization& quantization = config.quantization;
  quantization.exceptions.clear();
  if (quantization.format != WeightFormat::Fp8) return;
  for (const WantedTensor& wanted : tensors) {
    const TensorInfo* data = files.find(wanted.name);
    if (wanted.content != Content::Matrix || data == nullptr || data->shape != wanted.shape) continue;
    const std::uint64_t rows = wanted.shape[wanted.shape.size() - 2];
    const StoredMatrix stored = stored_as(files, *data, quantization);
    if (stored == usual(config, wanted.name, rows, static_cast<std::uint32_t>(wanted.shape.back()))) continue;
    quantization.exceptions.emplace(wanted.name, stored);
  }
}

}  // namespace moemill::model
