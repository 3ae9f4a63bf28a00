// Weights that are kept as stored: every product has the bits that the same weights have in bf16.
#include <algorithm>
#include <cmath>

#include "base/numbers/small_floats.hpp"
#include "gemm_support.hpp"

using namespace moemill;
using namespace moemill::test;
using cpu::Format;
using cpu::PairOrder;

namespace {

// The same weights twice: in codes of one order of pairs, and as bf16 values.
struct Coded {
  cpu::Matrix coded;
  std::vector<bf16> values;       // [n, k]
  std::vector<std::byte> packed;  // `coded`
};

struct Grid {
  std::uint64_t first_row, block_rows;
  std::uint32_t block_inputs, scale_columns;
};

// Scales of common sizes, and some that make subnormal products, zeros, or turn signs.
float scale_at(std::size_t i) {
  constexpr float awkward[] = {0x1p-125f, 7.7e-39f, 0.0f, -0.3f, 0x1.23456p100f};
  return i % 7 == 3 ? awkward[i / 7 % 5] : 0.0003f + 0.00001f * static_cast<float>(i % 97);
}

std::byte fp8_code(std::uint64_t i) {
  const auto code = static_cast<std::uint8_t>(philox(5, i)[0]);
  return static_cast<std::byte>((code & 0x7f) == 0x7f ? 0x80 : code);
}

Coded fp8(std::uint32_t k, std::uint32_t n, const Grid& grid, PairOrder order) {
  Coded w;
  w.coded = {nullptr, k, n, Format::Fp8, grid.block_inputs, grid.scale_columns, order};
  const std::size_t width = (k + grid.block_inputs - 1) / grid.block_inputs;
  auto scale_row = [&](std::size_t j) {
    return (grid.first_row + j) / grid.block_rows - grid.first_row / grid.block_rows;
  };
  std::vector<float> scales((scale_row(n - 1) + 1) * width);
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = scale_at(i);
  std::vector<std::byte> codes(std::size_t{n} * k);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = fp8_code(i);
    w.values.push_back(
        fp8_weight(static_cast<std::uint8_t>(codes[i]), scales[scale_row(i / k) * width + i % k / grid.block_inputs]));
  }
  w.packed.resize(cpu::packed_bytes(w.coded));
  // Two parts that each begin at a panel, as gate and up do.
  const std::uint32_t half = n / 2 / 32 * 32;
  if (half > 0 && grid.first_row % grid.block_rows == 0 && half % grid.block_rows == 0) {
    cpu::pack(w.packed.data(), w.coded,
              cpu::Fp8Columns{half, n - half, codes.data() + std::size_t{half} * k,
                              scales.data() + scale_row(half) * width, width, half, grid.block_rows});
    cpu::pack(w.packed.data(), w.coded,
              cpu::Fp8Columns{0, half, codes.data(), scales.data(), width, 0, grid.block_rows});
  } else {
    cpu::pack(w.packed.data(), w.coded,
              cpu::Fp8Columns{0, n, codes.data(), scales.data(), width, grid.first_row, grid.block_rows});
  }
  w.coded.data = w.packed.data();
  return w;
}

// Rows of gate and up may alternate: of two stored rows, the odd one is packed.
Coded mxfp4(std::uint32_t k, std::uint32_t n, std::size_t row_step, PairOrder order) {
  Coded w;
  w.coded = {nullptr, k, n, Format::Mxfp4, 0, 0, order};
  const std::size_t blocks = k / mxfp4_block, rows = n * row_step;
  std::vector<std::byte> codes(rows * k / 2), scales(rows * blocks);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::byte>(philox(6, i)[0]);
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const std::uint32_t r = philox(7, i)[0];
    scales[i] = static_cast<std::byte>(i % 13 == 5 ? r % 3 : 110 + r % 30);  // a few make subnormal values
  }
  const std::size_t first = row_step - 1;  // the row of column 0
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = 0; i < k; ++i) {
      const std::size_t at = (j * row_step + first) * k + i;
      const auto both = static_cast<std::uint32_t>(codes[at / 2]);
      w.values.push_back(
          mxfp4_weight(at % 2 == 0 ? both & 15u : both >> 4, static_cast<std::uint8_t>(scales[at / mxfp4_block])));
    }
  }
  w.packed.resize(cpu::packed_bytes(w.coded));
  cpu::pack(w.packed.data(), w.coded,
            cpu::Mxfp4Columns{0, n, codes.data() + first * k / 2, scales.data() + first * blocks, row_step});
  w.coded.data = w.packed.data();
  return w;
}

// make(order) gives the same weights in an order of pairs.
template <class Make>
void check(Make make) {
  const Coded first = make(PairOrder::EvenThenOdd);
  const std::uint32_t k = first.coded.k, n = first.coded.n;
  CAPTURE(k);
  CAPTURE(n);
  const std::size_t most = 170;
  const auto a = random_bf16(most * k, 11);
  const Weights plain(k, n, first.values);
  const auto all = product(plain_unit(), 1, rows_of(a, most, k), plain);
  const auto unrounded = random_floats(19 * k, 12);
  const auto of_unrounded = product(plain_unit(), 1, rows_of(unrounded, 19, k), plain);
  for (PairOrder order : both_orders) {
    const Coded w = make(order);
    std::size_t wrong = 0;
    for (std::uint32_t j = 0; j < n; ++j) {
      for (std::uint32_t i = 0; i < k; ++i) {
        wrong += !(cpu::packed_at(w.coded, i, j) == w.values[std::size_t{j} * k + i]);
      }
    }
    REQUIRE(wrong == 0);
    const std::vector<float> of_three(all.begin(), all.begin() + std::ptrdiff_t{3} * n);
    CHECK(same_bits(product(plain_unit(), 1, rows_of(a, 3, k), w.coded), of_three));
    for (const Unit& unit : fast_units()) {
      if (unit.gemm->order != order) continue;
      for (std::size_t m : {1u, 5u, 19u}) {
        CHECK(same_bits(
            product(unit, 1, rows_of(unrounded, m, k), w.coded),
            std::vector<float>(of_unrounded.begin(), of_unrounded.begin() + static_cast<std::ptrdiff_t>(m * n))));
      }
      CAPTURE(unit.name);
      for (std::size_t m = 1; m <= most; m += m < 18 ? 1 : 19) {
        CAPTURE(m);
        const std::vector<float> expected(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(m * n));
        REQUIRE(same_bits(product(unit, m % 5 == 2 ? 3 : 1, rows_of(a, m, k), w.coded), expected));
      }
    }
  }
}
void check_fp8(std::uint32_t k, std::uint32_t n, const Grid& grid) {
  check([&](PairOrder order) { return fp8(k, n, grid, order); });
}

}  // namespace

TEST_CASE("gemm: FP8 weights under every form of scales have the bits of their bf16 values") {
  for (const auto& shape :
       {std::pair{1u, 1u}, {2u, 33u}, {31u, 31u}, {513u, 65u}, {1025u, 161u}, {64u, 129u}, {700u, 290u}}) {
    const std::uint32_t k = shape.first, n = shape.second;
    check_fp8(k, n, {0, 128, 128, 1});  // blocks
    check_fp8(k, n, {96, 128, 64, 1});  // blocks, from a row within one on
    check_fp8(k, n, {0, n, k, 1});      // one for the matrix
    check_fp8(k, n, {0, 1, k, 32});     // one per row
    check_fp8(k, n, {5, 40, 96, 32});   // blocks that fit no panel
    check_fp8(k, n, {0, 1, 32, 32});    // groups of a row
  }
}

TEST_CASE("gemm: MXFP4 weights have the bits of their bf16 values") {
  for (const auto& shape : {std::pair{32u, 1u}, {64u, 33u}, {544u, 129u}, {1056u, 65u}, {512u, 290u}}) {
    for (std::size_t row_step : {1u, 2u}) {
      check([&](PairOrder order) { return mxfp4(shape.first, shape.second, row_step, order); });
    }
  }
}

namespace {

template <class Make>
void check_large_c(Make make) {
  const std::uint32_t k = inputs_of_large_c, n = outputs_of_large_c;
  const auto a = random_bf16(3 * k, 11);
  const std::vector<float> few =
      product(plain_unit(), 1, rows_of(a, 3, k), Weights(k, n, make(PairOrder::EvenThenOdd).values));
  for (PairOrder order : both_orders) {
    const Coded w = make(order);
    for (const Unit& unit : fast_units()) {
      CAPTURE(unit.name);
      if (unit.gemm->order == order) check_repeats(unit, rows_of(a, 3, k), w.coded, rows_of_large_c, few);
    }
  }
}

}  // namespace

TEST_CASE("gemm: FP8 and MXFP4 weights whose outputs outgrow the cache") {
  check_large_c([](PairOrder order) { return fp8(inputs_of_large_c, outputs_of_large_c, {0, 128, 128, 1}, order); });
  check_large_c([](PairOrder order) { return fp8(inputs_of_large_c, outputs_of_large_c, {0, 1, 32, 32}, order); });
  check_large_c([](PairOrder order) { return mxfp4(inputs_of_large_c, outputs_of_large_c, 1, order); });
}

namespace {

// All codes but NaN in each of 32 columns, under one scale for all of them or one each: an identity matrix as A returns
// the weights themselves.
void check_every_code(const std::vector<float>& scales) {
  const std::uint32_t k = 256, n = 32;
  std::vector<std::byte> codes(std::size_t{n} * k);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::byte>((i & 0x7f) == 0x7f ? 0 : i);
  std::vector<std::byte> packed[2];
  auto matrix = [&](PairOrder order) {
    cpu::Matrix w{nullptr, k, n, Format::Fp8, k, static_cast<std::uint32_t>(scales.size()), order};
    auto& memory = packed[static_cast<int>(order)];
    memory.resize(cpu::packed_bytes(w));
    cpu::pack(memory.data(), w, cpu::Fp8Columns{0, n, codes.data(), scales.data(), 1, 0, n / scales.size()});
    w.data = memory.data();
    return w;
  };
  std::vector<bf16> identity(std::size_t{k} * k);
  for (std::size_t i = 0; i < k; ++i) identity[i * k + i] = to_bf16(1);
  for (const Unit& unit : fast_units()) {
    CAPTURE(unit.name);
    const auto c = product(unit, 1, rows_of(identity, k, k), matrix(unit.gemm->order));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < k; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        wrong += c[i * n + j] != to_float(fp8_weight(static_cast<std::uint8_t>(codes[i]), scales[j % scales.size()]));
      }
    }
    CHECK(wrong == 0);
  }
}

}  // namespace

TEST_CASE("gemm: every FP8 code under every kind of scale") {
  for (float scale : {1.0f, 0.1f, 3.0f, 1e-30f, 7.7e-39f, 0x1p-126f, -0.3f, 1.2345e5f, 0.0f, 0x1p-117f, 0x1.8p-118f,
                      0x1p100f, 0x1.8p100f, 0x1p118f}) {
    CAPTURE(scale);
    check_every_code({scale});
  }
  // One per column: products halfway between two bf16 values, signs, a zero; then one that needs care.
  std::vector<float> scales;
  for (int j = 0; j < 32; ++j) {
    scales.push_back((1 + static_cast<float>(j) / 128) * (j % 5 == 0 ? -0x1p-9f : 0x1p20f));
  }
  scales[7] = 0, scales[11] = 0x1p-117f, scales[12] = 0x1p100f;
  check_every_code(scales);
  scales[3] = 0x1p-120f;
  check_every_code(scales);
}
