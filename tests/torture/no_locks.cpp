// A library to preload: the process sees a file system without locks, such as Lustre mounted without flock. With
// NO_LINKS in the environment there are no links either.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>

namespace {

bool asks_for_lock(int command) {
  switch (command) {
    case F_SETLK:
    case F_SETLKW:
    case F_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
    case F_OFD_GETLK: return true;
    default: return false;
  }
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// Every command takes at most one argument, a number or a pointer.
int call(int (*real)(int, int, ...), int fd, int command, va_list rest) {
  if (!asks_for_lock(command)) return real(fd, command, va_arg(rest, void*));
  errno = ENOLCK;
  return -1;
}

}  // namespace

extern "C" {

// The kind of lock that HDF5 uses.
int flock(int, int) {
  errno = ENOLCK;
  return -1;
}

int fcntl(int fd, int command, ...) {
  static const auto real = next<int (*)(int, int, ...)>("fcntl");
  va_list rest;
  va_start(rest, command);
  const int result = call(real, fd, command, rest);
  va_end(rest);
  return result;
}

int fcntl64(int fd, int command, ...) {
  static const auto real = next<int (*)(int, int, ...)>("fcntl64");
  va_list rest;
  va_start(rest, command);
  const int result = call(real, fd, command, rest);
  va_end(rest);
  return result;
}

int link(const char* from, const char* to) {
  static const auto real = next<int (*)(const char*, const char*)>("link");
  if (!std::getenv("NO_LINKS")) return real(from, to);
  errno = EPERM;
  return -1;
}

}  // extern "C"
