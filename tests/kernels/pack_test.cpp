// Packing: both orders of pairs, from every kind of source.
#include <algorithm>

#include "gemm_support.hpp"

using namespace moemill;
using namespace moemill::test;
using cpu::PairOrder;

namespace {

cpu::Matrix shape_of(std::uint32_t k, std::uint32_t n, PairOrder order) {
  cpu::Matrix shape{nullptr, k, n};
  shape.order = order;
  return shape;
}

}  // namespace

TEST_CASE("pack: every value is kept, and padding is zero") {
  for (auto [k, n] : {std::pair{1u, 1u}, {2u, 32u}, {513u, 33u}, {512u, 31u}, {1027u, 70u}}) {
    Weights w(k, n, 3);
    for (PairOrder order : both_orders) {
      CHECK(w.packed_in(order).size() == std::size_t{(n + 31) / 32 * 32} * ((k + 31) / 32 * 32));
      std::size_t wrong = 0;
      for (std::uint32_t j = 0; j < n; ++j) {
        for (std::uint32_t i = 0; i < k; ++i)
          wrong += !(cpu::packed_at(w.view(order), i, j) == w.source[std::size_t{j} * k + i]);
      }
      CHECK(wrong == 0);
      std::size_t zeros = 0;
      for (bf16 x : w.packed_in(order)) zeros += x.bits == 0;
      CHECK(zeros >= w.packed_in(order).size() - std::size_t{k} * n);
    }
  }
}

TEST_CASE("pack: the orders of pairs are what instructions read") {
  std::vector<bf16> inputs;
  for (std::uint16_t i = 0; i < 32; ++i) inputs.push_back({i});
  Weights w(32, 1, inputs);
  auto pair = [&](PairOrder order, std::size_t q) {
    const bf16* at = w.packed_in(order).data() + q * 64;
    return std::pair<int, int>{at[1].bits, at[0].bits};  // upper, lower
  };
  for (int q = 0; q < 16; ++q) {
    const int first = q < 8 ? 4 * q : 4 * (q - 8) + 1;
    CHECK(pair(PairOrder::EvenThenOdd, static_cast<std::size_t>(q)) == std::pair{first, first + 2});
    CHECK(pair(PairOrder::Successive, static_cast<std::size_t>(q)) == std::pair{2 * q + 1, 2 * q});
  }
}

TEST_CASE("pack: column ranges and transposed sources give the same matrix") {
  const std::uint32_t k = 77, n = 100;
  Weights whole(k, n, 5);
  std::vector<bf16> input_first(std::size_t{k} * n);
  for (std::uint32_t i = 0; i < k; ++i) {
    for (std::uint32_t j = 0; j < n; ++j) input_first[std::size_t{i} * n + j] = whole.source[std::size_t{j} * k + i];
  }
  for (PairOrder order : both_orders) {
    const cpu::Matrix shape = shape_of(k, n, order);
    std::vector<bf16> parts(whole.packed_in(order).size(), bf16{0x7777}), turned(parts.size());
    cpu::pack(parts.data(), shape, {0, k, 64, 36}, whole.source.data() + 64 * k, k, 1);
    cpu::pack(parts.data(), shape, {0, k, 0, 64}, whole.source.data(), k, 1);
    CHECK(same_bits(parts, whole.packed_in(order)));
    cpu::pack(turned.data(), shape, {0, k, 0, n}, input_first.data(), 1, n);
    CHECK(same_bits(turned, whole.packed_in(order)));
  }
}

namespace {

// The source's values `step` apart, inputs or columns far apart, packed by chunks of inputs.
void check_strides(Weights& whole, PairOrder order, std::size_t step, bool inputs_far, std::uint32_t chunk) {
  const std::uint32_t k = whole.k, n = whole.n;
  CAPTURE(k);
  CAPTURE(n);
  CAPTURE(step);
  CAPTURE(inputs_far);
  CAPTURE(chunk);
  const std::size_t column_stride = inputs_far ? step : k * step, input_stride = inputs_far ? n * step : step;
  const auto source = strided_source(whole.source, k, n, column_stride, input_stride);
  std::vector<bf16> packed(whole.packed_in(order).size(), bf16{0x7777});
  for (std::uint32_t at = 0; at < k; at += chunk) {
    cpu::pack(packed.data(), shape_of(k, n, order), {at, std::min(chunk, k - at), 0, n},
              source.data() + at * input_stride, column_stride, input_stride);
  }
  CHECK(same_bits(packed, whole.packed_in(order)));
}

}  // namespace

TEST_CASE("pack: input ranges of sources of any strides give the same matrix") {
  for (const auto& shape : {std::pair{1u, 1u}, {2u, 9u}, {613u, 45u}, {1030u, 96u}, {520u, 71u}}) {
    Weights whole(shape.first, shape.second, 6);
    for (PairOrder order : both_orders) {
      for (std::size_t step : {1u, 2u, 3u}) {
        for (std::uint32_t chunk : {32u, 96u, 512u}) {
          check_strides(whole, order, step, false, chunk);
          check_strides(whole, order, step, true, chunk);
        }
      }
    }
  }
}

TEST_CASE("pack: two sources that each begin at a panel fill one matrix") {
  const std::uint32_t k = 70, width = 41, n = 64 + width;
  const std::vector<bf16> alternating = random_bf16(std::size_t{k} * 2 * width, 9);  // [k][gate, up, gate, ...]
  for (PairOrder order : both_orders) {
    std::vector<bf16> packed(cpu::packed_count(k, n), bf16{0x7777});
    cpu::pack(packed.data(), shape_of(k, n, order), {0, k, 0, width}, alternating.data(), 2, 2 * width);
    cpu::pack(packed.data(), shape_of(k, n, order), {0, k, 64, width}, alternating.data() + 1, 2, 2 * width);
    cpu::Matrix w = shape_of(k, n, order);
    w.data = packed.data();
    std::size_t wrong = 0;
    for (std::uint32_t i = 0; i < k; ++i) {
      for (std::uint32_t j = 0; j < n; ++j) {
        const std::size_t row = std::size_t{i} * 2 * width;
        bf16 wanted{0};
        if (j < width) wanted = alternating[row + 2 * j];
        if (j >= 64) wanted = alternating[row + 2 * (j - 64) + 1];
        wrong += !(cpu::packed_at(w, i, j) == wanted);
      }
    }
    CHECK(wrong == 0);
  }
}
