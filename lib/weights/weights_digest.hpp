// Which bytes of the model's files were read, as sums that do not depend on who read what and when: with them a run
// knows its model to the last weight, at no more reading. The sampled fingerprint (fingerprint.cpp) knows it before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moemill::model {

// Of the pieces that a load reads (some bytes, as scales and biases, in several): the sum of a 128-bit hash (XXH3) of
// each one's name, place and bytes, mod 2^64 twice.
struct ByteSum {
  std::uint64_t low = 0, high = 0;

  void add(std::string_view tensor, std::uint64_t offset, std::span<const std::byte> bytes);
  ByteSum& operator+=(const ByteSum& other);
  bool operator==(const ByteSum&) const = default;
  std::string hex() const;  // 32 digits
};

// The digest of one rank. The model's is the sum of `experts` over the ranks of an expert domain, where the first
// holder of an expert counts and others do not, and the `replicated` of one rank. All zero for random weights.
struct WeightsDigest {
  ByteSum replicated;
  ByteSum experts;
};

}  // namespace moemill::model
