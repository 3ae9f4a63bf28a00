#include "kernels/cpu/choose_isa.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "base/clock.hpp"
#include "base/numbers/random.hpp"
#include "base/numbers/small_floats.hpp"
#include "kernels/cpu/bodies.hpp"
#include "kernels/gemm.hpp"

namespace moemill::cpu {

namespace {

// Two K blocks, the last group and the last panel not full; enough panels for the widest tiles.
constexpr std::uint32_t proof_inputs = 557, proof_outputs = 166;
// Different rows, which the larger products repeat: the plain body is slow. Counts of rows that fill the tiles of every
// body, that leave rows over, and that make bodies widen weights.
constexpr std::size_t proof_rows = 5;
constexpr std::size_t proof_counts[] = {1, 2, 3, 4, 14, 33, 81};
constexpr std::uint32_t coded_inputs = 96, coded_outputs = 64;

// Vectors have values of all exponents but the largest, values near 1, and values whose products are near the smallest
// normal number, in turn.
bf16 proof_value(std::uint64_t key, std::size_t vector, std::size_t at) {
  const std::uint32_t bits = philox(key, vector << 32 | at)[0], high = bits >> 16;
  std::uint32_t exponent = high % 188;
  if (vector % 3 == 1) exponent = 123 + high % 8;
  if (vector % 3 == 2) exponent = 60 + high % 8;
  return {static_cast<std::uint16_t>((bits & 0x8000u) | exponent << 7 | (bits & 0x7fu))};
}

std::vector<bf16> proof_values(std::uint64_t key, std::size_t vectors, std::size_t length) {
  std::vector<bf16> out;
  for (std::size_t v = 0; v < vectors; ++v) {
    for (std::size_t i = 0; i < length; ++i) out.push_back(proof_value(key, v, i));
  }
  return out;
}

// Rows in fp32: values of the kinds above with more bits than bf16 has.
std::vector<float> unrounded(std::uint64_t key, std::size_t rows) {
  std::vector<float> out;
  for (bf16 value : proof_values(key, rows, proof_inputs)) {
    const std::uint32_t more = philox(key + 1, out.size())[0] & 0xffffu;
    out.push_back(std::bit_cast<float>(std::uint32_t{value.bits} << 16 | more));
  }
  return out;
}

struct PackedMatrix {
  Matrix view;
  std::vector<std::byte> memory;

  explicit PackedMatrix(const Matrix& shape) : view(shape), memory(packed_bytes(shape)) { view.data = memory.data(); }
};

PackedMatrix bf16_matrix(PairOrder order) {
  PackedMatrix w({nullptr, proof_inputs, proof_outputs, Format::Bf16, 0, 0, order});
  const auto values = proof_values(1, proof_outputs, proof_inputs);
  pack(reinterpret_cast<bf16*>(w.memory.data()), w.view, {0, proof_inputs, 0, proof_outputs}, values.data(),
       proof_inputs, 1);
  return w;
}

std::vector<std::byte> proof_codes(std::uint64_t key, std::size_t count) {
  std::vector<std::byte> out;
  for (std::size_t i = 0; i < count; ++i) {
    const auto code = static_cast<std::uint8_t>(philox(key, i)[0]);
    out.push_back(static_cast<std::byte>((code & 0x7f) == 0x7f ? 0x80 : code));  // no NaN of FP8
  }
  return out;
}

PackedMatrix fp8_matrix(PairOrder order, std::uint32_t scale_columns) {
  PackedMatrix w({nullptr, coded_inputs, coded_outputs, Format::Fp8, coded_inputs, scale_columns, order});
  const auto codes = proof_codes(2, std::size_t{coded_inputs} * coded_outputs);
  std::vector<float> scales;
  // The first panel has some that make subnormal weights, the second one only common ones.
  for (std::uint32_t j = 0; j < coded_outputs; ++j) {
    scales.push_back(0x1.5p-119f * static_cast<float>(1u << (j < panel_columns ? 3 * j % 31 : 8 + j % 20)));
  }
  pack(w.memory.data(), w.view,
       Fp8Columns{0, coded_outputs, codes.data(), scales.data(), 1, 0, panel_columns / scale_columns});
  return w;
}

PackedMatrix mxfp4_matrix(PairOrder order) {
  PackedMatrix w({nullptr, coded_inputs, coded_outputs, Format::Mxfp4, 0, 0, order});
  const auto blocks = proof_codes(3, std::size_t{coded_inputs} * coded_outputs / 2);
  auto scales = proof_codes(4, std::size_t{coded_inputs} * coded_outputs / mxfp4_block);
  for (std::byte& scale : scales) scale &= std::byte{0x7f};  // far from the largest
  pack(w.memory.data(), w.view, Mxfp4Columns{0, coded_outputs, blocks.data(), scales.data(), 1});
  return w;
}

std::vector<PackedMatrix> proof_matrices(PairOrder order) {
  std::vector<PackedMatrix> out;
  out.push_back(bf16_matrix(order));
  out.push_back(fp8_matrix(order, 1));
  out.push_back(fp8_matrix(order, panel_columns));
  out.push_back(mxfp4_matrix(order));
  return out;
}

// The matrices in each order of pairs, packed when they are first wanted.
class ProofMatrices {
 public:
  const std::vector<PackedMatrix>& of(PairOrder order) {
    auto& packed = packed_[order == PairOrder::Successive ? 1 : 0];
    if (packed.empty()) packed = proof_matrices(order);
    return packed;
  }

 private:
  std::vector<PackedMatrix> packed_[2];
};

// Rows count times, the different ones in turn.
template <class T>
std::vector<float> product(Stream& stream, std::span<const T> values, std::size_t count, const Matrix& w) {
  std::vector<float> c(count * w.n);
  std::vector<std::uint32_t> index;
  const std::size_t rows = values.size() / w.k;
  for (std::size_t i = 0; i < count; ++i) index.push_back(static_cast<std::uint32_t>(i % rows));
  const GemmProblem<T> problem{
      Rows<const T>(values.data(), rows, w.k), w, Rows<float>(c.data(), count, w.n), {index.data(), count}};
  gemm_grouped(stream, std::span(&problem, 1));
  return c;
}

// What every body has to give: the plain body's products of the different rows with each matrix.
template <class T>
class Products {
 public:
  Products(std::vector<T> values, ProofMatrices& matrices) : values_(std::move(values)), matrices_(matrices) {
    Stream plain(Isa::Plain);
    for (const PackedMatrix& w : matrices_.of(plain.order())) {
      wanted_.push_back(product<T>(plain, rows_of(w.view), proof_rows, w.view));
    }
  }

  bool hold(Stream& stream) const {
    const auto& matrices = matrices_.of(stream.order());
    for (std::size_t i = 0; i < matrices.size(); ++i) {
      for (std::size_t count : proof_counts) {
        if (!repeats(product<T>(stream, rows_of(matrices[i].view), count, matrices[i].view), wanted_[i])) return false;
      }
    }
    return true;
  }

 private:
  std::span<const T> rows_of(const Matrix& w) const { return std::span(values_).first(proof_rows * w.k); }
  static bool repeats(const std::vector<float>& c, const std::vector<float>& wanted) {
    for (std::size_t i = 0; i < c.size(); i += wanted.size()) {
      if (std::memcmp(&c[i], wanted.data(), std::min(wanted.size(), c.size() - i) * sizeof(float)) != 0) return false;
    }
    return true;
  }

  const std::vector<T> values_;
  ProofMatrices& matrices_;
  std::vector<std::vector<float>> wanted_;
};

struct Proof {
  ProofMatrices matrices;
  Products<bf16> rounded{proof_values(5, proof_rows, proof_inputs), matrices};
  Products<float> exact{unrounded(7, proof_rows), matrices};

  bool holds(Stream& stream) const { return rounded.hold(stream) && exact.hold(stream); }
};

// Seconds of one product of decode's shape, the best of several.
double time_product(Stream& stream) {
  constexpr std::uint32_t inputs = 1024, outputs = 512;
  constexpr std::size_t rows = 32, calls = 12;
  const auto some = proof_values(6, 1, inputs);
  std::vector<bf16> values;  // the same row again and again: drawing them all would take longer than the products
  for (std::size_t i = 0; i < outputs; ++i) values.insert(values.end(), some.begin(), some.end());
  PackedMatrix w({nullptr, inputs, outputs, Format::Bf16, 0, 0, stream.order()});
  pack(reinterpret_cast<bf16*>(w.memory.data()), w.view, {0, inputs, 0, outputs}, values.data(), inputs, 1);
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < calls; ++i) {
    const double start = now_seconds();
    product<bf16>(stream, std::span(values).first(rows * inputs), rows, w.view);
    best = std::min(best, now_seconds() - start);
  }
  return best;
}

}  // namespace

bool has_plain_bits(Isa isa) { return has_plain_bits(bodies_of(isa), gemm_body_of(isa)); }

bool has_plain_bits(const Bodies& bodies, const GemmBody& gemm_body) {
  Stream stream(bodies, gemm_body, plain_int8_gemm, 1);
  return Proof().holds(stream);
}

IsaChoice choose_isa() {
  const Proof proof;
  IsaChoice choice;
  double best = std::numeric_limits<double>::infinity();
  for (Isa isa : all_isas) {
    if (isa == Isa::Plain || !available(isa)) continue;
    Stream stream(isa);
    IsaTrial trial{isa, proof.holds(stream), 0};
    if (trial.right) trial.seconds = time_product(stream);
    if (trial.right && trial.seconds < best) {
      best = trial.seconds;
      choice.isa = isa;
    }
    choice.trials.push_back(trial);
  }
  return choice;
}

}  // namespace moemill::cpu
