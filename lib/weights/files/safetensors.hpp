// The tensors of a model folder: model.safetensors, or the parts that model.safetensors.index.json names, memory-mapped
// with every header checked completely before a byte of a tensor is used. Used by the loader, the checks, the
// fingerprint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "system/files/mapped_file.hpp"

namespace moemill::model {

struct TensorInfo {
  std::string name;
  std::string dtype;  // as in the file: BF16, F32, ...
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0;  // of the data, from the start of the file
  std::uint64_t length = 0;  // bytes
  std::uint32_t file = 0;    // index into ModelFiles::files()
};

std::string shape_text(const std::vector<std::uint64_t>& shape);  // "[96, 192]"
std::string first_names(std::vector<std::string> names);          // "NAME", or "NAME, NAME, NAME and 7 more"

using WeightMap = std::map<std::string, std::string>;  // tensor to the path of its file, as an index says

// The tensors of one file, by offset. `bytes` is the whole file, `file` its name for messages. Checked: the length
// field, JSON, no name twice, known dtypes, shape times dtype equal to the offsets, tensors back to back from the
// header to the end of the file (so none overlap or lie outside). Throws UserError naming file and tensor.
std::vector<TensorInfo> parse_safetensors(const std::string& file, std::span<const std::byte> bytes);

class ModelFiles {
 public:
  explicit ModelFiles(const std::string& dir);  // UserError naming what is missing or wrong

  const std::vector<MappedFile>& files() const { return files_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // by file, then by offset
  const TensorInfo* find(std::string_view name) const;                 // null where there is none
  std::string place(const TensorInfo& tensor) const;                   // "FILE: tensor NAME"
  // What the index says of a tensor that find() does not know, as the end of a sentence; "" where it says nothing.
  std::string why_missing(std::string_view name) const;
  // Tensors that the index names wrongly, a line for each kind of fault, when none of those missing is needed.
  std::vector<std::string> index_faults() const;
  const std::string& origin() const { return origin_; }  // the one file, or the index of its parts
  std::span<const std::byte> bytes(const TensorInfo& tensor) const;
  const MappedFile& file(const TensorInfo& tensor) const { return files_[tensor.file]; }

 private:
  void open(const std::string& path);
  void name_tensors(const WeightMap& said);
  std::string origin_;
  std::vector<MappedFile> files_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, std::size_t> by_name_;  // views into tensors_
  std::set<std::string> missing_parts_;                        // paths
  WeightMap promised_;                                         // by the index, and in no part
  std::vector<std::string> misplaced_;                         // in another part than the index says
};

}  // namespace moemill::model
