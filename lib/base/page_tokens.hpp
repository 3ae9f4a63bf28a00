// The size of a KV page. It is part of the definition of the answers: attention sums block by block, and its blocks are
// these pages. Used by schedule/, by the attention kernels and by everything that counts pages.
#pragma once

#include <cstdint>

namespace moemill {

constexpr std::uint32_t page_tokens = 64;  // tokens per page, from position 0 on

}  // namespace moemill
