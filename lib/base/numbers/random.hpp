// Counter-based random numbers (Philox4x32-10, Random123): a number is a pure function of its key and counter, so
// no order of work, rank count or restart can change it.
#pragma once

#include <Random123/philox.h>

#include <array>
#include <cstdint>

namespace moemill {

// Four independent 32-bit words for (key, counter).
inline std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_low,
                                           std::uint64_t counter_high = 0) {
  r123::Philox4x32::ctr_type c = {
      {static_cast<std::uint32_t>(counter_low), static_cast<std::uint32_t>(counter_low >> 32),
       static_cast<std::uint32_t>(counter_high), static_cast<std::uint32_t>(counter_high >> 32)}};
  r123::Philox4x32::key_type k = {{static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)}};
  auto r = r123::Philox4x32()(c, k);
  return {r[0], r[1], r[2], r[3]};
}

// Uniform in [0, 1) with 53 bits, as a whole number of 2^-53 and as a number.
constexpr int uniform_bits = 53;
inline std::uint64_t uniform_53(std::uint32_t high, std::uint32_t low) {
  return (static_cast<std::uint64_t>(high) << 32 | low) >> (64 - uniform_bits);
}
inline double uniform(std::uint32_t high, std::uint32_t low) {
  return static_cast<double>(uniform_53(high, low)) * 0x1p-53;
}

// The seed of one sample, as stored in /completions/seed. It depends on the seed of the run or the row, on the sample
// and on the prompt's id: stable_hash64 of the id's text, or of the row index in decimal if there is no id.
inline std::uint64_t sample_seed(std::uint64_t seed, std::uint64_t prompt_id_hash, std::uint32_t sample_index) {
  auto r = philox(seed, prompt_id_hash, sample_index);
  return static_cast<std::uint64_t>(r[1]) << 32 | r[0];
}

}  // namespace moemill
