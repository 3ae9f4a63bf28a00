// Read-only files, memory-mapped and readable in pieces, and big anonymous memory: owners of their mmap. The model's
// weights are read through the first and held in the second; nothing here knows what the bytes mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace moemill {

// A whole regular file, symlinks followed. The size is taken once; `bytes` asks the system again, so that a file that
// was cut short since then is an error with a name. Only a cut in the moment between that question and the read itself
// still ends the process by SIGBUS: no file may be rewritten in place under a running job (replace it by rename).
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);  // UserError: absent, unreadable, not a regular file
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  // [offset, offset + length) of the file; the range must lie inside it. SystemError when the file was cut short.
  std::span<const std::byte> bytes(std::uint64_t offset, std::uint64_t length) const;

  // Copies the range without touching the mapping: no page faults, and a file cut short is a SystemError whenever it
  // happens. Any number of threads at a time.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

  // Hints, which cannot fail: read the range ahead (returns at once); the mapping will be read here and there only.
  void read_ahead(std::uint64_t offset, std::uint64_t length) const;
  void expect_random_use() const;

 private:
  std::string path_;
  int fd_ = -1;
  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

// Zeroed memory straight from the system, page aligned, on huge pages where the system grants them.
class MappedMemory {
 public:
  MappedMemory() = default;
  // SystemError when the system refuses; `purpose` is named in it.
  MappedMemory(std::uint64_t bytes, const char* purpose);
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
