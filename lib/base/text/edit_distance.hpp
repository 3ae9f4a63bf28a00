// The distance between two names in typing errors. Used for suggestions, and for columns whose name is nearly that of a
// setting.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moemill {

// The number of letters left out, added, changed, or swapped with their neighbour (optimal string alignment), in bytes.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The same, if it is small enough for the length of the known name that this name is probably meant: one error per
// three letters, none in the shortest names.
std::optional<std::size_t> typing_errors(std::string_view written, std::string_view known);

// The known name that is probably meant: the one with the fewest typing errors, else the only one that begins with what
// is written, else the longest one that what is written begins with (`stop_sequences`: `stop`). Empty if there is none.
std::string likely_name(std::string_view written, const std::vector<std::string>& known);

}  // namespace moemill
