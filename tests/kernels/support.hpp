// What the kernel tests share: the instruction sets of this machine, repeatable values, buffers with canaries.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/numbers/bf16.hpp"
#include "base/numbers/random.hpp"
#include "base/rows.hpp"
#include "kernels/cpu/stream.hpp"

namespace moemill::test {

inline std::vector<cpu::Isa> vector_isas() {
  std::vector<cpu::Isa> out;
  for (cpu::Isa isa : {cpu::Isa::Avx2, cpu::Isa::Avx512}) {
    if (cpu::available(isa)) out.push_back(isa);
  }
  if (out.size() < 2) MESSAGE("this CPU lacks a vector instruction set: its bodies are not compared here");
  return out;
}

// A backend that kernels are tested on: its streams, the first of which has the bodies that define the results. A
// second backend is a structure of the same names.
struct OnCpu {
  using Stream = cpu::Stream;
  static std::vector<std::unique_ptr<Stream>> streams() {
    std::vector<std::unique_ptr<Stream>> all;
    all.push_back(std::make_unique<Stream>(cpu::Isa::Plain, 1));
    for (cpu::Isa isa : vector_isas()) {
      for (int threads : {1, 2, 3}) all.push_back(std::make_unique<Stream>(isa, threads));
    }
    return all;
  }
};

// Uniform in [-scale, scale); number `seed` picks the stream.
inline std::vector<float> random_floats(std::size_t count, std::uint64_t seed, float scale = 1.0f) {
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto r = philox(seed, i);
    out[i] = static_cast<float>(2 * uniform(r[0], r[1]) - 1) * scale;
  }
  return out;
}

inline std::vector<bf16> random_bf16(std::size_t count, std::uint64_t seed, float scale = 1.0f) {
  std::vector<bf16> out;
  out.reserve(count);
  for (float x : random_floats(count, seed, scale)) out.push_back(to_bf16(x));
  return out;
}

// Rows of a vector that lie `stride` values apart, from `offset` on.
template <class T>
Rows<const T> rows_of(const std::vector<T>& values, std::size_t rows, std::size_t width, std::size_t stride,
                      std::size_t offset = 0) {
  return {values.data() + offset, rows, width, stride};
}
template <class T>
Rows<const T> rows_of(const std::vector<T>& values, std::size_t rows, std::size_t width) {
  return {values.data(), rows, width};
}

template <class T>
Vector<const T> vector_of(const std::vector<T>& values) {
  return {values.data(), values.size()};
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// A matrix of rows with a stride beyond their width; every value starts as a canary, and padding must stay one.
template <class T>
struct Padded {
  std::size_t rows, width, stride;
  std::vector<T> values;

  static T canary() {
    T value;
    std::memset(&value, 0x5a, sizeof value);
    return value;
  }
  Padded(std::size_t r, std::size_t w, std::size_t padding)
      : rows(r), width(w), stride(w + padding), values(r * stride + 7, canary()) {}
  T* data() { return values.data(); }
  Rows<T> view() { return {values.data(), rows, width, stride}; }
  T& at(std::size_t r, std::size_t c) { return values[r * stride + c]; }
  bool padding_untouched() const {
    T expected = canary();
    for (std::size_t i = 0; i < values.size(); ++i) {
      bool inside = i < rows * stride && i % stride < width;
      if (!inside && std::memcmp(&values[i], &expected, sizeof(T)) != 0) return false;
    }
    return true;
  }
};

inline const std::vector<std::size_t> widths = {1, 2, 15, 16, 17, 31, 32, 33, 100, 513};

// Runs `kernel` on a fresh canary-padded output per stream of the backend: same bits everywhere, nothing written behind
// the rows. Returns the result of the first.
template <class B, class T>
Padded<T> everywhere(std::size_t rows, std::size_t width,
                     const std::function<void(typename B::Stream&, Padded<T>& out)>& kernel) {
  const auto streams = B::streams();
  Padded<T> defined(rows, width, 3);
  kernel(*streams.front(), defined);
  CHECK(defined.padding_untouched());
  for (std::size_t i = 1; i < streams.size(); ++i) {
    Padded<T> out(rows, width, 3);
    kernel(*streams[i], out);
    CHECK(same_bits(out.values, defined.values));
  }
  return defined;
}

inline void fill(Padded<float>& x, const std::vector<float>& values) {
  for (std::size_t r = 0; r < x.rows; ++r) {
    for (std::size_t c = 0; c < x.width; ++c) x.at(r, c) = values[r * x.width + c];
  }
}

}  // namespace moemill::test
