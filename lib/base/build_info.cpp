#include "base/build_info.hpp"

#include "build_info_values.hpp"

namespace moemill::build_info {

std::string_view version() { return MOEMILL_VERSION; }
std::string_view git_commit() { return MOEMILL_GIT_COMMIT; }
std::string_view compiler() { return MOEMILL_COMPILER; }
std::string_view build_type() { return MOEMILL_BUILD_TYPE; }
std::string_view hdf5_version() { return MOEMILL_HDF5_VERSION; }
std::string_view backends() { return "cpu"; }

}  // namespace moemill::build_info
