// Which rank of an expert domain holds which routed experts. Contiguous balanced slices: rank r of D holds experts
// [r*E/D, (r+1)*E/D) (integer division), so counts differ by at most one, and ranks beyond the experts hold none.
#pragma once

#include <cstdint>

#include "base/ids.hpp"

namespace moemill::model {

struct Placement {
  std::uint32_t experts = 0;
  std::uint32_t domain_size = 1;

  GlobalExpert first(DomainRank rank) const {
    return {static_cast<std::int32_t>(static_cast<std::uint64_t>(rank.value) * experts / domain_size)};
  }
  std::uint32_t count(DomainRank rank) const {
    return static_cast<std::uint32_t>(first({rank.value + 1}).value - first(rank).value);
  }
  DomainRank owner(GlobalExpert expert) const {
    auto r = static_cast<std::int32_t>(((static_cast<std::uint64_t>(expert.value) + 1) * domain_size - 1) / experts);
    return {r};
  }
  LocalExpert local(GlobalExpert expert) const { return {expert.value - first(owner(expert)).value}; }
};

}  // namespace moemill::model
