// A grow-only, 64-byte aligned buffer of trivial values, for the workspaces of kernels and layers. Growth discards the
// contents. Buffers grow in the first steps of a job; after that the loop allocates nothing.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

namespace moemill {

template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t count) { reserve(count); }

  // Room for at least `count` values; new memory is zeroed.
  T* reserve(std::size_t count) {
    if (count > capacity_) {
      data_.reset();  // frees the old memory first
      // 256 bytes of slack, because kernels prefetch and load whole vectors past the last value.
      data_.reset(static_cast<T*>(::operator new (count * sizeof(T) + 256, std::align_val_t{64})));
      capacity_ = count;
      std::memset(static_cast<void*>(data_.get()), 0, count * sizeof(T) + 256);
    }
    return data_.get();
  }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t capacity() const { return capacity_; }
  std::size_t capacity_bytes() const { return capacity_ * sizeof(T); }
  T& operator[](std::size_t i) { return data_.get()[i]; }
  const T& operator[](std::size_t i) const { return data_.get()[i]; }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete (static_cast<void*>(p), std::align_val_t{64}); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t capacity_ = 0;
};

}  // namespace moemill
