#include "system/files/open_files.hpp"

#include <sys/resource.h>

namespace moemill::files {

void allow_many_open_files() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace moemill::files
