// model_sha256 identifies the model that made the outputs without reading all of it. It covers config.json,
// generation_config.json, every safetensors header, and the middle 4 KB of every tensor (or all of a smaller one),
// which any fine-tuning, merging or requantisation changes. A change of single values elsewhere is noticed only when
// the weights have been read (weights_digest.hpp). File names count, the folder's path does not. DeepSeek-V3 has some
// 90,000 tensors, which take seconds from a local disk.
#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "weights/files/safetensors.hpp"
#include "weights/stored_model.hpp"

namespace moemill::model {

namespace {

constexpr std::uint64_t sample_bytes = 4096;

// Length first, so that the end of one piece and the beginning of the next cannot be confused.
void add(Sha256& hash, std::span<const std::byte> bytes) {
  std::uint64_t length = bytes.size();
  std::array<std::byte, 8> prefix;
  for (std::size_t i = 0; i < 8; ++i) prefix[i] = static_cast<std::byte>(length >> (8 * i));
  hash.update(prefix);
  hash.update(bytes);
}

void add(Sha256& hash, std::string_view text) { add(hash, std::as_bytes(std::span(text.data(), text.size()))); }

void add_file(Sha256& hash, const std::filesystem::path& path) {
  add(hash, path.filename().string());
  MappedFile file(path.string());
  add(hash, file.bytes(0, file.size()));
}

void add_weights(Sha256& hash, const ModelFiles& files) {
  for (std::size_t f = 0; f < files.files().size(); ++f) {
    const MappedFile& file = files.files()[f];
    file.expect_random_use();
    add(hash, std::filesystem::path(file.path()).filename().string());
    std::uint64_t header = file.size();  // a file without tensors is all header
    for (const TensorInfo& t : files.tensors()) {
      if (t.file == f) header = std::min(header, t.offset);
    }
    add(hash, file.bytes(0, header));
  }
  for (const TensorInfo& t : files.tensors()) {
    std::uint64_t length = std::min(t.length, sample_bytes);
    add(hash, files.bytes(t).subspan((t.length - length) / 2, length));
  }
}

}  // namespace

std::string model_fingerprint(const std::string& dir, const std::string& load_format) {
  namespace fs = std::filesystem;
  Sha256 hash;
  add(hash, "moemill model 1");
  add_file(hash, fs::path(dir) / "config.json");
  std::error_code ignored;
  fs::path generation = fs::path(dir) / "generation_config.json";
  if (fs::exists(generation, ignored)) add_file(hash, generation);
  if (load_format == "dummy") {
    add(hash, "dummy 1");
  } else {
    add_weights(hash, ModelFiles(dir));
  }
  return hash.hex();
}

}  // namespace moemill::model
