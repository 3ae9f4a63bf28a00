// A grow-only buffer of trivial values in one memory space: the workspaces of kernels and layers. Contents are not kept
// on growth. Growth happens in the first steps of a job; after that the loop allocates nothing.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

#include "base/rows.hpp"

namespace moemill {

template <class T, class Space = Host>
class Buffer;

// Host memory, aligned to 64 bytes.
template <class T>
class Buffer<T, Host> {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(std::size_t count) { reserve(count); }

  // At least `count` values; zeroed when newly allocated.
  T* reserve(std::size_t count) {
    if (count > capacity_) {
      data_.reset();  // frees first: the old contents are not kept
      // 256 bytes of slack: kernels prefetch and load whole vectors past the last value.
      data_.reset(static_cast<T*>(::operator new (count * sizeof(T) + 256, std::align_val_t{64})));
      capacity_ = count;
      std::memset(static_cast<void*>(data_.get()), 0, count * sizeof(T) + 256);
    }
    return data_.get();
  }
  // The first rows * width values as rows, or rows * stride of them; they must have been reserved.
  Rows<T> rows(std::size_t rows, std::size_t width) { return {data(), rows, width}; }
  Rows<T> rows(std::size_t rows, std::size_t width, std::size_t stride) { return {data(), rows, width, stride}; }
  Rows<const T> rows(std::size_t rows, std::size_t width) const { return {data(), rows, width}; }

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
