// Paths as people write them in run.yaml and on the command line. Called wherever one is taken, so that all are read
// the same.
#pragma once

#include <string>
#include <string_view>

namespace moemill {

// Refuses what only a shell understands, a `~` at the beginning and `$NAME`, and names that are not UTF-8. `what`
// begins the message. UserError.
void check_path(std::string_view what, const std::string& path);

}  // namespace moemill
