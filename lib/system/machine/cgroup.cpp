#include "system/machine/cgroup.hpp"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

namespace moemill {
namespace {

bool has_word(std::string_view list, std::string_view word) {
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    if (list.substr(begin, end - begin) == word) return true;
    begin = end + 1;
  }
  return false;
}

// The process's path in the controller's hierarchy, from the lines "ID:CONTROLLERS:PATH" of /proc/self/cgroup; version
// 2 has "0::PATH".
std::optional<std::string> own_path(const std::string& root, std::string_view controller, int version) {
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    if (version == 2 ? line.starts_with("0::") : has_word(controllers, controller)) return line.substr(second + 1);
  }
  return std::nullopt;
}

struct Mount {
  std::string point;  // the folder where it is mounted
  std::string top;    // the group that is mounted there; a container may see only this part of the tree
};

// Parses the lines "ID PARENT MAJOR:MINOR TOP POINT OPTIONS... - TYPE SOURCE OPTIONS" of /proc/self/mountinfo.
std::optional<Mount> mount_of(const std::string& root, std::string_view controller, int version) {
  std::ifstream in(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream head(line), tail(line.substr(dash + 3));
    std::string skipped, type, source, options;
    Mount mount;
    head >> skipped >> skipped >> skipped >> mount.top >> mount.point;
    tail >> type >> source >> options;
    if (version == 2 ? type == "cgroup2" : type == "cgroup" && has_word(options, controller)) return mount;
  }
  return std::nullopt;
}

// The path below the mount, without the group that is mounted there. A path that leads out of the mount ("/../..")
// cannot be followed and becomes "", the mount itself.
std::string below(const Mount& mount, std::string path) {
  const bool within = mount.top != "/" && (path == mount.top || path.starts_with(mount.top + "/"));
  if (within) path.erase(0, mount.top.size());
  if (path.find("/..") != std::string::npos) path.clear();
  while (!path.empty() && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

std::vector<ControlGroup> control_groups(const std::string& root, std::string_view controller) {
  std::vector<ControlGroup> groups;
  for (int version : {2, 1}) {
    const auto path = own_path(root, controller, version);
    const auto mount = mount_of(root, controller, version);
    if (!path || !mount) continue;
    for (std::string group = below(*mount, *path);; group.resize(group.rfind('/'))) {
      groups.push_back({root + mount->point + group, version});
      if (group.empty()) break;
    }
  }
  return groups;
}

}  // namespace moemill
