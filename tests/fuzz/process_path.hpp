// Places for what a fuzz target reads by name: one for each process, in memory where the system has such a place.
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

// The same as a folder that is there.
inline std::string process_folder(const std::string& name) {
  const std::string dir = process_path(name);
  std::filesystem::create_directories(dir);
  return dir;
}

}  // namespace moemill
