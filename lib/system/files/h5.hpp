// HDF5 behind move-only owners and checked calls. Used by dataset/. A failed call becomes a SystemError whose text
// holds HDF5's own error stack; nothing is printed on stderr. HDF5 locks no file, not even one behind a link. Closing a
// file is explicit and checked (`close()`); a destructor only releases it. Debian's library is built thread-safe, so
// ranks that are threads of one process may all use it.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace moemill::h5 {

// Owns one HDF5 identifier of any kind.
class Handle {
 public:
  Handle() = default;
  explicit Handle(hid_t id) : id_(id) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      release();
      id_ = std::exchange(other.id_, H5I_INVALID_HID);
    }
    return *this;
  }
  ~Handle() { release(); }
  hid_t id() const { return id_; }
  operator hid_t() const { return id_; }
  bool valid() const { return id_ >= 0; }
  // Closes a file; SystemError if its last bytes cannot be written.
  void close(const std::string& what);

 private:
  void release() noexcept;
  hid_t id_ = H5I_INVALID_HID;
};

std::string library_version();  // "1.10.8", of the library that is loaded
// The text of HDF5's current error stack, innermost reason first, as UTF-8 without control characters; clears the
// stack.
std::string error_text();
// Turns off HDF5's messages on stderr (a setting of each thread), its clean-up at exit and its file locks. Opening and
// creating a file do this; call it first if the first HDF5 call is neither.
void be_quiet();

// Every HDF5 call goes through one of these two. `what` names the call's target ("prompts.h5: dataset 'prompt'").
template <class Result>
Result check(Result result, const std::string& what) {
  if (result < 0) throw SystemError(what + ": HDF5: " + error_text());
  return result;
}
inline Handle own(hid_t id, const std::string& what) { return Handle(check(id, what)); }

Handle open_file(const std::string& path);  // read-only, without HDF5's file lock
// Truncates; without time stamps and file lock. HDF5 leaves the first `user_block` bytes (0, or a power of two from 512
// on) to the caller.
Handle create_file(const std::string& path, std::uint64_t user_block = 0);
Handle create_group(hid_t parent, const std::string& name);
bool exists(hid_t parent, const std::string& name);  // whether both the link and its target exist
// The chunk cache holds at least one chunk, up to most_cached_bytes, so that a column in a few large chunks is unpacked
// once.
Handle open_dataset(hid_t parent, const std::string& name);
constexpr std::uint64_t most_cached_bytes = 256u << 20;
// Bytes of an unpacked chunk; 0 if the dataset has no chunks.
std::uint64_t chunk_bytes(hid_t dataset);
Handle open_group(hid_t parent, const std::string& name);
std::vector<std::string> child_names(hid_t group);              // in name order
std::vector<hsize_t> shape(hid_t dataset);                      // empty for a scalar
Handle type_of(hid_t dataset);                                  // the type in memory
H5I_type_t object_kind(hid_t parent, const std::string& name);  // H5I_DATASET, H5I_GROUP, ...

// Rows [first, first + count) of the first axis, and everything of the further axes.
void read_rows(hid_t dataset, hid_t memory_type, std::uint64_t first, std::uint64_t count, void* out,
               const std::string& what);
void write_rows(hid_t dataset, hid_t memory_type, std::uint64_t first, std::uint64_t count, const void* data,
                const std::string& what);

// Variable-length UTF-8, as h5py writes str.
Handle text_type();

// Attributes of an object. Text is a variable-length UTF-8 scalar, so it has no size limit.
void write_attribute(hid_t object, const std::string& name, const std::string& text);
void write_attribute(hid_t object, const std::string& name, std::int64_t number);
void write_attribute(hid_t object, const std::string& name, const std::vector<std::string>& texts);
std::string read_text_attribute(hid_t object, const std::string& name);
std::int64_t read_number_attribute(hid_t object, const std::string& name);

}  // namespace moemill::h5
