#include "base/numbers/random.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>

#include "base/hash.hpp"

using namespace moemill;

TEST_CASE("hashes and random numbers that seed samples never change between versions") {
  CHECK(stable_hash64("") == 0xf52a15e9a9b5e89bull);
  CHECK(stable_hash64("row-17") != stable_hash64("row-71"));
  // Random123's known answer for Philox4x32-10 with counter and key all zero.
  auto zero = philox(0, 0, 0);
  CHECK(zero[0] == 0x6627e8d5u);
  CHECK(zero[1] == 0xe169c58du);
  CHECK(zero[2] == 0xbc57ac4cu);
  CHECK(zero[3] == 0x9b00dbd8u);
  CHECK(uniform(0, 0) == 0.0);
  CHECK(uniform(0xffffffffu, 0xffffffffu) < 1.0);
  CHECK(uniform(0x80000000u, 0) == 0.5);
}

TEST_CASE("sample seeds differ by seed, prompt and sample") {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed : {0, 1, 2})
    for (const char* id : {"0", "1", "a"})
      for (std::uint32_t sample : {0, 1, 2, 3}) seen.insert(sample_seed(seed, stable_hash64(id), sample));
  CHECK(seen.size() == 3 * 3 * 4);
}
