// Paths in run.yaml and on the command line. Called wherever a path is taken, so that all paths are read in the same
// way.
#pragma once

#include <string>
#include <string_view>

namespace moemill {

// UserError, which begins with `what`, for text that only a shell replaces (`~` at the beginning, `$NAME`) and for
// names that are not UTF-8.
void check_path(std::string_view what, const std::string& path);

}  // namespace moemill
