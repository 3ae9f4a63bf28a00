// Copies rows of a dataset of any type from one file to another, unchanged. Used for /carry by the output writer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "system/files/h5.hpp"

namespace moemill::dataset {

// Bytes of a row in memory. UserError for a dataset that cannot be carried; `place` names it.
std::uint64_t carried_row_bytes(hid_t dataset, const std::string& place);

// Makes an empty dataset like `source` (type and inner axes) that grows along its first axis, in chunks of at most
// `most_chunk_rows`.
h5::Handle make_carried(hid_t group, const std::string& name, hid_t source, std::optional<std::uint32_t> gzip_level,
                        std::uint64_t most_chunk_rows);

// Copies rows first .. first+count-1 of `source` behind the `size` rows of `target`. Memory is bounded for any count.
void copy_carried(hid_t source, std::uint64_t first, std::uint64_t count, hid_t target, std::uint64_t size);

}  // namespace moemill::dataset
