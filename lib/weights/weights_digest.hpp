// A digest of the bytes of the model's files that a load has read. It identifies the model down to the last weight, at
// no more reading; sums make it independent of which rank reads what and when. The fingerprint of sampled bytes
// (fingerprint.cpp) identifies the model before it is loaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moemill::model {

// The sum over readings of a 128-bit hash (XXH3) of tensor name, place and bytes; each half is a sum mod 2^64.
struct ByteSum {
  std::uint64_t low = 0, high = 0;

  void add(std::string_view tensor, std::uint64_t offset, std::span<const std::byte> bytes);
  ByteSum& operator+=(const ByteSum& other);
  bool operator==(const ByteSum&) const = default;
  std::string hex() const;  // 32 digits
};

// Which ranks of an expert domain hold the same bytes, and which of them is this one. Whether it has read them itself
// or a mate on its node has, makes no difference.
struct Readers {
  enum class Who : std::uint8_t {
    EveryRank,    // each rank holds them
    FirstHolder,  // the first rank that holds the expert
    LaterHolder,  // a rank that holds a copy of the expert
  };
  Who who = Who::EveryRank;
  std::uint32_t copies = 0;  // FirstHolder: how many later holders there are
};

// The digest of one rank, all zero for random weights. The model's digest is the `replicated` of any rank plus the sum
// of `experts` over the ranks of an expert domain, so it does not depend on the placement.
struct WeightsDigest {
  ByteSum replicated;
  ByteSum experts;  // readings as FirstHolder
  // Readings as LaterHolder, minus `copies` times each reading as FirstHolder. The sum over the ranks of an expert
  // domain is zero if every copy of an expert has the bytes that its first holder has read.
  ByteSum copies;

  // `reading`: of a part of the model that these ranks read.
  void add(const Readers& readers, const ByteSum& reading);
  WeightsDigest& operator+=(const WeightsDigest& other);
};

}  // namespace moemill::model
