#include "dataset/seal.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <random>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "scratch.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {
namespace {

void write(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::optional<std::string> broken(const std::string& path) {
  return broken_seal(path, [] {});
}

TEST_CASE("a sealed file: every flipped bit, every cut and every byte more is noticed") {
  Scratch scratch;
  const std::string path = scratch.path("file");
  std::mt19937 draw(3);
  std::string bytes(seal_bytes + 300, '\0');
  for (std::size_t i = seal_bytes; i < bytes.size(); i++) bytes[i] = static_cast<char>(draw());
  write(path, bytes);
  CHECK(broken(path));
  seal(path, [] {});
  const std::string sealed = *files::read_text(path);
  CHECK(sealed.substr(seal_bytes) == bytes.substr(seal_bytes));
  CHECK(sealed.find(sha256_hex(bytes.substr(seal_bytes))) < seal_bytes);
  CHECK_FALSE(broken(path));
  refuse_broken(path, [] {});
  for (std::size_t bit = 0; bit < sealed.size() * 8; bit++) {
    std::string flipped = sealed;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    write(path, flipped);
    REQUIRE(broken(path));
  }
  CHECK_CONTAINS(message_of<SystemError>([&] { refuse_broken(path, [] {}); }),
                 path + ": is damaged (its bytes are not");
  for (std::size_t size = 0; size < sealed.size(); size += 37) {
    write(path, sealed.substr(0, size));
    REQUIRE(broken(path));
  }
  write(path, sealed + '\0');
  CHECK(broken(path));
}

TEST_CASE("what is called between blocks may end it") {
  Scratch scratch;
  const std::string path = scratch.path("file");
  write(path, std::string(3 << 20, 'x'));
  int calls = 0;
  CHECK_THROWS_AS(seal(path,
                       [&] {
                         if (++calls == 2) user_error("enough");
                       }),
                  UserError);
  CHECK(calls == 2);
  CHECK_THROWS_AS(broken(scratch.path("nothing")), SystemError);
}

}  // namespace
}  // namespace moemill::dataset
