// What the kernel tests share: the instruction sets of this machine, repeatable values, buffers with canaries.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/bf16.hpp"
#include "base/random.hpp"
#include "kernels/stream.hpp"

namespace moemill::test {

inline std::vector<cpu::Isa> vector_isas() {
  std::vector<cpu::Isa> out;
  for (cpu::Isa isa : {cpu::Isa::Avx2, cpu::Isa::Avx512}) {
    if (cpu::available(isa)) out.push_back(isa);
  }
  if (out.size() < 2) MESSAGE("this CPU lacks a vector instruction set: its bodies are not compared here");
  return out;
}

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

}  // namespace moemill::test
