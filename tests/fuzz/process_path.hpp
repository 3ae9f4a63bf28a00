// Paths for files that a fuzz target reads by name: one per process, in memory if the system has such a place.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace moemill {

inline std::string process_path(const std::string& name) {
  const std::filesystem::path base =
      std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
  return (base / ("moemill-fuzz-" + name + "-" + std::to_string(::getpid()))).string();
}

// The same as an existing folder.
inline std::string process_folder(const std::string& name) {
  const std::string dir = process_path(name);
  std::filesystem::create_directories(dir);
  return dir;
}

}  // namespace moemill
