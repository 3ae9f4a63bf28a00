// The sizes that all parts of an exchange share.
#pragma once

#include <cstdint>

#include "base/arithmetic.hpp"

namespace moemill::layers {

struct ExchangeShape {
  std::uint32_t hidden = 0;
  std::uint32_t picks = 0;     // of a row
  std::uint32_t experts = 0;   // of a layer, on all ranks
  std::uint32_t rows = 0;      // of one rank in a micro-batch, at most
  std::uint32_t channels = 1;  // micro-batches
  // Of one rank in the second micro-batch, at most; 0: as many. A step may have one micro-batch where there is room for
  // two, so that the first one has more.
  std::uint32_t second_rows = 0;
  // Of a layer's experts, equal and in their order, by which outputs are summed (model.expert_sum); 0: picks are.
  std::uint32_t sum_groups = 0;

  ExpertSum sum() const { return sum_groups > 0 ? ExpertSum::Groups : ExpertSum::Picks; }
  std::uint32_t rows_of_all_channels() const {
    return channels == 1 ? rows : rows + (second_rows > 0 ? second_rows : rows);
  }
};

}  // namespace moemill::layers
