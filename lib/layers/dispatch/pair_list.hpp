// The pairs (row, expert) that a rank computes in a layer, sorted by the expert's slot. Made on the host by the
// exchange.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "base/buffer.hpp"
#include "base/error.hpp"

namespace moemill::layers {

class PairList {
 public:
  // for_each_pair(visit) calls visit(row, slot) for every pair in the order of their outputs, the first of which is
  // number first_output; it is called twice. Within a slot the pairs keep that order.
  template <class ForEachPair>
  void fill(std::uint32_t slots, std::uint32_t first_output, const ForEachPair& for_each_pair) {
    begin_.assign(slots + 1, 0);
    for_each_pair([&](std::uint32_t, std::uint32_t slot) {
      expect(slot < slots, "exchange: a received row asks for an expert of this rank");
      ++begin_[slot];
    });
    std::exclusive_scan(begin_.begin(), begin_.end(), begin_.begin(), 0u);
    row_.reserve(size()), output_.reserve(size());
    std::uint32_t output = first_output;
    for_each_pair([&](std::uint32_t row, std::uint32_t slot) {
      const std::uint32_t at = begin_[slot]++;
      row_[at] = row, output_[at] = output++;
    });
    // Filling moved every begin to its end, which is the next one's begin.
    std::copy_backward(begin_.begin(), begin_.end() - 1, begin_.end());
    begin_.front() = 0;
  }

  std::uint32_t size() const { return begin_.back(); }
  Vector<const std::uint32_t> slot_begin() const { return {begin_.data(), begin_.size()}; }  // [slots + 1]
  Vector<const std::uint32_t> rows() const { return {row_.data(), size()}; }                 // [pairs]
  Vector<const std::uint32_t> outputs() const { return {output_.data(), size()}; }           // [pairs]
  std::uint64_t bytes() const { return row_.capacity_bytes() + output_.capacity_bytes(); }

 private:
  std::vector<std::uint32_t> begin_{0};
  Buffer<std::uint32_t> row_;
  Buffer<std::uint32_t> output_;
};

}  // namespace moemill::layers
