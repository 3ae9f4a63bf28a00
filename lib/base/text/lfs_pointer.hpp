// A model repository that was cloned without Git LFS has small text files in place of its large ones. Readers of such
// files report this, rather than the fault that the file's format would find.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace moemill {

inline void refuse_lfs_pointer(const std::string& path, std::string_view contents) {
  if (!contents.starts_with("version https://git-lfs")) return;
  user_error(
      "{}: is a Git LFS pointer, not the file itself: the repository was cloned without its large files; run `git lfs "
      "pull` in its folder, or download the file",
      path);
}

}  // namespace moemill
