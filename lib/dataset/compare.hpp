// Holds rows of two datasets of any type against each other: carried columns of a run against those of its input. Used
// by verify and reopen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "system/files/h5.hpp"

namespace moemill::dataset {

// Where two datasets of the same rows differ, or nothing: types, inner axes, values (rows first .. of `a` against rows
// 0 .. of `b`). Compared as values, so strings compare by text.
std::optional<std::string> differ(hid_t a, std::uint64_t first, std::uint64_t count, hid_t b, std::uint64_t b_first);

// The same where the types may differ, as when a column is written anew with longer texts or larger numbers among them:
// texts of fixed and variable length are the same where their bytes are, numbers (also in lists, arrays and records)
// where each type holds the other's value.
std::optional<std::string> differ_in_value(hid_t a, std::uint64_t first, std::uint64_t count, hid_t b,
                                           std::uint64_t b_first);

}  // namespace moemill::dataset
