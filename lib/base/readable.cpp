#include "base/readable.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.hpp"

namespace moemill {

std::string reason_of(int error) {
  const char* cure = nullptr;
  if (error == EMFILE) cure = "a process may have too few here: raise the limit, ulimit -n 1024";
  if (error == ENFILE) cure = "all processes of this machine together have too many: ask its administrator";
  return cure ? fmt::format("{} ({})", std::strerror(error), cure) : std::strerror(error);
}

std::optional<std::string> why_unreadable(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return "is a folder, not a file";
    if (!S_ISREG(info.st_mode)) return "is not a regular file, but a pipe, a socket or a device";
    if (const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC); fd >= 0) {
      ::close(fd);
      return std::nullopt;
    }
  }
  const int error = errno;
  std::error_code ignored;
  if (error == ENOENT && std::filesystem::is_symlink(path, ignored))
    return fmt::format(
        "cannot be opened: it is a link to {}, where nothing is; links are copied with what they lead to by cp -rL",
        std::filesystem::read_symlink(path, ignored).string());
  if (error == ENOENT || error == ENOTDIR) return "no such file";
  if (error == EACCES || error == EPERM)
    return fmt::format(
        "cannot be opened: {} (who starts the job needs the right to read it, and to enter each folder above it)",
        std::strerror(error));
  return "cannot be opened: " + reason_of(error);
}

std::string read_text_file(const std::string& path) {
  // A folder can be opened, but reading it returns nothing.
  std::error_code unreadable;  // reported below
  if (std::filesystem::is_directory(path, unreadable)) user_error("{}: is a folder, not a file", path);
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  const int error = errno;
  if (!in) user_error("{}: {}", path, why_unreadable(path).value_or("cannot be read: " + reason_of(error)));
  return text.str();
}

bool is_named(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

}  // namespace moemill
