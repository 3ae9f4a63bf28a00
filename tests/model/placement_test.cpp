#include "model/placement.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/error.hpp"

using namespace moemill;
using model::Holder;
using model::LayerPlacement;

namespace {

using Slots = std::vector<std::vector<GlobalExpert>>;

std::vector<Holder> holders(const LayerPlacement& placement, std::int32_t expert) {
  const auto all = placement.holders({expert});
  return {all.begin(), all.end()};
}

}  // namespace

TEST_CASE("contiguous slices: balanced, every expert held once, for all E and R up to 40 x 50") {
  for (std::uint32_t experts = 0; experts <= 40; ++experts) {
    for (std::uint32_t ranks = 1; ranks <= 50; ++ranks) {
      CAPTURE(experts);
      CAPTURE(ranks);
      const LayerPlacement p = model::contiguous_slices(experts, ranks);
      CHECK(p.experts() == experts);
      CHECK(p.ranks() == ranks);
      std::int32_t next = 0;
      std::size_t least = experts, most = 0;
      bool right = true;
      for (std::int32_t rank = 0; rank < static_cast<std::int32_t>(ranks); ++rank) {
        const auto slots = p.slots({rank});
        least = std::min(least, slots.size()), most = std::max(most, slots.size());
        for (std::int32_t s = 0; s < std::ssize(slots); ++s, ++next) {
          right = right && slots[static_cast<std::size_t>(s)] == GlobalExpert{next} &&
                  holders(p, next) == std::vector<Holder>{{{rank}, {s}}};
        }
      }
      CHECK(right);
      CHECK(next == static_cast<std::int32_t>(experts));
      CHECK(most - least <= 1);
    }
  }
}

TEST_CASE("contiguous slices: no overflow at the largest sizes") {
  const LayerPlacement p = model::contiguous_slices(16384, 1u << 20);
  CHECK(holders(p, 16383) == std::vector<Holder>{{{(1 << 20) - 1}, {0}}});
}

TEST_CASE("placement: any table, with experts held by several ranks") {
  const LayerPlacement p(4, Slots{{{3}, {0}}, {}, {{1}, {3}, {2}}});
  CHECK(p.ranks() == 3);
  CHECK(p.slots({1}).empty());
  CHECK(p.slots({2})[1] == GlobalExpert{3});
  CHECK(holders(p, 0) == std::vector<Holder>{{{0}, {1}}});
  CHECK(holders(p, 3) == std::vector<Holder>{{{0}, {0}}, {{2}, {1}}});
}

TEST_CASE("placement: tables that cannot be are contract violations") {
  CHECK_THROWS_AS(LayerPlacement(3, Slots{{{0}, {1}}}), ContractViolation);       // 2 has no holder
  CHECK_THROWS_AS(LayerPlacement(2, Slots{{{0}, {1}, {0}}}), ContractViolation);  // 0 twice on one rank
  CHECK_THROWS_AS(LayerPlacement(2, Slots{{{0}, {1}, {2}}}), ContractViolation);  // no expert of the model
  CHECK_THROWS_AS(LayerPlacement(2, Slots{{{0}, {1}}, {{-1}}}), ContractViolation);
  CHECK_THROWS_AS(model::Placement({}), ContractViolation);
  CHECK_THROWS_AS(model::Placement({model::contiguous_slices(2, 2), model::contiguous_slices(2, 3)}),
                  ContractViolation);
}
