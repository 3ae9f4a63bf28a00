#include "base/hash.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <span>
#include <string>

#include "base/error.hpp"

using namespace moemill;

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
