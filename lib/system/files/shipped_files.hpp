// The shapes of published models and the bench's model ship with the program. Used by bench and validate, so that their
// relative names, as README and help have them, work from any folder.
#pragma once

#include <string>

namespace moemill {

// Resolves a relative path that does not exist in the current folder against the program's own: share/moemill of an
// installed tree, or the checkout it was built in. Returns the path unchanged if neither has it.
std::string shipped_path(const std::string& path);

}  // namespace moemill
