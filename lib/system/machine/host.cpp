#include "system/machine/host.hpp"

#include <unistd.h>

namespace moemill {

std::string host_name() {
  char name[256] = "";  // the last byte stays 0, because a longer name may come without a terminator
  if (::gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "unknown host";
  return name;
}

}  // namespace moemill
