// Compares rows of two datasets of any type: a run's carried columns with those of its input. Used by verify and
// reopen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "system/files/h5.hpp"

namespace moemill::dataset {

// The first difference of two datasets, or nothing: in their types, their inner axes, or the values of `count` rows,
// from row `first` of `a` and row `b_first` of `b` on. Strings compare by their text.
std::optional<std::string> differ(hid_t a, std::uint64_t first, std::uint64_t count, hid_t b, std::uint64_t b_first);

// The same, but the types may differ, as they do when a column is written again with longer texts or larger numbers.
// Texts of fixed and variable length are equal when their bytes are; numbers, also in lists, arrays and records, are
// equal when both types can hold the value.
std::optional<std::string> differ_in_value(hid_t a, std::uint64_t first, std::uint64_t count, hid_t b,
                                           std::uint64_t b_first);

}  // namespace moemill::dataset
