// The shapes of published models and the bench's model ship with the program. Used by bench and validate, so that their
// relative names, as README and help have them, work from any folder.
#pragma once

#include <string>

namespace moemill {

// A relative path that is not there, beside the program: in share/moemill of an installed tree, or in the checkout that
// it was built in. As it was given where it is in neither.
std::string shipped_path(const std::string& path);

}  // namespace moemill
