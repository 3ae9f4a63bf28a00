// Files that survive a kill: whole writes, fsync, rename by rule. Used by dataset/ and mill/. Every failed call is a
// SystemError that names the call and the path.
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

// The text of an errno, with the cure where its user has one: no room, no quota, no right, no more files.
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
Descriptor open_to_write(const std::string& path);   // an existing file, from its first byte on
Descriptor open_to_append(const std::string& path);  // made when absent; reads and writes
// Up to `size` bytes from where the descriptor stands: fewer at the end of the file alone.
std::size_t read_up_to(int fd, char* out, std::size_t size, const std::string& path);
void write_all(int fd, std::span<const std::byte> bytes, const std::string& path);
void sync(int fd, const std::string& path);
void sync_file(const std::string& path);
void sync_folder(const std::string& path);  // makes renames and new names in it durable
void truncate(int fd, std::uint64_t size_bytes, const std::string& path);

bool exists(const std::string& path);
std::uint64_t size_bytes(const std::string& path);
// Tells a file from what stood under its name before, or was written into it since.
struct Stamp {
  std::uint64_t inode = 0, size_bytes = 0;
  std::int64_t written_ns = 0;  // by the file system's clock
  bool is_regular = false;
  bool operator==(const Stamp&) const = default;
};
std::optional<Stamp> stamp(const std::string& path);       // nothing when absent
void make_folders(const std::string& path);                // and those above it; each is there after a power loss, too
std::string parent_folder(const std::string& path);        // "." for a bare name
std::vector<std::string> list(const std::string& folder);  // names, sorted; empty when the folder is absent
void rename(const std::string& from, const std::string& to);
void remove(const std::string& path);                           // no error when absent
void try_remove(const std::string& path) noexcept;              // nobody hears whether it went
std::optional<std::string> read_text(const std::string& path);  // empty when absent
// The last bytes of a file, all of one that is shorter; "" when absent.
std::string read_tail(const std::string& path, std::uint64_t most_bytes);

// PATH.<16 hex digits of this process>.tmp. No other process writes there: a rank of a killed job that lives on for a
// moment and the job that follows never share a file, and what either publishes is whole.
std::string temporary_name(const std::string& path);
// "outputs.h5" of "outputs.h5.0123456789abcdef.tmp", whichever process made it; nothing for any other name.
std::optional<std::string> name_of_temporary(std::string_view name);

// The rule for everything that must be whole or absent: a temporary name, fsync, rename, fsync of the folder.
void publish(const std::string& temporary, const std::string& path);
void write_atomically(const std::string& path, std::string_view text);

}  // namespace moemill::files
