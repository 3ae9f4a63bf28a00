// Some rows of a dataset of any type in memory. Used for carried columns and for what the fingerprint is made of.
#pragma once

#include <cstdint>
#include <vector>

#include "system/files/h5.hpp"

namespace moemill::dataset {

// Bytes of a row in memory, without what variable-length values point to; 2^64-1 where there are more.
std::uint64_t row_bytes_of(hid_t dataset);
// Rows are held whole, a few at a time: PromptFile refuses columns with larger ones.
constexpr std::uint64_t most_row_bytes = 1u << 30;
// How many rows are well looked at together.
std::uint64_t block_rows_of(hid_t dataset);
// Whether some of a type's values are strings or of variable length.
bool has_variable_parts(hid_t type);

// What the rows' variable-length values point to is HDF5's and goes back at the end.
class RowsInMemory {
 public:
  RowsInMemory(hid_t dataset, std::uint64_t first, std::uint64_t count);
  // As values of another type, which those of the dataset convert to.
  RowsInMemory(hid_t dataset, std::uint64_t first, std::uint64_t count, h5::Handle type);
  RowsInMemory(const RowsInMemory&) = delete;
  RowsInMemory& operator=(const RowsInMemory&) = delete;
  ~RowsInMemory();
  hid_t type() const { return type_; }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  h5::Handle type_;
  h5::Handle space_;
  std::vector<std::byte> bytes_;
};

}  // namespace moemill::dataset
