// The kernel's control groups of this process, versions 1 and 2, nested as batch systems and containers create them.
// Used for memory and CPU limits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moemill {

struct ControlGroup {
  std::string folder;
  int version = 2;
};

// The groups of one controller (memory, cpu, cpuset), from the process's own group up to the root of the mount. Each of
// them limits the process. `root` is prepended to every path: "" on a machine, a folder in tests.
std::vector<ControlGroup> control_groups(const std::string& root, std::string_view controller);

}  // namespace moemill
