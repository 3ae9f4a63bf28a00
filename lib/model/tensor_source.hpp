// Where the loader's tensors come from: the model's files, or random numbers. Both answer the same two questions, so
// the loader is written once. Private to model/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/aligned.hpp"
#include "base/bf16.hpp"
#include "model/safetensors.hpp"

namespace moemill::model {

// A source has
//   need(name, shape): this tensor will be wanted; checks what can be checked;
//   rows(name, columns, first, count): rows of a matrix in bf16, row-major, valid until the next call;
//   floats(name, count, out): a vector, exact in fp32;
//   release(name): its last row was read.

class FileSource {
 public:
  explicit FileSource(const ModelFiles& files) : files_(files) {}

  void need(const std::string& name, const std::vector<std::uint64_t>& shape);
  const bf16* rows(const std::string& name, std::uint64_t columns, std::uint64_t first, std::uint64_t count);
  void floats(const std::string& name, std::uint64_t count, float* out);
  void release(const std::string& name);

  // After every tensor of the model was needed: what was rounded, and tensors that nobody asked for, MTP layers (index
  // `layers` on) and rotary tables excepted.
  std::vector<std::string> warnings(std::uint32_t layers) const;

 private:
  const TensorInfo& tensor(const std::string& name) const;
  const ModelFiles& files_;
  std::unordered_set<const TensorInfo*> needed_;
  AlignedBuffer<bf16> converted_;
};

class DummySource {
 public:
  void need(const std::string&, const std::vector<std::uint64_t>&) {}
  const bf16* rows(const std::string& name, std::uint64_t columns, std::uint64_t first, std::uint64_t count);
  void floats(const std::string& name, std::uint64_t count, float* out);
  void release(const std::string&) {}

 private:
  AlignedBuffer<bf16> values_;
};

// For measuring: wants nothing and is never read.
class NoSource {
 public:
  void need(const std::string&, const std::vector<std::uint64_t>&) {}
};

}  // namespace moemill::model
