// Where this process sits in the kernel's control groups, of version 1 and 2, nested as batch systems and containers
// make them. Used for memory and CPU limits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moemill {

struct ControlGroup {
  std::string folder;
  int version = 2;
};

// The groups of one controller (memory, cpu, cpuset), from the process's own up to the root of the mount. All that lies
// on the way limits the process. `root` stands before every path: "" on a machine, a folder in tests.
std::vector<ControlGroup> control_groups(const std::string& root, std::string_view controller);

}  // namespace moemill
