// A model repository that was cloned without Git LFS has small text files in the places of its large ones. Whoever
// reads such a file says so, in place of what its own format finds wrong with it.
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
