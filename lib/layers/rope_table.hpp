// Cosines and sines of the rotary embedding by position, for layers/attention_plan, which gathers those of a step's
// rows. It grows when positions are first used, so a very long context costs nothing until a sequence is that
// long.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.hpp"

namespace moemill::layers {

class RopeTable {
 public:
  explicit RopeTable(const model::Rope& rope);

  // At least that many positions.
  void grow(std::uint32_t positions);
  std::size_t pairs() const { return frequencies_.size(); }
  // cosine and sine become [positions][pairs].
  void gather(std::span<const std::uint32_t> positions, float* cosine, float* sine);
  std::uint64_t bytes() const { return (cosine_.capacity() + sine_.capacity()) * sizeof(float); }

 private:
  std::vector<float> frequencies_;  // [pairs]
  float magnitude_;
  std::uint32_t filled_ = 0;   // positions in the table
  std::vector<float> cosine_;  // [filled_][pairs]
  std::vector<float> sine_;
};

}  // namespace moemill::layers
