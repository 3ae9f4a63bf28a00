// The choice of the unit for int8 weights, and the proof that it gives the plain one's bits.
#include <algorithm>
#include <cstring>

#include "base/numbers/random.hpp"
#include "kernels/cpu/bodies.hpp"
#include "kernels/cpu/choose_isa.hpp"
#include "kernels/gemm.hpp"

namespace moemill::cpu {

namespace {

// Two K blocks, the last group, the last step and the last panel not full.
constexpr std::uint32_t inputs = 557, outputs = 166;
// Different rows, which the larger products repeat: the plain body is slow.
constexpr std::size_t different_rows = 5;
constexpr std::size_t row_counts[] = {1, 2, 3, 4, 14, 33};

// Vectors in turn have random codes, only the largest ones, which have the largest sums, and only those of random
// signs.
float proof_value(std::uint64_t key, std::size_t vector, std::size_t at) {
  const std::uint32_t bits = philox(key, vector << 32 | at)[0];
  if (vector % 3 == 1) return vector % 2 == 0 ? 1.0f : -1.0f;
  if (vector % 3 == 2) return bits % 2 == 0 ? 1.0f : -1.0f;
  return static_cast<float>(static_cast<std::int32_t>(bits)) * 0x1p-30f;
}

std::vector<float> proof_values(std::uint64_t key, std::size_t vectors) {
  std::vector<float> out;
  for (std::size_t v = 0; v < vectors; ++v) {
    for (std::size_t i = 0; i < inputs; ++i) out.push_back(proof_value(key, v, i));
  }
  return out;
}
std::vector<bf16> rounded(const std::vector<float>& values) {
  std::vector<bf16> out;
  for (float x : values) out.push_back(to_bf16(x));
  return out;
}

template <class T>
std::vector<float> product(Stream& stream, const std::vector<T>& values, std::size_t count, const Matrix& w) {
  std::vector<float> c(count * outputs);
  std::vector<std::uint32_t> index;
  for (std::size_t i = 0; i < count; ++i) index.push_back(static_cast<std::uint32_t>(i % different_rows));
  const GemmProblem<T> problem{Rows<const T>(values.data(), different_rows, inputs),
                               w,
                               Rows<float>(c.data(), count, outputs),
                               {index.data(), count}};
  gemm_grouped(stream, std::span(&problem, 1));
  return c;
}

struct Proof {
  Matrix w{nullptr, inputs, outputs, Format::Int8};
  std::vector<std::byte> memory = std::vector<std::byte>(packed_bytes(w));
  std::vector<float> exact = proof_values(2, different_rows);
  std::vector<bf16> bf16s = rounded(exact);

  Proof() {
    pack_int8(memory.data(), w, {0, inputs, 0, outputs}, rounded(proof_values(1, outputs)).data(), inputs, 1);
    w.data = memory.data();
  }
  template <class T>
  bool holds(Stream& plain, Stream& stream, const std::vector<T>& values) const {
    const std::vector<float> wanted = product(plain, values, different_rows, w);
    for (std::size_t count : row_counts) {
      const std::vector<float> c = product(stream, values, count, w);
      for (std::size_t i = 0; i < c.size(); i += wanted.size()) {
        const std::size_t part = std::min(wanted.size(), c.size() - i);
        if (std::memcmp(&c[i], wanted.data(), part * sizeof(float)) != 0) return false;
      }
    }
    return true;
  }
};

}  // namespace

bool has_plain_bits(const Int8Gemm& int8_gemm) {
  const Proof proof;
  Stream plain(plain_bodies, plain_gemm, plain_int8_gemm, 1), stream(plain_bodies, plain_gemm, int8_gemm, 1);
  return proof.holds(plain, stream, proof.exact) && proof.holds(plain, stream, proof.bf16s);
}

Int8Choice choose_int8(Isa isa) {
  Int8Choice choice;
  for (Int8Unit unit : int8_units_of(isa)) {
    if (!available(unit)) continue;
    choice.unit = unit;
    if (unit == Int8Unit::Plain || has_plain_bits(int8_gemm_of(unit))) return choice;
    choice.wrong.push_back(unit);
  }
  return choice;
}

}  // namespace moemill::cpu
