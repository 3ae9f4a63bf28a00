#include "dataset/seal.hpp"

#include <vector>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {
namespace {

constexpr std::string_view seal_prefix = "moemill-outputs, SHA-256 of all bytes from 512 on: ";
constexpr std::string_view line_prefix = "# crc32c of the lines above: ";
constexpr std::size_t sealed_bytes_at_a_time = 1 << 20;

std::string seal_of(const std::string& sha256) {
  std::string text = fmt::format("{}{}\n", seal_prefix, sha256);
  text.resize(seal_bytes, '\0');
  return text;
}

struct Sums {
  std::string front;   // the user block
  std::string sha256;  // of what follows it
};

Sums sums_of(const std::string& path, const std::function<void()>& between) {
  files::Descriptor file = files::open_to_read(path);
  Sums sums;
  sums.front.resize(seal_bytes);
  sums.front.resize(files::read_up_to(file.fd(), sums.front.data(), seal_bytes, path));
  Sha256 sha;
  std::vector<char> block(sealed_bytes_at_a_time);
  while (std::size_t got = files::read_up_to(file.fd(), block.data(), block.size(), path)) {
    sha.update(std::string_view(block.data(), got));
    between();
  }
  sums.sha256 = sha.hex();
  return sums;
}

}  // namespace

void seal(const std::string& path, const std::function<void()>& between) {
  files::Descriptor file = files::open_to_write(path);
  const std::string text = seal_of(sums_of(path, between).sha256);
  files::write_all(file.fd(), std::as_bytes(std::span(text)), path);
  file.close(path);
}

std::optional<std::string> broken_seal(const std::string& path, const std::function<void()>& between) {
  const Sums sums = sums_of(path, between);
  if (sums.front == seal_of(sums.sha256)) return std::nullopt;
  return "its bytes are not those that were written: the SHA-256 in its first 512 bytes is that of another content";
}

void refuse_broken(const std::string& path, const std::function<void()>& between) {
  if (auto broken = broken_seal(path, between)) fail_as_damaged(path, *broken);
}

void fail_as_damaged(const std::string& path, std::string_view what) {
  if (path.ends_with("/outputs.h5"))  // its shards are gone, if they were not kept
    system_error(
        "{}: is damaged ({}): restore it from a copy. Where the shards of the run were kept (output.keep_shards), "
        "remove this file and run the same command again, which makes it of them; else --overwrite makes all rows "
        "again",
        path, what);
  system_error("{}: is damaged ({}): remove this file and run the same command again, which makes its rows again", path,
               what);
}

std::string crc32c_hex(std::string_view text) { return fmt::format("{:08x}", crc32c(std::as_bytes(std::span(text)))); }

std::string with_checksum_line(std::string text) { return text + fmt::format("{}{}\n", line_prefix, crc32c_hex(text)); }

std::optional<std::string> broken_checksum_line(std::string_view text) {
  const std::size_t at = text.rfind(line_prefix);
  if (at != std::string_view::npos && text == with_checksum_line(std::string(text.substr(0, at)))) return std::nullopt;
  return "its text is not the one that was written: the checksum in its last line is that of another";
}

}  // namespace moemill::dataset
