#include "dataset/lock/lock_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/log.hpp"

namespace moemill::dataset {
namespace {

// A lock of the open file, not of the process: it ends when the file is closed, whatever closes it.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

// Repeats a call that a signal has interrupted, as happens on a network file system. Result and errno are the call's.
template <class Call>
auto repeated(Call&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

[[noreturn]] void fail(const char* call, const std::string& path) {
  const int error = errno;
  system_error("{} {}: {}", call, path, files::reason(error));
}

double seconds_of(const timespec& time) {
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double written_at(int fd, const std::string& path) {
  struct stat info {};
  if (repeated([&] { return ::fstat(fd, &info); }) != 0) fail("fstat", path);
  return seconds_of(info.st_mtim);
}

// Only asks for the lock's state: a lock taken here, even briefly, could make a job fail to take it.
bool is_kernel_locked(int fd) {
  struct flock lock = whole_file();
  return repeated([&] { return ::fcntl(fd, F_OFD_GETLK, &lock); }) == 0 && lock.l_type != F_UNLCK;
}

void write_line(int fd, const std::string& line, const std::string& path) {
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t written =
        repeated([&] { return ::pwrite(fd, line.data() + done, line.size() - done, static_cast<off_t>(done)); });
    if (written < 0) fail("write", path);
    done += static_cast<std::size_t>(written);
  }
  files::sync(fd, path);  // other machines see it only from here on
}

}  // namespace

std::string LockSnapshot::generation() const { return holder ? holder->token : sha256_hex(text).substr(0, 32); }

std::string LockSnapshot::description() const {
  if (holder) return describe(*holder);
  return text.empty() ? "a job that has not said its name"
                      : text.substr(0, std::min(text.find('\n'), std::size_t{200}));
}

std::optional<LockSnapshot> look(const std::string& path) {
  const int fd = repeated([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); });
  if (fd < 0 && errno == ENOENT) return std::nullopt;
  if (fd < 0) fail("open", path);
  const files::Descriptor file(fd);
  LockSnapshot snapshot;
  snapshot.written = written_at(fd, path);
  std::array<char, 4096> buffer;
  const ssize_t got = repeated([&] { return ::pread(fd, buffer.data(), buffer.size(), 0); });
  if (got < 0) fail("read", path);
  snapshot.text.assign(buffer.data(), static_cast<std::size_t>(got));
  snapshot.holder = parse_holder(snapshot.text);
  snapshot.kernel_locked = is_kernel_locked(fd);
  return snapshot;
}

OwnLockFile::OwnLockFile(const std::string& path, const Holder& me)
    : path_(path), temporary_(path + "." + me.token + ".tmp") {}

void OwnLockFile::lock_by_kernel() {
  struct flock lock = whole_file();
  if (repeated([&] { return ::fcntl(file_.fd(), F_OFD_SETLK, &lock); }) == 0) return;
  log::debug("lock {}: {}: further jobs rely on its heartbeats", temporary_, std::strerror(errno));
}

void OwnLockFile::write(const Holder& me) {
  if (!file_.valid()) {
    const int fd = repeated([&] { return ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666); });
    if (fd < 0) fail("open", temporary_);
    file_ = files::Descriptor(fd);
    lock_by_kernel();
  }
  write_line(file_.fd(), to_line(me), path_);
}

double OwnLockFile::written() const { return written_at(file_.fd(), path_); }

void OwnLockFile::touch() { (void)!::futimens(file_.fd(), nullptr); }

bool OwnLockFile::place(const std::string& name, const Holder& me) {
  write(me);
  if (repeated([&] { return ::link(temporary_.c_str(), name.c_str()); }) == 0) return true;
  switch (errno) {
    case EEXIST: {
      // A network file system repeats a call whose answer was lost, and then finds what the first call has made.
      const auto there = look(name);
      return there && there->holder && there->holder->token == me.token;
    }
    case ENOENT:  // the job that was first has removed it as a leftover; the next look finds that job
      forget();
      return false;
    case EPERM:
    case ENOSYS:
    case EOPNOTSUPP: break;  // a file system without links
    default: fail("link", name);
  }
  const int fd = repeated([&] { return ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  if (fd < 0 && errno == EEXIST) return false;
  if (fd < 0) fail("open", name);
  file_ = files::Descriptor(fd);
  lock_by_kernel();
  // A kill before the line is written leaves an empty file; later jobs watch it and see that it does not change.
  write_line(fd, to_line(me), path_);
  return true;
}

void OwnLockFile::remove_temporary() { files::remove(temporary_); }

}  // namespace moemill::dataset
