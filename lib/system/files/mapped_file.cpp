#include "system/files/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/readable.hpp"

namespace moemill {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // O_NONBLOCK: a FIFO must not block the job
  struct stat info {};
  if (fd_ < 0 || ::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    const int error = errno;  // a second attempt to open it may succeed
    if (fd_ >= 0) ::close(fd_);
    user_error("{}: {}", path, why_unreadable(path).value_or("cannot be opened: " + reason_of(error)));
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
  if (size_ == 0) return;  // mmap refuses empty ranges
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd_, 0);
  if (data == MAP_FAILED) {
    int error = errno;
    ::close(fd_);
    system_error("mmap of {} ({} bytes): {}", path, size_, std::strerror(error));
  }
  data_ = static_cast<std::byte*>(data);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
  if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

std::uint64_t MappedFile::identity() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) system_error("fstat of {}: {}", path_, std::strerror(errno));
  return stable_hash64(fmt::format("{} {} {}", info.st_dev, info.st_ino, info.st_size));
}

std::span<const std::byte> MappedFile::bytes(std::uint64_t offset, std::uint64_t length) const {
  expect(offset <= size_ && length <= size_ - offset, "mapped file: range lies inside the file");
  struct stat info {};
  if (::fstat(fd_, &info) != 0) system_error("fstat of {}: {}", path_, std::strerror(errno));
  if (static_cast<std::uint64_t>(info.st_size) < size_) {
    system_error("{}: was cut from {} to {} bytes while it was being read", path_, size_, info.st_size);
  }
  return {data_ + offset, static_cast<std::size_t>(length)};
}

void MappedFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  expect(offset <= size_ && out.size() <= size_ - offset, "mapped file: range lies inside the file");
  while (!out.empty()) {
    ssize_t got = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) system_error("pread of {}: {}", path_, std::strerror(errno));
    if (got == 0) system_error("{}: was cut from {} to {} bytes while it was being read", path_, size_, offset);
    offset += static_cast<std::uint64_t>(got);
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

void MappedFile::read_ahead(std::uint64_t offset, std::uint64_t length) const {
  // Linux serves at most the device's read-ahead per request, which is rarely less than this.
  constexpr std::uint64_t request_bytes = 128 << 10;
  for (std::uint64_t end = offset + length; offset < end; offset += request_bytes) {
    ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(std::min(request_bytes, end - offset)),
                    POSIX_FADV_WILLNEED);
  }
}

void MappedFile::expect_random_use() const {
  if (data_ != nullptr) ::madvise(data_, size_, MADV_RANDOM);
}

MappedMemory::MappedMemory(std::uint64_t bytes, const char* purpose, Use use) : size_(bytes) {
  if (bytes == 0) return;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (use == Use::Sparse ? MAP_NORESERVE : 0);
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (data == MAP_FAILED) {
    system_error("mmap of {} bytes of memory for {}: {}", bytes, purpose, std::strerror(errno));
  }
  data_ = static_cast<std::byte*>(data);
  if (use == Use::All)
    ::madvise(data_, bytes, MADV_HUGEPAGE);  // a hint: matrices are streamed, so huge pages save TLB misses
}

MappedMemory::~MappedMemory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedMemory& MappedMemory::operator=(MappedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace moemill
