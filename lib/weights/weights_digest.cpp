#include "weights/weights_digest.hpp"

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace moemill::model {

void ByteSum::add(std::string_view tensor, std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::uint64_t place = XXH3_64bits_withSeed(tensor.data(), tensor.size(), offset);
  const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), place);
  low += hash.low64, high += hash.high64;
}

ByteSum& ByteSum::operator+=(const ByteSum& other) {
  low += other.low, high += other.high;
  return *this;
}

std::string ByteSum::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

void WeightsDigest::add(const Readers& readers, const ByteSum& reading) {
  switch (readers.who) {
    case Readers::Who::EveryRank: replicated += reading; break;
    case Readers::Who::FirstHolder:
      experts += reading;
      copies.low -= readers.copies * reading.low, copies.high -= readers.copies * reading.high;
      break;
    case Readers::Who::LaterHolder: copies += reading; break;
  }
}

WeightsDigest& WeightsDigest::operator+=(const WeightsDigest& other) {
  replicated += other.replicated, experts += other.experts, copies += other.copies;
  return *this;
}

}  // namespace moemill::model
