// Owners of mmap regions: read-only files, mapped and readable in pieces, and large anonymous memory. The model's
// weights are read through the first and held in the second.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace moemill {

// A whole regular file; symlinks are followed. The size is read once; `bytes` reads it again, so that a file truncated
// since then gives an error with its name. A truncation between that check and the read still ends the process with
// SIGBUS: do not rewrite a file in place under a running job, replace it by a rename.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);  // UserError: absent, unreadable, not a regular file
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  // A number that processes of one machine which have opened the same file have in common.
  std::uint64_t identity() const;
  // Bytes [offset, offset + length) of the file, which must contain the range. SystemError if the file was truncated.
  std::span<const std::byte> bytes(std::uint64_t offset, std::uint64_t length) const;

  // Copies the range without touching the mapping: no page faults, and a truncated file is always a SystemError. Any
  // number of threads may call it at the same time.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

  // Hints, which cannot fail: the first reads the range ahead and returns immediately, the second announces random
  // access.
  void read_ahead(std::uint64_t offset, std::uint64_t length) const;
  void expect_random_use() const;

 private:
  std::string path_;
  int fd_ = -1;
  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

// Zeroed, page-aligned memory directly from the system.
class MappedMemory {
 public:
  // All of it is used soon: on huge pages if the system grants them. Or any part of it, perhaps little, and what is
  // never touched takes nothing.
  enum class Use { All, Sparse };
  MappedMemory() = default;
  // SystemError that names `purpose` if the system refuses.
  MappedMemory(std::uint64_t bytes, const char* purpose, Use use = Use::All);
  ~MappedMemory();
  MappedMemory(MappedMemory&& other) noexcept;
  MappedMemory& operator=(MappedMemory&& other) noexcept;

  std::byte* data() const { return data_; }
  std::uint64_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace moemill
