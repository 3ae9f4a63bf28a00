// True random numbers, for names that no other process may have. (Those that decide about tokens are random.hpp's.)
#pragma once

#include <cstddef>
#include <string>

namespace moemill {

// `bytes` (at most 256) random bytes of the kernel as hex digits, two a byte. SystemError when it has none.
std::string random_hex(std::size_t bytes);

}  // namespace moemill
