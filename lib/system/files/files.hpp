// Files that survive a kill: whole writes, fsync, atomic renames. Used by dataset/, mill/ and job/. Every failed call
// is a SystemError that names the call and the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moemill::files {

// The text of an errno, with a cure where the user has one: disk full, quota, permissions, too many open files.
std::string reason(int error);

// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  int fd() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void close(const std::string& path);  // checked

 private:
  int fd_ = -1;
};

Descriptor open_to_read(const std::string& path);
Descriptor open_to_write(const std::string& path);   // an existing file, at its first byte
Descriptor open_to_append(const std::string& path);  // created if absent; for reading and writing
void seek(int fd, std::uint64_t first_byte, const std::string& path);
// Reads up to `size` bytes at the descriptor's position; fewer only at the end of the file.
std::size_t read_up_to(int fd, char* out, std::size_t size, const std::string& path);
void write_all(int fd, std::span<const std::byte> bytes, const std::string& path);
void sync(int fd, const std::string& path);
void sync_file(const std::string& path);
void sync_folder(const std::string& path);  // makes renames and new names in the folder durable
void truncate(int fd, std::uint64_t size_bytes, const std::string& path);

bool exists(const std::string& path);
std::uint64_t size_bytes(const std::string& path);
// Changes when a file is replaced or written to.
struct Stamp {
  std::uint64_t inode = 0, size_bytes = 0;
  std::int64_t written_ns = 0;  // by the file system's clock
  bool is_regular = false;
  bool operator==(const Stamp&) const = default;
};
std::optional<Stamp> stamp(const std::string& path);       // nothing if absent
void make_folders(const std::string& path);                // with its parents; each survives a power loss
std::string parent_folder(const std::string& path);        // "." for a bare name
std::vector<std::string> list(const std::string& folder);  // sorted names; empty if the folder is absent
void rename(const std::string& from, const std::string& to);
bool rename_if_there(const std::string& from, const std::string& to);  // false if `from` is absent
void remove(const std::string& path);                                  // no error if absent
void try_remove(const std::string& path) noexcept;                     // ignores errors
std::optional<std::string> read_text(const std::string& path);         // nothing if absent
// The last bytes of a file, or the whole file if it is shorter; "" if absent.
std::string read_tail(const std::string& path, std::uint64_t most_bytes);

// PATH.<16 hex digits of this process>.tmp. No other process writes to this name: if a rank of a killed job outlives it
// for a moment, it shares no file with the next job, and whatever either publishes is whole.
std::string temporary_name(const std::string& path);
// "outputs.h5" of "outputs.h5.0123456789abcdef.tmp", whichever process made it; nothing for a name of any other form.
std::optional<std::string> name_of_temporary(std::string_view name);

// Everything that must be whole or absent is written under a temporary name, synced, renamed, and its folder synced.
void publish(const std::string& temporary, const std::string& path);
void write_atomically(const std::string& path, std::string_view text);

}  // namespace moemill::files
