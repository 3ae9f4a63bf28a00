// Read-only memory-mapped files and big anonymous memory: owners of their mmap. The model's weights are read through
// the first and held in the second; nothing here knows what the bytes mean.
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

  // Hints for a range: read it ahead, forget this process's pages of it (the page cache keeps them), read it without
  // reading ahead. Hints cannot fail.
  enum class Advice { WillNeed, DontNeed, Random };
  void advise(std::uint64_t offset, std::uint64_t length, Advice advice) const;

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
