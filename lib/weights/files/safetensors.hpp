// The tensors of a model folder: model.safetensors, or the parts that model.safetensors.index.json names. The files are
// memory-mapped, and every header is checked completely before a byte of a tensor is used. Used by the loader, the
// checks and the fingerprint.
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
  std::uint64_t offset = 0;  // bytes from the start of the file to the data
  std::uint64_t length = 0;  // bytes of data
  std::uint32_t file = 0;    // index into ModelFiles::files()
};

std::string shape_text(const std::vector<std::uint64_t>& shape);  // "[96, 192]"
std::string first_names(std::vector<std::string> names);          // "NAME", or "NAME, NAME, NAME and 7 more"

using WeightMap = std::map<std::string, std::string>;  // as an index says: the path of each tensor's file

// The tensors of one file, by offset. `bytes` is the whole file, `file` its name for messages. Checks the length field,
// that the header is JSON and has no name twice, that dtypes are known and shapes agree with offsets, and that tensors
// follow each other from the header to the end of the file, so that none overlap or lie outside. Throws UserError
// naming file and tensor.
std::vector<TensorInfo> parse_safetensors(const std::string& file, std::span<const std::byte> bytes);

class ModelFiles {
 public:
  // UserError naming what is missing or wrong.
  explicit ModelFiles(const std::string& dir);

  const std::vector<MappedFile>& files() const { return files_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // by file, then by offset
  const TensorInfo* find(std::string_view name) const;                 // null where there is none
  std::string place(const TensorInfo& tensor) const;                   // "FILE: tensor NAME"
  // What the index says about a tensor that find() does not know, as the end of a sentence; "" if it says nothing.
  std::string why_missing(std::string_view name) const;
  // Faults of the index, a line per kind of fault, for a model that needs no missing tensor.
  std::vector<std::string> index_faults() const;
  const std::string& origin() const { return origin_; }  // the one file, or the index of its parts
  std::span<const std::byte> bytes(const TensorInfo& tensor) const;
  const MappedFile& file(const TensorInfo& tensor) const { return files_[tensor.file]; }

 private:
  void open(const std::string& path);
  void name_tensors(const WeightMap& index);
  std::string origin_;
  std::vector<MappedFile> files_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, std::size_t> by_name_;  // views into tensors_
  std::set<std::string> missing_parts_;                        // paths
  WeightMap not_found_;                                        // named by the index, but in no part
  std::vector<std::string> misplaced_;                         // in a different part than the index says
};

}  // namespace moemill::model
