// What the columns of an input hold, as one checksum: the same whatever way they are stored (chunks, compression,
// attributes, links), another one for any other value. lib/dataset/README.md defines it so that anyone can compute it
// with h5py. Used by PromptFile; makes input_sha256.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "system/files/h5.hpp"

namespace moemill::dataset {

// SHA-256 (hex) of the first `rows` rows of a dataset: a line with type and shape, then every value.
std::string contents_sha256(hid_t dataset, std::uint64_t rows);

// The checksum of all columns, and of each: a line "<sha256>  <name>\n" in the order of their names, as sha256sum
// prints them. The first is that of the second.
struct InputContents {
  std::string sha256;
  std::string columns;
};
// Takes the columns of a group, whose names may repeat; a packed one counts as its members, each by itself.
InputContents contents_of(hid_t group, const std::vector<std::string>& names, std::uint64_t rows);
// The names of the columns in which two InputContents::columns differ, or that only one of them has.
std::vector<std::string> changed_columns(const std::string& before, const std::string& now);

}  // namespace moemill::dataset
