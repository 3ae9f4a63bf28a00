// How many files a process may have open.
#pragma once

namespace moemill::files {

// Raises the soft limit to the hard one (ulimit -n): a keeper may have a journal open for each of its shards. Does
// nothing where that is not allowed.
void allow_many_open_files() noexcept;

}  // namespace moemill::files
