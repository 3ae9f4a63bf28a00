#include "system/machine/entropy.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.hpp"

namespace moemill {

std::string random_hex(std::size_t bytes) {
  std::vector<unsigned char> random(bytes);
  if (::getentropy(random.data(), random.size()) != 0) system_error("getentropy: {}", std::strerror(errno));
  std::string text;
  for (unsigned char byte : random) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace moemill
