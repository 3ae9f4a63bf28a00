// Some rows of a dataset of any type in memory. Used for carried columns and for the fingerprint of the input.
#pragma once

#include <cstdint>
#include <vector>

#include "system/files/h5.hpp"

namespace moemill::dataset {

// Bytes of a row in memory, without what variable-length values point to; 2^64-1 if there are more than 64 bits can
// count.
std::uint64_t row_bytes_of(hid_t dataset);
// Rows are held whole, a few at a time, so PromptFile refuses columns with larger rows.
constexpr std::uint64_t most_row_bytes = 1u << 30;
// How many rows to hold at a time.
std::uint64_t block_rows_of(hid_t dataset);
// Whether some of a type's values are strings or of variable length.
bool has_variable_parts(hid_t type);

// The memory that variable-length values point to belongs to HDF5 and is given back by the destructor.
class RowsInMemory {
 public:
  RowsInMemory(hid_t dataset, std::uint64_t first, std::uint64_t count);
  // As values of `type`, to which HDF5 converts those of the dataset.
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
