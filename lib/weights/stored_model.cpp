#include "weights/stored_model.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/error.hpp"
#include "weights/tensor_list.hpp"
#include "weights/tensor_source.hpp"

namespace moemill::model {

namespace {

// Refuses a head that differs from the embedding although config.json ties the two: transformers would use both.
void check_tied_head(const ModelFiles& files, const TensorNames& names) {
  const TensorInfo* table = files.find(names.body + "embed_tokens.weight");
  const TensorInfo* head = files.find(names.head + ".weight");
  if (table == nullptr || head == nullptr) return;
  bool same = table->dtype == head->dtype && table->length == head->length;
  std::vector<std::byte> left(1u << 20), right(left.size());
  for (std::uint64_t at = 0; same && at < head->length; at += left.size()) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left.size(), head->length - at));
    files.file(*table).read(table->offset + at, {left.data(), count});
    files.file(*head).read(head->offset + at, {right.data(), count});
    same = std::memcmp(left.data(), right.data(), count) == 0;
  }
  if (!same) {
    user_error(
        "{}: differs from {}, but \"tie_word_embeddings\" in config.json says that they are one; set it to false to "
        "use both",
        files.place(*head), table->name);
  }
}

}  // namespace

bool has_weights(const std::string& dir) {
  std::error_code unreadable;
  for (const auto& entry : std::filesystem::directory_iterator(dir, unreadable))
    if (entry.path().extension() == ".safetensors" || entry.path().filename() == "model.safetensors.index.json")
      return true;
  return false;
}

ModelConfig stored_config(const std::string& dir, const ModelConfig& config, const std::string& load_format) {
  if (parse_load_format(load_format) == LoadFormat::Dummy) return config_without_files(config);
  return config_in_files(config, ModelFiles(dir));
}

std::vector<std::string> check_model_files(const std::string& dir, const ModelConfig& config,
                                           const std::string& load_format) {
  if (parse_load_format(load_format) == LoadFormat::Dummy) return {};  // needs no files beyond config.json
  const ModelFiles files(dir);
  const ModelConfig stored = config_in_files(config, files);
  if (stored.tied_embeddings) check_tied_head(files, stored.names);
  return FileSource(files, all_tensors(stored), stored.quantization).warnings(stored);
}

}  // namespace moemill::model
