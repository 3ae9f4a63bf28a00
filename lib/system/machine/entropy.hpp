// The kernel's random numbers, for names that no two processes may share. Random numbers that decide about tokens come
// from base/numbers/random.hpp.
#pragma once

#include <cstddef>
#include <string>

namespace moemill {

// `bytes` random bytes (at most 256) as hex digits, two per byte. SystemError if the kernel provides none.
std::string random_hex(std::size_t bytes);

}  // namespace moemill
