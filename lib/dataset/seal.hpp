// Checksums over whole files, so that a bit which flips anywhere is noticed. A finished HDF5 file begins with a block
// of 512 bytes that HDF5 leaves to its user: there stands the SHA-256 of all bytes behind it, as text
// (`tail -c +513 outputs.h5 | sha256sum` says the same). config.yaml ends with a line that has the CRC32C of the lines
// before. Used where files are written, merged and verified.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace moemill::dataset {

constexpr std::uint64_t seal_bytes = 512;  // HDF5's smallest user block

// Of a closed file that was made with a user block of `seal_bytes`. Both read the whole file and call `between` after
// each block of a MiB; what it throws goes through.
void seal(const std::string& path, const std::function<void()>& between);
// What is wrong, without the path; nothing when every byte is as it was sealed. SystemError when it cannot be read.
std::optional<std::string> broken_seal(const std::string& path, const std::function<void()>& between);
// For whoever hands the file to HDF5, which may crash on a broken one: SystemError by tell_damaged(), or with the
// system's reason when it cannot be read.
void refuse_broken(const std::string& path, const std::function<void()>& between);
[[noreturn]] void tell_damaged(const std::string& path, std::string_view what);  // SystemError with the way out

// 8 hex digits.
std::string crc32c_hex(std::string_view text);
std::string with_checksum_line(std::string text);
// What is wrong with a text that with_checksum_line() made; nothing when nothing is.
std::optional<std::string> broken_checksum_line(std::string_view text);

}  // namespace moemill::dataset
