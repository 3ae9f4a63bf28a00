// Checksums and fingerprints. SHA-256 is OpenSSL's; CRC32C (Castagnoli) guards journal frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace moemill {

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

// Streaming SHA-256; `hex()` ends it.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  std::string hex();  // 64 lower-case hex digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view text);
std::string sha256_file(const std::string& path);  // throws SystemError when the file cannot be read

// A 64-bit hash of a string, the same on every machine (FNV-1a with a splitmix64 finalizer). The hash of a prompt's id
// keys its random numbers, so it must never change.
std::uint64_t stable_hash64(std::string_view text);

}  // namespace moemill
