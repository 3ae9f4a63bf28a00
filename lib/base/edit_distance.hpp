// How far two names are from one another in typing errors. For suggestions and for columns that nearly have a setting's
// name.
#pragma once

#include <cstddef>
#include <string_view>

namespace moemill {

// Letters left out, added, changed, or swapped with their neighbour (optimal string alignment), in bytes.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace moemill
