// Views of memory that carry shape and space: what kernels and layers pass to each other. A view of one memory space
// does not convert to a view of another, so a kernel cannot be given memory that it does not reach. Lists that only the
// host makes and reads are std::span.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

namespace moemill {

// The memory that the program itself reads and writes. A device has a space of its own.
struct Host {};

// Rows of `width` values, `stride` values apart. A view without memory (no data) stands for an argument that is not
// wanted.
template <class T, class Space = Host>
struct Rows {
  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t width = 0;
  std::size_t stride = 0;

  Rows() = default;
  Rows(T* data_, std::size_t rows_, std::size_t width_) : Rows(data_, rows_, width_, width_) {}
  Rows(T* data_, std::size_t rows_, std::size_t width_, std::size_t stride_)
      : data(data_), rows(rows_), width(width_), stride(stride_) {}
  // Converts a view for writing to a view for reading.
  template <class Mutable>
  requires std::same_as<const Mutable, T> Rows(const Rows<Mutable, Space>& from)
      : Rows(from.data, from.rows, from.width, from.stride) {}

  explicit operator bool() const { return data != nullptr; }
  T* row(std::size_t r) const { return data + r * stride; }
  Rows range(std::size_t first, std::size_t count) const { return {row(first), count, width, stride}; }
  Rows columns(std::size_t first, std::size_t count) const { return {data + first, rows, count, stride}; }
};

// `size` values that lie close together: the weights of a norm, a bias, one factor per row. A view without memory
// stands for an argument that is not wanted, or for weights that the model does not have.
template <class T, class Space = Host>
struct Vector {
  T* data = nullptr;
  std::size_t size = 0;

  Vector() = default;
  Vector(T* data_, std::size_t size_) : data(data_), size(size_) {}
  // A view for reading of a view for writing.
  template <class Mutable>
  requires std::same_as<const Mutable, T> Vector(const Vector<Mutable, Space>& from) : Vector(from.data, from.size) {}

  explicit operator bool() const { return data != nullptr; }
  Vector range(std::size_t first, std::size_t count) const { return {data + first, count}; }
};

}  // namespace moemill
