// A library to preload: counts the calls by which a process changes files under one folder, and makes one of them fail,
// or ends the process there. tests/torture/faults.py drives it, call by call. Environment:
//   FAULT_DIR   the folder (real path)
//   FAULT_RANK  only the process of this MPI rank (or without MPI); absent: every process
//   FAULT_LOG   file that gets a line "number call path" for every counted call
//   FAULT_AT    number of the call, from 1, at which FAULT_DO is done
//   FAULT_DO    kill: end before the call; torn: half of a write, or all of any other call, then end;
//               fail: the call and all later ones of its kind fail with FAULT_ERRNO; fail_once: this call alone
//   FAULT_ERRNO number of the error
//   FAULT_DRAIN number of the call at which the process sends itself SIGUSR1
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

enum class Act { Pass, Fail, Tear };

struct Settings {
  std::string folder, kind;
  long at = 0, drain = 0;
  int error = EIO, log = -1;

  Settings() {
    const char* dir = std::getenv("FAULT_DIR");
    const char* wanted = std::getenv("FAULT_RANK");
    const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
    if (!dir || (wanted && std::strcmp(wanted, rank ? rank : "0") != 0)) return;
    folder = dir;
    if (const char* text = std::getenv("FAULT_AT")) at = std::atol(text);
    if (const char* text = std::getenv("FAULT_DRAIN")) drain = std::atol(text);
    if (const char* text = std::getenv("FAULT_DO")) kind = text;
    if (const char* text = std::getenv("FAULT_ERRNO")) error = std::atoi(text);
    if (const char* path = std::getenv("FAULT_LOG"))
      log = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  }
};

const Settings& settings() {
  static const Settings* const once = new Settings;  // outlives calls at the end of the process
  return *once;
}

std::atomic<long> calls{0};
std::atomic<bool> failing{false};
std::string failing_call;

[[noreturn]] void end_process() {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

bool inside(const std::string& path) {
  const std::string& folder = settings().folder;
  return !folder.empty() && path.compare(0, folder.size(), folder) == 0 &&
         (path.size() == folder.size() || path[folder.size()] == '/');
}

std::string absolute(const char* path) {
  if (path[0] == '/') return path;
  char here[PATH_MAX];
  return getcwd(here, sizeof here) ? std::string(here) + "/" + path : path;
}

std::string path_of(int fd) {
  char name[64], path[PATH_MAX];
  std::snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(name, path, sizeof path);
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : std::string();
}

// What happens to this call.
Act decide(const char* call, const std::string& path) {
  if (!inside(path)) return Act::Pass;
  const Settings& s = settings();
  const long number = ++calls;
  if (s.log >= 0) {
    const std::string line = std::to_string(number) + " " + call + " " + path + "\n";
    (void)!syscall(SYS_write, s.log, line.data(), line.size());
  }
  if (number == s.drain) kill(getpid(), SIGUSR1);
  if (failing && failing_call == call) return Act::Fail;
  if (number != s.at) return Act::Pass;
  if (s.kind == "kill") end_process();
  if (s.kind == "torn") return Act::Tear;
  if (s.kind == "fail_once") return Act::Fail;
  if (s.kind != "fail") return Act::Pass;
  failing_call = call;
  failing = true;
  return Act::Fail;
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// Makes the call unless it has to fail. Ends the process afterwards if the call has to be torn.
template <class Call>
auto through(const char* name, const std::string& path, Call&& call) -> decltype(call()) {
  const Act act = decide(name, path);
  if (act == Act::Fail) {
    errno = settings().error;
    return -1;
  }
  auto result = call();
  if (act == Act::Tear) end_process();
  return result;
}

template <class Call>
ssize_t written(const char* name, int fd, std::size_t size, Call&& call) {
  const Act act = decide(name, path_of(fd));
  if (act == Act::Fail) {
    errno = settings().error;
    return -1;
  }
  if (act == Act::Tear) {
    call(size / 2);
    end_process();
  }
  return call(size);
}

bool makes_file(int flags) { return (flags & (O_CREAT | O_TRUNC)) != 0; }

// `rest` holds the mode if there is one.
int opened(int (*real)(const char*, int, ...), const char* path, int flags, va_list rest) {
  const mode_t mode = makes_file(flags) ? va_arg(rest, mode_t) : 0;
  if (!makes_file(flags)) return real(path, flags, mode);
  return through("open", absolute(path), [&] { return real(path, flags, mode); });
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  return written("write", fd, size, [&](size_t n) { return real(fd, data, n); });
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return written("write", fd, size, [&](size_t n) { return real(fd, data, n, at); });
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  return written("write", fd, size, [&](size_t n) { return real(fd, data, n, at); });
}

int fsync(int fd) {
  static const auto real = next<int (*)(int)>("fsync");
  return through("fsync", path_of(fd), [&] { return real(fd); });
}

int fdatasync(int fd) {
  static const auto real = next<int (*)(int)>("fdatasync");
  return through("fsync", path_of(fd), [&] { return real(fd); });
}

int ftruncate(int fd, off_t size) {
  static const auto real = next<int (*)(int, off_t)>("ftruncate");
  return through("ftruncate", path_of(fd), [&] { return real(fd, size); });
}

int ftruncate64(int fd, off64_t size) {
  static const auto real = next<int (*)(int, off64_t)>("ftruncate64");
  return through("ftruncate", path_of(fd), [&] { return real(fd, size); });
}

// Closing a file that was only read changes nothing and is not counted.
int close(int fd) {
  static const auto real = next<int (*)(int)>("close");
  const int flags = settings().folder.empty() ? -1 : fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) return real(fd);
  const Act act = decide("close", path_of(fd));
  const int result = real(fd);  // the descriptor is closed, whatever close returns
  if (act == Act::Tear) end_process();
  if (act != Act::Fail) return result;
  errno = settings().error;
  return -1;
}

int rename(const char* from, const char* to) {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  return through("rename", absolute(to), [&] { return real(from, to); });
}

int link(const char* from, const char* to) {
  static const auto real = next<int (*)(const char*, const char*)>("link");
  return through("link", absolute(to), [&] { return real(from, to); });
}

int unlink(const char* path) {
  static const auto real = next<int (*)(const char*)>("unlink");
  return through("unlink", absolute(path), [&] { return real(path); });
}

int mkdir(const char* path, mode_t mode) {
  static const auto real = next<int (*)(const char*, mode_t)>("mkdir");
  return through("mkdir", absolute(path), [&] { return real(path, mode); });
}

int open(const char* path, int flags, ...) {
  static const auto real = next<int (*)(const char*, int, ...)>("open");
  va_list rest;
  va_start(rest, flags);
  const int fd = opened(real, path, flags, rest);
  va_end(rest);
  return fd;
}

int open64(const char* path, int flags, ...) {
  static const auto real = next<int (*)(const char*, int, ...)>("open64");
  va_list rest;
  va_start(rest, flags);
  const int fd = opened(real, path, flags, rest);
  va_end(rest);
  return fd;
}

}  // extern "C"
