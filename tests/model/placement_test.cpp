#include "model/placement.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace moemill;

TEST_CASE("placement: balanced, contiguous, every expert owned once, for all E and D up to 40 x 50") {
  for (std::uint32_t experts = 1; experts <= 40; ++experts) {
    for (std::uint32_t domain = 1; domain <= 50; ++domain) {
      model::Placement p{experts, domain};
      CAPTURE(experts);
      CAPTURE(domain);
      std::uint32_t next = 0, least = experts, most = 0;
      bool right = true;
      for (std::int32_t rank = 0; rank < static_cast<std::int32_t>(domain); ++rank) {
        std::uint32_t count = p.count({rank});
        least = std::min(least, count), most = std::max(most, count);
        right = right && static_cast<std::uint32_t>(p.first({rank}).value) == next;
        for (std::uint32_t i = 0; i < count; ++i, ++next) {
          GlobalExpert e{static_cast<std::int32_t>(next)};
          right = right && p.owner(e).value == rank && p.local(e).value == static_cast<std::int32_t>(i);
        }
      }
      CHECK(right);
      CHECK(next == experts);
      CHECK(most - least <= 1);
    }
  }
}

TEST_CASE("placement: no overflow at the largest sizes") {
  model::Placement p{16384, 1u << 20};
  CHECK(p.owner({16383}).value == (1 << 20) - 1);
  CHECK(p.local({16383}).value == 0);
}
