// Checksums over whole files, so that a flipped bit anywhere is noticed. A finished HDF5 file begins with 512 bytes
// that HDF5 leaves to its user. They hold the SHA-256 of all bytes behind them, as text (`tail -c +513 outputs.h5 |
// sha256sum` prints the same). config.yaml ends with a line that has the CRC32C of the lines before it. Used where
// files are written, merged and verified.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace moemill::dataset {

constexpr std::uint64_t seal_bytes = 512;  // HDF5's smallest user block

// Seals a closed file that was made with a user block of `seal_bytes`. This and broken_seal() read the whole file and
// call `between` after each MiB; what it throws is passed on.
void seal(const std::string& path, const std::function<void()>& between);
// The fault, without the path; nothing if every byte is as it was sealed. SystemError if the file cannot be read.
std::optional<std::string> broken_seal(const std::string& path, const std::function<void()>& between);
// Called before HDF5 reads values of a file, because HDF5 may crash on a broken one: SystemError by fail_as_damaged(),
// or with the system's reason when the file cannot be read.
void refuse_broken(const std::string& path, const std::function<void()>& between);
[[noreturn]] void fail_as_damaged(const std::string& path, std::string_view what);  // SystemError with advice

// 8 hex digits.
std::string crc32c_hex(std::string_view text);
std::string with_checksum_line(std::string text);
// The fault in a text that with_checksum_line() has made; nothing if it is whole.
std::optional<std::string> broken_checksum_line(std::string_view text);

}  // namespace moemill::dataset
