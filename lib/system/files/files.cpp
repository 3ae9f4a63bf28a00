#include "system/files/files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "system/machine/entropy.hpp"

namespace moemill::files {

std::string reason(int error) {
  const char* cure = nullptr;
  switch (error) {
    case ENOSPC: cure = "make room there, then rerun the same command to resume"; break;
    case EDQUOT:
      cure = "the quota is used up: make room there or raise it, then rerun the same command to resume";
      break;
    case EACCES:
    case EPERM:
    case EROFS: cure = "check owner, rights and mount, or let output.dir name another folder"; break;
    default: return reason_of(error);
  }
  return fmt::format("{} ({})", std::strerror(error), cure);
}

namespace {

[[noreturn]] void fail(const char* call, const std::string& path) {
  int error = errno;
  system_error("{} {}: {}", call, path, reason(error));
}

Descriptor open_or_fail(const std::string& path, int flags) {
  int fd;
  do fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) fail("open", path);
  return Descriptor(fd);
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

void Descriptor::close(const std::string& path) {
  if (fd_ < 0) return;
  // The descriptor is gone even after EINTR: never close it twice.
  if (::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) fail("close", path);
}

Descriptor open_to_read(const std::string& path) { return open_or_fail(path, O_RDONLY); }
Descriptor open_to_write(const std::string& path) { return open_or_fail(path, O_WRONLY); }
Descriptor open_to_append(const std::string& path) { return open_or_fail(path, O_RDWR | O_CREAT | O_APPEND); }

void seek(int fd, std::uint64_t first_byte, const std::string& path) {
  if (::lseek(fd, static_cast<off_t>(first_byte), SEEK_SET) < 0) fail("lseek", path);
}

std::size_t read_up_to(int fd, char* out, std::size_t size, const std::string& path) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(fd, out + done, size - done);
    if (got < 0) {
      if (errno == EINTR) continue;
      fail("read", path);
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("write", path);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void sync(int fd, const std::string& path) {
  while (::fsync(fd) != 0) {
    if (errno != EINTR) fail("fsync", path);
  }
}

void sync_file(const std::string& path) {
  Descriptor file = open_to_read(path);
  sync(file.fd(), path);
  file.close(path);
}

void sync_folder(const std::string& path) {
  Descriptor folder = open_or_fail(path, O_RDONLY | O_DIRECTORY);
  // Some network file systems refuse to sync a folder with EINVAL; their renames are durable by themselves.
  while (::fsync(folder.fd()) != 0) {
    if (errno == EINVAL) break;
    if (errno != EINTR) fail("fsync folder", path);
  }
}

void truncate(int fd, std::uint64_t size_bytes, const std::string& path) {
  while (::ftruncate(fd, static_cast<off_t>(size_bytes)) != 0) {
    if (errno != EINTR) fail("ftruncate", path);
  }
}

std::optional<Stamp> stamp(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0)
    return Stamp{info.st_ino, static_cast<std::uint64_t>(info.st_size),
                 info.st_mtim.tv_sec * std::int64_t{1'000'000'000} + info.st_mtim.tv_nsec, S_ISREG(info.st_mode)};
  if (errno != ENOENT && errno != ENOTDIR) fail("stat", path);
  return std::nullopt;
}

bool exists(const std::string& path) { return stamp(path).has_value(); }

std::uint64_t size_bytes(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) fail("stat", path);
  return static_cast<std::uint64_t>(info.st_size);
}

std::string parent_folder(const std::string& path) {
  std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

void make_folders(const std::string& path) {
  std::error_code error;
  if (path.empty() || std::filesystem::is_directory(path, error)) return;
  const std::string parent = parent_folder(path);
  make_folders(parent);
  std::filesystem::create_directory(path, error);
  if (error == std::errc::file_exists) error = std::make_error_code(std::errc::not_a_directory);
  if (error) system_error("make folder {}: {}", path, reason(error.value()));
  if (::access(parent.c_str(), R_OK) == 0) sync_folder(parent);  // a folder may be writable but unreadable
}

std::vector<std::string> list(const std::string& folder) {
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), ::closedir);
  if (!stream) {
    if (errno == ENOENT) return {};
    fail("opendir", folder);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
    errno = 0;
  }
  if (errno != 0) fail("readdir", folder);
  std::sort(names.begin(), names.end());
  return names;
}

void rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail("rename", from + " to " + to);
}

bool rename_if_there(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return true;
  if (errno != ENOENT) fail("rename", from + " to " + to);
  return false;
}

void remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail("unlink", path);
}

void try_remove(const std::string& path) noexcept { ::unlink(path.c_str()); }

namespace {

// Returns an invalid descriptor if the file is absent, even if it was removed a moment ago.
Descriptor open_if_there(const std::string& path) {
  int fd;
  do fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  while (fd < 0 && errno == EINTR);
  if (fd < 0 && errno != ENOENT && errno != ENOTDIR) fail("open", path);
  return Descriptor(fd);
}

std::string read_rest(int fd, const std::string& path) {
  std::string text;
  std::array<char, 65536> buffer;
  while (const std::size_t got = read_up_to(fd, buffer.data(), buffer.size(), path)) text.append(buffer.data(), got);
  return text;
}

}  // namespace

std::optional<std::string> read_text(const std::string& path) {
  const Descriptor file = open_if_there(path);
  if (!file.valid()) return std::nullopt;
  return read_rest(file.fd(), path);
}

std::string read_tail(const std::string& path, std::uint64_t most_bytes) {
  const Descriptor file = open_if_there(path);
  if (!file.valid()) return "";
  const off_t size = ::lseek(file.fd(), 0, SEEK_END);
  if (size < 0 || ::lseek(file.fd(), std::max<off_t>(0, size - static_cast<off_t>(most_bytes)), SEEK_SET) < 0)
    fail("lseek", path);
  std::string text = read_rest(file.fd(), path);
  return text.size() <= most_bytes ? text : text.substr(text.size() - most_bytes);  // the file grew meanwhile
}

std::string temporary_name(const std::string& path) {
  static const std::uint64_t random = std::stoull(random_hex(8), nullptr, 16);
  return fmt::format("{}.{:016x}.tmp", path,
                     random ^ static_cast<std::uint64_t>(::getpid()));  // a fork must not share the name
}

std::optional<std::string> name_of_temporary(std::string_view name) {
  constexpr std::string_view end = ".tmp";
  constexpr std::size_t added = 1 + 16 + end.size();
  if (name.size() <= added || !name.ends_with(end) || name[name.size() - added] != '.') return std::nullopt;
  const std::string_view digits = name.substr(name.size() - added + 1, 16);
  if (digits.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
  return std::string(name.substr(0, name.size() - added));
}

void publish(const std::string& temporary, const std::string& path) {
  sync_file(temporary);
  rename(temporary, path);
  sync_folder(parent_folder(path));
}

void write_atomically(const std::string& path, std::string_view text) {
  const std::string temporary = temporary_name(path);
  try {
    Descriptor file = open_or_fail(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    write_all(file.fd(), std::as_bytes(std::span(text.data(), text.size())), temporary);
    file.close(temporary);
    publish(temporary, path);
  } catch (...) {
    try_remove(temporary);
    throw;
  }
}

}  // namespace moemill::files
