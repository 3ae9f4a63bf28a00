// The rows that a rank has received in a round, as their picks' outputs lie in the node's memory, and the sums of
// groups among them that go home as one row (model.expert_sum: groups). Made by the exchange once the rows have come,
// and worked off once the outputs are there.
//
// The outputs for each sender begin with what is sent home, in the order of records and picks: so a message is one
// piece. Behind them lie the outputs that join others; a sum is written over the first of its outputs, so sums may be
// made in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/rows.hpp"
#include "layers/dispatch/records.hpp"

namespace moemill::layers {

class ArrivedSums {
 public:
  void clear();
  // Takes the next sender's records, number `count` of them, `stride` bytes apart; its outputs begin at number
  // first_output of the node's. Returns how many of them go home.
  std::uint32_t take(const RecordForm& form, const std::byte* records, std::uint32_t count, std::uint32_t first_output);
  // The number of each pick's output, in the order of senders, records and picks.
  const std::vector<std::uint32_t>& output_of_pick() const { return output_of_pick_; }

  GroupSums sums() const {
    return {{begin_.data(), begin_.size()}, {row_of_.data(), row_of_.size()}, {weights_.data(), weights_.size()}};
  }
  std::size_t count() const { return begin_.size() - 1; }
  // Sums that were made, of the first of all.
  std::size_t made() const { return made_; }
  void have_made(std::size_t sums) { made_ += sums; }
  std::uint64_t bytes() const {
    return (output_of_pick_.capacity() + begin_.capacity() + row_of_.capacity()) * sizeof(std::uint32_t) +
           weights_.capacity() * sizeof(float);
  }

 private:
  std::vector<std::uint32_t> output_of_pick_;
  std::vector<std::uint32_t> begin_ = {0}, row_of_;
  std::vector<float> weights_;
  std::size_t made_ = 0;
};

}  // namespace moemill::layers
