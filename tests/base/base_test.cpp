#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>

#include "base/aligned.hpp"
#include "base/bf16.hpp"
#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/log.hpp"
#include "base/random.hpp"

using namespace moemill;

TEST_CASE("bf16 rounds to nearest, ties to even, and keeps NaN") {
  CHECK(to_bf16(1.0f).bits == 0x3f80);
  CHECK(to_bf16(std::bit_cast<float>(0x3f808000u)).bits == 0x3f80);  // a tie: down to even
  CHECK(to_bf16(std::bit_cast<float>(0x3f818000u)).bits == 0x3f82);  // a tie: up to even
  CHECK(to_bf16(std::bit_cast<float>(0x3f808001u)).bits == 0x3f81);
  CHECK(to_bf16(std::numeric_limits<float>::max()).bits == 0x7f80);  // overflows to infinity
  CHECK(to_bf16(-0.0f).bits == 0x8000);
  CHECK(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001u)))));  // payload only in the low half
  for (std::uint32_t bits = 0; bits < 0x10000; bits++) {
    bf16 x{static_cast<std::uint16_t>(bits)};
    if (std::isnan(to_float(x))) continue;
    REQUIRE(to_bf16(to_float(x)) == x);
  }
}

TEST_CASE("checksums equal their published test values") {
  std::string_view nine = "123456789";
  CHECK(crc32c(std::as_bytes(std::span(nine.data(), nine.size()))) == 0xe3069283u);  // RFC 3720's polynomial
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-4
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("crc32c continues from a seed") {
  std::string_view text = "rows travel to experts and come home";
  auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  CHECK(crc32c(bytes.subspan(10), crc32c(bytes.first(10))) == crc32c(bytes));
}

TEST_CASE("a file's SHA-256 is that of its bytes; a missing file is a system error that names it") {
  std::string path = "sha256_test.bin";
  std::string content(3'000'001, 'm');
  std::ofstream(path, std::ios::binary) << content;
  CHECK(sha256_file(path) == sha256_hex(content));
  std::remove(path.c_str());
  CHECK_THROWS_WITH_AS(sha256_file(path), doctest::Contains(path.c_str()), SystemError);
}

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

TEST_CASE("an aligned buffer grows, never shrinks, and starts zeroed") {
  AlignedBuffer<float> buffer;
  float* p = buffer.reserve(100);
  CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
  for (int i = 0; i < 100; i++) REQUIRE(p[i] == 0.0f);
  p[3] = 7;
  CHECK(buffer.reserve(50) == p);
  CHECK(buffer[3] == 7.0f);
  CHECK(buffer.reserve(1000)[999] == 0.0f);
  CHECK(buffer.capacity() == 1000);
}

TEST_CASE("errors format their message, and log levels are checked") {
  CHECK_THROWS_WITH_AS(user_error("key {} at line {}", "a.b", 3), "key a.b at line 3", UserError);
  CHECK_THROWS_AS(expect(false, "rows fit"), ContractViolation);
  CHECK(log::parse_level("warning") == log::Level::Warning);
  CHECK_THROWS_AS(log::parse_level("loud"), UserError);
}
