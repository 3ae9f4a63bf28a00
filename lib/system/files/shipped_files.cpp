#include "system/files/shipped_files.hpp"

#include <filesystem>

namespace moemill {

std::string shipped_path(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (path.empty() || fs::path(path).is_absolute() || fs::exists(path, ignored)) return path;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const char* beside : {"../share/moemill", "../.."}) {
    const fs::path there = (program / beside / path).lexically_normal();
    if (!program.empty() && fs::exists(there, ignored)) return there.string();
  }
  return path;
}

std::string model_folder(const std::string& word, const std::string& models) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (word.empty() || word.find('/') != word.npos || fs::exists(word + "/config.json", ignored))
    return shipped_path(word);
  const std::string named = models + "/" + word;
  return fs::exists(named + "/config.json", ignored) ? named : word;
}

std::string shipped_model(const std::string& word) { return model_folder(word, shipped_path("configs/models")); }

}  // namespace moemill
