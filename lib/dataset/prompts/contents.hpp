// The contents of an input's columns as one checksum, which does not depend on how they are stored (chunks,
// compression, attributes, links) and differs for different values. lib/dataset/README.md defines it, so that it can be
// computed with h5py too. Used by PromptFile; makes input_sha256.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "system/files/h5.hpp"

namespace moemill::dataset {

// SHA-256 (hex) of the first `rows` rows of a dataset: a line with type and shape, then every value.
std::string contents_sha256(hid_t dataset, std::uint64_t rows);

// `columns` has a line "<sha256>  <name>\n" per column, in the order of the names and as sha256sum prints it. `sha256`
// is the checksum of this text.
struct InputContents {
  std::string sha256;
  std::string columns;
};
// The contents of columns of a group. Names may repeat; a packed column counts as its members, one by one.
InputContents contents_of(hid_t group, const std::vector<std::string>& names, std::uint64_t rows);
// The names of the columns in which two InputContents::columns differ, or which only one of them has.
std::vector<std::string> changed_columns(const std::string& before, const std::string& now);

}  // namespace moemill::dataset
