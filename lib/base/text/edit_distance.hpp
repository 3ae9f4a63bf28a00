// How far two names are from one another in typing errors. For suggestions and for columns that nearly have a setting's
// name.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moemill {

// Letters left out, added, changed, or swapped with their neighbour (optimal string alignment), in bytes.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The same, where it is so small for the length of the known name that this one is likely to be meant: one error in
// three letters, none in the shortest names.
std::optional<std::size_t> typing_errors(std::string_view written, std::string_view known);

// The known name that is likely to be meant: the one with the fewest typing errors, or else the only one that begins
// with what is written, or else the longest one that what is written begins with (`stop_sequences`: `stop`). Empty when
// there is none.
std::string likely_name(std::string_view written, const std::vector<std::string>& known);

}  // namespace moemill
