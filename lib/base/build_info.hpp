// The identity of this binary, for `moemill --version` and the outputs' root attributes.
#pragma once

#include <string_view>

namespace moemill::build_info {

std::string_view version();     // "0.1.0"
std::string_view git_commit();  // 40 hex digits, followed by "-dirty" if tracked files were changed
std::string_view compiler();    // "GNU 12.2.0"
std::string_view build_type();
std::string_view hdf5_version();  // of the headers it was compiled with
std::string_view backends();      // "cpu"

}  // namespace moemill::build_info
