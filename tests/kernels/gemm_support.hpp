// What the tests of the product with weights share: its bodies, weights in both orders of pairs, and its definition
// written out.
#pragma once

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "amx_emulated.hpp"
#include "kernels/cpu/bodies.hpp"
#include "kernels/gemm.hpp"
#include "support.hpp"
#include "system/machine/flush_subnormals.hpp"

namespace moemill::test {

// Kernels of one instruction set, with one body of the product with weights, and one of that with int8 weights.
struct Unit {
  std::string name;
  const cpu::Bodies* bodies;
  const cpu::GemmBody* gemm;
  const cpu::Int8Gemm* int8 = &cpu::plain_int8_gemm;
};

inline Unit unit_of(cpu::Isa isa) {
  return {std::string(cpu::name(isa)), &cpu::bodies_of(isa), &cpu::gemm_body_of(isa)};
}
inline Unit plain_unit() { return unit_of(cpu::Isa::Plain); }

// All that this CPU has but the plain one, and emulated tiles.
inline std::vector<Unit> fast_units() {
  std::vector<Unit> out;
  for (cpu::Isa isa : cpu::all_isas) {
    if (isa != cpu::Isa::Plain && cpu::available(isa)) out.push_back(unit_of(isa));
  }
  if (cpu::available(cpu::Isa::Avx2)) out.push_back({"amx, emulated", &cpu::avx2_bodies, &emulated_amx_gemm});
  return out;
}

// Those for int8 weights, likewise.
inline std::vector<Unit> fast_int8_units() {
  std::vector<Unit> out;
  const Unit plain = plain_unit();
  for (cpu::Int8Unit unit : cpu::all_int8_units) {
    if (unit == cpu::Int8Unit::Plain || !cpu::available(unit)) continue;
    out.push_back({std::string(cpu::name(unit)), plain.bodies, plain.gemm, &cpu::int8_gemm_of(unit)});
  }
  if (cpu::available(cpu::Isa::Avx2)) {
    out.push_back({"amx_int8, emulated", plain.bodies, plain.gemm, &emulated_amx_int8_gemm});
  }
  return out;
}

constexpr cpu::PairOrder both_orders[] = {cpu::PairOrder::EvenThenOdd, cpu::PairOrder::Successive};

// bf16 weights [n, k], packed in both orders.
struct Weights {
  std::uint32_t k, n;
  std::vector<bf16> source;  // [n][k], a torch Linear weight
  std::vector<bf16> packed[2];

  Weights(std::uint32_t inputs, std::uint32_t outputs, std::vector<bf16> values)
      : k(inputs), n(outputs), source(std::move(values)) {
    for (cpu::PairOrder order : both_orders) {
      packed_in(order).resize(cpu::packed_count(k, n));
      cpu::pack(packed_in(order).data(), view(order), {0, k, 0, n}, source.data(), k, 1);
    }
  }
  Weights(std::uint32_t inputs, std::uint32_t outputs, std::uint64_t seed)
      : Weights(inputs, outputs, random_bf16(std::size_t{inputs} * outputs, seed)) {}

  std::vector<bf16>& packed_in(cpu::PairOrder order) { return packed[static_cast<int>(order)]; }
  cpu::Matrix view(cpu::PairOrder order) const {
    cpu::Matrix w{packed[static_cast<int>(order)].data(), k, n};
    w.order = order;
    return w;
  }
};

// Columns [0, n) of the product of all rows, or of those that an index names; the buffer behind every row is checked.
template <class T>
std::vector<float> product(const Unit& unit, int threads, Rows<const T> a, const cpu::Matrix& w,
                           const std::vector<std::uint32_t>& index = {}) {
  cpu::Stream stream(*unit.bodies, *unit.gemm, *unit.int8, threads);
  const std::size_t m = index.empty() ? a.rows : index.size();
  Padded<float> c(m, w.n, 5);
  if (index.empty()) {
    cpu::gemm(stream, a, w, c.view());
  } else {
    const cpu::GemmProblem<T> problem{a, w, c.view(), {index.data(), m}};
    cpu::gemm_grouped(stream, std::span(&problem, 1));
  }
  CHECK(c.padding_untouched());
  std::vector<float> out;
  for (std::size_t r = 0; r < m; ++r) out.insert(out.end(), &c.at(r, 0), &c.at(r, 0) + w.n);
  return out;
}
template <class T>
std::vector<float> product(const Unit& unit, int threads, Rows<const T> a, const Weights& w,
                           const std::vector<std::uint32_t>& index = {}) {
  return product(unit, threads, a, w.view(unit.gemm->order), index);
}

// A product of many rows, which are the few of `a` again and again, with those few's products.
template <class T>
void check_repeats(const Unit& unit, Rows<const T> a, const cpu::Matrix& w, std::size_t rows,
                   const std::vector<float>& few) {
  std::vector<std::uint32_t> index;
  for (std::size_t i = 0; i < rows; ++i) index.push_back(static_cast<std::uint32_t>(i % a.rows));
  const std::vector<float> c = product(unit, 1, a, w, index);
  for (std::size_t i = 0; i < rows; ++i) {
    CAPTURE(i);
    REQUIRE(std::memcmp(&c[i * w.n], &few[index[i] * w.n], w.n * sizeof(float)) == 0);
  }
}
// Outputs of so many rows are too many for a thread to keep in its cache: panels go through all blocks of k in parts
// (run_piece, kernels/cpu/gemm/gemm.cpp), and the last part is narrower.
constexpr std::size_t rows_of_large_c = 168;
constexpr std::uint32_t inputs_of_large_c = 544, outputs_of_large_c = 1700;

// Values [n][k] as a source whose columns and inputs are that far apart. It is exactly as long as its last value needs:
// reading behind it is for the sanitizer to see.
inline std::vector<bf16> strided_source(const std::vector<bf16>& values, std::size_t k, std::size_t n,
                                        std::size_t column_stride, std::size_t input_stride) {
  std::vector<bf16> source((n - 1) * column_stride + (k - 1) * input_stride + 1, bf16{0x7777});
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = 0; i < k; ++i) source[j * column_stride + i * input_stride] = values[j * k + i];
  }
  return source;
}

// kernels/gemm.hpp's definition of one output; a: k values, w: k weights.
inline float as_float(bf16 x) { return to_float(x); }
inline float as_float(float x) { return x; }
template <class T>
float defined_output(std::span<const T> a, std::span<const bf16> w) {
  const FlushSubnormals flush;
  float c = 0;
  for (std::size_t first = 0; first < a.size(); first += 32) {
    float sums[2] = {0, 0};
    for (std::size_t i = first; i < first + 32; ++i) {
      const float x = i < a.size() ? as_float(a[i]) : 0, y = i < a.size() ? to_float(w[i]) : 0;
      sums[i % 2] = std::fma(x, y, sums[i % 2]);
    }
    c = c + (sums[0] + sums[1]);
  }
  return c;
}

// Values of all exponents, subnormal ones and zeros of both signs included, but for the largest: no sum is infinite.
inline std::vector<bf16> bf16_of_all_exponents(std::size_t count, std::uint64_t seed) {
  std::vector<bf16> out;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = philox(seed, i)[0], exponent = (bits >> 16 & 0xffu) % 188;
    out.push_back({static_cast<std::uint16_t>((bits & 0x8000u) | exponent << 7 | (bits & 0x7fu))});
  }
  return out;
}

}  // namespace moemill::test
