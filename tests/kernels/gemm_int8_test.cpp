// The product with int8 weights: what its units give, and what they make of values that are no ordinary ones.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.hpp"

#include "gemm_support.hpp"
#include "kernels/int8.hpp"

using namespace moemill;
using namespace moemill::test;
using cpu::int8_group;

namespace {

// Int8 weights of bf16 values [n, k].
struct Quantized {
  cpu::Matrix view;
  std::vector<std::byte> packed;

  Quantized(std::uint32_t k, std::uint32_t n, const std::vector<bf16>& values)
      : view{nullptr, k, n, cpu::Format::Int8}, packed(cpu::packed_bytes(view)) {
    cpu::pack_int8(packed.data(), view, {0, k, 0, n}, values.data(), k, 1);
    view.data = packed.data();
  }
};

// Values of all sizes from group to group, some groups of zeros.
std::vector<bf16> uneven(std::size_t count, std::uint64_t seed) {
  std::vector<bf16> out;
  for (float x : random_floats(count, seed)) {
    const std::size_t group = out.size() / 61 % 11;
    out.push_back(to_bf16(group == 5 ? 0.0f : std::ldexp(x, static_cast<int>(3 * group) - 16)));
  }
  return out;
}
std::vector<float> unrounded(std::size_t count, std::uint64_t seed) {
  std::vector<float> out = random_floats(count, seed);
  for (std::size_t i = 0; i < count; ++i) out[i] = std::ldexp(out[i], static_cast<int>(i / 37 % 9) - 4);
  return out;
}

// kernels/gemm.hpp's definition of one output, in integers of 64 bits.
template <class T>
float defined_int8(std::span<const T> a, const cpu::Matrix& w, std::uint32_t column) {
  const FlushSubnormals flush;
  float c = 0;
  for (std::size_t first = 0; first < a.size(); first += int8_group) {
    const std::size_t count = std::min(int8_group, a.size() - first);
    std::vector<float> values;
    for (std::size_t i = 0; i < count; ++i) values.push_back(as_float(a[first + i]));
    std::vector<std::int8_t> codes(count);
    const float scale = cpu::quantize_group(values.data(), count, codes.data());
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      sum += codes[i] * std::int64_t{cpu::int8_at(w, static_cast<std::uint32_t>(first + i), column).code};
    }
    const float both = scale * cpu::int8_at(w, static_cast<std::uint32_t>(first), column).scale;
    c = std::fma(static_cast<float>(sum), both, c);
  }
  return c;
}

const std::pair<std::uint32_t, std::uint32_t> shapes[] = {{1, 1},    {3, 33},   {64, 32},  {65, 31},   {127, 64},
                                                          {128, 70}, {129, 96}, {513, 65}, {700, 130}, {1100, 290}};

}  // namespace

TEST_CASE("int8: codes are the nearest ones, and the largest value has the code 127") {
  const FlushSubnormals flush;
  for (std::uint64_t seed = 1; seed < 40; ++seed) {
    std::vector<float> values = random_floats(int8_group, seed, std::ldexp(1.0f, static_cast<int>(seed) * 6 - 110));
    std::vector<std::int8_t> codes(int8_group);
    const float scale = cpu::quantize_group(values.data(), int8_group, codes.data());
    int largest = 0;
    double worst = 0;
    for (std::size_t i = 0; i < int8_group; ++i) {
      largest = std::max(largest, std::abs(int{codes[i]}));
      worst = std::max(worst, std::fabs(codes[i] * double{scale} - double{values[i]}) / scale);
    }
    CHECK(largest == 127);
    CHECK(worst <= 0.5 * (1 + 127 * 0x1p-22));
  }
}

TEST_CASE("int8: zeros, ties, subnormal scales, infinite values and NaN") {
  const FlushSubnormals flush;
  std::int8_t codes[4];
  const auto quantize = [&](std::vector<float> values) {
    return cpu::quantize_group(values.data(), values.size(), codes);
  };
  CHECK(quantize({0, -0.0f, 0, 0}) == 0);
  CHECK(codes[1] == 0);
  CHECK(quantize({127, 2.5f, -3.5f, 126.5f}) == 1);
  CHECK(codes[0] == 127);
  CHECK(codes[1] == 2);
  CHECK(codes[2] == -4);
  CHECK(codes[3] == 126);
  CHECK(quantize({126 * 0x1p-126f, 0, 0, -0x1p-126f}) == 0);  // its scale would be subnormal
  CHECK(codes[0] == 0);
  CHECK(quantize({127 * 0x1p-126f, 0x1p-126f, -0x1p-127f, 0}) == 0x1p-126f);
  CHECK(codes[0] == 127);
  CHECK(codes[1] == 1);
  CHECK(codes[2] == 0);
  CHECK(quantize({std::numeric_limits<float>::max(), -std::numeric_limits<float>::max(), 1, 0}) > 0x1p120f);
  CHECK(codes[1] == -127);
  for (float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                    std::numeric_limits<float>::quiet_NaN(), std::bit_cast<float>(0x7f800001u)}) {
    CHECK(std::bit_cast<std::uint32_t>(quantize({1, bad, 2, 3})) == cpu::int8_nan_bits);
    CHECK(codes[0] == 0);
  }
}

TEST_CASE("int8: a packed matrix has the codes and scales of its columns, and padding of zeros") {
  const FlushSubnormals flush;
  for (const auto& shape : shapes) {
    const std::uint32_t k = shape.first, n = shape.second;
    CAPTURE(k);
    CAPTURE(n);
    const auto values = uneven(std::size_t{k} * n, 3);
    const Quantized w(k, n, values);
    std::size_t wrong = 0;
    for (std::uint32_t j = 0; j < n; ++j) {
      for (std::uint32_t first = 0; first < k; first += int8_group) {
        std::vector<float> group;
        for (std::uint32_t i = first; i < std::min<std::uint32_t>(k, first + int8_group); ++i) {
          group.push_back(to_float(values[std::size_t{j} * k + i]));
        }
        std::vector<std::int8_t> codes(group.size());
        const float scale = cpu::quantize_group(group.data(), group.size(), codes.data());
        for (std::uint32_t i = 0; i < group.size(); ++i) {
          const cpu::Int8Weight at = cpu::int8_at(w.view, first + i, j);
          wrong += at.code != codes[i] || at.scale != scale;
        }
      }
    }
    CHECK(wrong == 0);
    // Padded inputs and columns, where the matrix has some.
    for (std::uint32_t j = n; j < (n + 31) / 32 * 32; ++j) {
      CHECK(cpu::int8_at(w.view, 0, j).code == 0);
      CHECK(cpu::int8_at(w.view, 0, j).scale == 0);
    }
    for (std::uint32_t i = k; i < (k + 63) / 64 * 64; ++i) CHECK(cpu::int8_at(w.view, i, 0).code == 0);
  }
}

TEST_CASE("int8: half of the bytes of bf16, and four for the scale of a group") {
  const cpu::Matrix int8{nullptr, 2048, 1408, cpu::Format::Int8}, wide{nullptr, 2048, 1408};
  CHECK(2 * cpu::packed_bytes(int8) == cpu::packed_bytes(wide) * (int8_group + 4) / int8_group);
}

TEST_CASE("int8: parts of inputs and columns of any strides give the same matrix") {
  for (const auto& shape : {std::pair{1u, 1u}, {130u, 45u}, {613u, 70u}, {1030u, 96u}}) {
    const std::uint32_t k = shape.first, n = shape.second;
    const auto values = uneven(std::size_t{k} * n, 6);
    const Quantized whole(k, n, values);
    for (std::size_t step : {1u, 2u, 3u}) {
      for (bool inputs_far : {false, true}) {
        CAPTURE(k);
        CAPTURE(step);
        CAPTURE(inputs_far);
        const std::size_t column_stride = inputs_far ? step : k * step, input_stride = inputs_far ? n * step : step;
        const auto source = strided_source(values, k, n, column_stride, input_stride);
        std::vector<std::byte> packed(whole.packed.size(), std::byte{0x77});
        for (std::uint32_t i = 0; i < k; i += 256) {
          for (std::uint32_t j = 0; j < n; j += 32) {
            const cpu::PackedPart part{i, std::min(256u, k - i), j, std::min(32u, n - j)};
            cpu::pack_int8(packed.data(), whole.view, part, source.data() + j * column_stride + i * input_stride,
                           column_stride, input_stride);
          }
        }
        CHECK(same_bits(packed, whole.packed));
      }
    }
  }
}

TEST_CASE("int8 gemm: the plain body is the definition") {
  for (const auto& shape : shapes) {
    const std::uint32_t k = shape.first, n = shape.second;
    CAPTURE(k);
    CAPTURE(n);
    const Quantized w(k, n, uneven(std::size_t{k} * n, 3));
    const auto a = uneven(3 * k, 4);
    const auto b = unrounded(3 * k, 5);
    const auto of_a = product(plain_unit(), 1, rows_of(a, 3, k), w.view);
    const auto of_b = product(plain_unit(), 1, rows_of(b, 3, k), w.view);
    std::size_t wrong = 0;
    for (std::uint32_t i = 0; i < 3; ++i) {
      for (std::uint32_t j = 0; j < n; ++j) {
        wrong += of_a[i * n + j] != defined_int8(std::span(a).subspan(i * k, k), w.view, j);
        wrong += of_b[i * n + j] != defined_int8(std::span(b).subspan(i * k, k), w.view, j);
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("int8 gemm: near the product in double precision") {
  const std::uint32_t k = 1000, n = 40, m = 6;
  const auto values = random_bf16(std::size_t{k} * n, 7), a = random_bf16(std::size_t{k} * m, 8);
  const Quantized w(k, n, values);
  const auto c = product(plain_unit(), 1, rows_of(a, m, k), w.view);
  double errors = 0, sizes = 0;
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double exact = 0;
      for (std::size_t x = 0; x < k; ++x) exact += double{to_float(a[i * k + x])} * double{to_float(values[j * k + x])};
      errors += (c[i * n + j] - exact) * (c[i * n + j] - exact), sizes += exact * exact;
    }
  }
  // Uniform values in (-1, 1) have variance 1/3, errors of a code 1/12 of a step of 1/127 squared; both operands have
  // them.
  const double expected = std::sqrt(2 * (1.0 / 12) / (127.0 * 127.0) * 3);
  CHECK(std::sqrt(errors / sizes) < 1.2 * expected);
  CHECK(std::sqrt(errors / sizes) > 0.5 * expected);
}

namespace {

template <class T>
void check_units(const Quantized& w, const std::vector<T>& a, std::size_t most) {
  const std::uint32_t k = w.view.k, n = w.view.n;
  const auto all = product(plain_unit(), 1, rows_of(a, most, k), w.view);
  for (const Unit& unit : fast_int8_units()) {
    CAPTURE(unit.name);
    for (std::size_t m = 1; m <= most; m += m < 18 ? 1 : 19) {
      CAPTURE(m);
      const std::vector<float> expected(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(m * n));
      REQUIRE(same_bits(product(unit, m % 5 == 2 ? 3 : 1, rows_of(a, m, k), w.view), expected));
    }
  }
}

}  // namespace

TEST_CASE("int8 gemm: every unit has the plain body's bits") {
  for (const auto& shape : shapes) {
    const std::uint32_t k = shape.first, n = shape.second;
    CAPTURE(k);
    CAPTURE(n);
    const Quantized w(k, n, uneven(std::size_t{k} * n, 3));
    check_units(w, uneven(std::size_t{k} * 170, 4), 170);
    check_units(w, unrounded(std::size_t{k} * 19, 5), 19);
  }
}

TEST_CASE("int8 gemm: outputs that outgrow the cache") {
  const std::uint32_t k = inputs_of_large_c, n = outputs_of_large_c;
  const Quantized w(k, n, uneven(std::size_t{k} * n, 3));
  const auto a = uneven(3 * k, 4);
  const auto few = product(plain_unit(), 1, rows_of(a, 3, k), w.view);
  for (const Unit& unit : fast_int8_units()) {
    CAPTURE(unit.name);
    check_repeats(unit, rows_of(a, 3, k), w.view, rows_of_large_c, few);
  }
}

TEST_CASE("int8 gemm: the largest sums, of all signs") {
  const std::uint32_t k = 640, n = 64, m = 20;
  std::vector<bf16> values, a;
  for (std::size_t j = 0; j < n; ++j) values.insert(values.end(), k, to_bf16(j % 2 == 0 ? 1.0f : -1.0f));
  for (std::size_t i = 0; i < m; ++i) a.insert(a.end(), k, to_bf16(i % 2 == 0 ? 2.0f : -2.0f));
  const Quantized w(k, n, values);
  const auto c = product(plain_unit(), 1, rows_of(a, m, k), w.view);
  CHECK(std::fabs(c[0] - 1280) < 1e-3f);
  CHECK(std::fabs(c[1] + 1280) < 1e-3f);
  CHECK(std::fabs(c[n + 1] - 1280) < 1e-3f);
  check_units(w, a, m);
}

TEST_CASE("int8 gemm: infinite values, NaN, zeros and subnormal products of scales") {
  const std::uint32_t k = 300, n = 96, m = 19;
  auto values = random_bf16(std::size_t{k} * n, 7), a = random_bf16(std::size_t{k} * m, 8);
  const auto set = [&](std::vector<bf16>& of, std::size_t vector, std::size_t first, std::size_t count, float x) {
    for (std::size_t i = 0; i < count; ++i) of[vector * k + first + i] = to_bf16(x);
  };
  set(values, 3, 0, k, 0);
  set(values, 40, 128, 128, 0);
  set(values, 41, 200, 1, std::numeric_limits<float>::infinity());
  set(values, 50, 0, k, 0x1p-100f);  // with row 6 a product of scales below the normal ones
  set(values, 51, 0, k, 0x1p-118f);
  set(values, 52, 0, k, 0x1p-125f);  // scales that are zero
  set(values, 60, 0, k, 0x1.8p126f);
  set(a, 1, 10, 1, std::numeric_limits<float>::quiet_NaN());
  set(a, 2, 290, 1, -std::numeric_limits<float>::infinity());
  set(a, 4, 0, k, 0);
  set(a, 6, 0, k, 0x1p-20f);
  set(a, 7, 0, k, 0x1.8p126f);  // with column 60 infinite sums
  const Quantized w(k, n, values);
  const auto c = product(plain_unit(), 1, rows_of(a, m, k), w.view);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const float x = c[i * n + j];
      if (std::isnan(x)) CHECK(std::bit_cast<std::uint32_t>(x) == cpu::int8_nan_bits);
      if (i == 1 || i == 2 || j == 41) CHECK(std::isnan(x));
    }
  }
  CHECK(c[0 * n + 3] == 0);
  CHECK(c[4 * n + 5] == 0);
  CHECK(c[0 * n + 52] == 0);
  CHECK(c[6 * n + 51] == 0);
  CHECK(std::isinf(c[7 * n + 60]));
  check_units(w, a, m);
}

TEST_CASE("int8 gemm: rows by an index, and products of a group of problems") {
  const std::uint32_t k = 260, n = 70;
  const Quantized w(k, n, uneven(std::size_t{k} * n, 3)), other(k, n, uneven(std::size_t{k} * n, 9));
  const auto a = uneven(std::size_t{k} * 9, 4);
  const std::vector<std::uint32_t> index = {8, 0, 3, 3, 5};
  std::vector<bf16> gathered;
  for (std::uint32_t row : index) gathered.insert(gathered.end(), &a[row * k], &a[row * k] + k);
  for (const Unit& unit : fast_int8_units()) {
    CAPTURE(unit.name);
    const auto expected = product(plain_unit(), 1, rows_of(gathered, 5, k), w.view);
    CHECK(same_bits(product(unit, 1, rows_of(a, 9, k), w.view, index), expected));
    for (int threads : {1, 2, 3}) {
      cpu::Stream stream(*unit.bodies, *unit.gemm, *unit.int8, threads);
      Padded<float> c(5, n, 3), d(9, n, 3);
      const cpu::GemmProblem<bf16> problems[] = {{rows_of(a, 9, k), w.view, c.view(), {index.data(), index.size()}},
                                                 {rows_of(a, 9, k), other.view, d.view(), {}}};
      cpu::gemm_grouped(stream, std::span(problems));
      CHECK(c.padding_untouched());
      CHECK(d.padding_untouched());
      const auto of_other = product(plain_unit(), 1, rows_of(a, 9, k), other.view);
      std::size_t wrong = 0;
      for (std::size_t j = 0; j < n; ++j) {
        wrong += c.at(2, j) != expected[2 * n + j];
        wrong += d.at(8, j) != of_other[8 * n + j];
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("int8 gemm: matrices of int8 and others do not mix, nor do strangers read int8") {
  const std::uint32_t k = 64, n = 32;
  const Weights wide(k, n, 1);
  const Quantized w(k, n, wide.source);
  cpu::Stream stream;
  const auto a = random_bf16(k, 2);
  std::vector<float> c(n);
  const cpu::GemmProblem<bf16> problems[] = {{rows_of(a, 1, k), w.view, {c.data(), 1, n}, {}},
                                             {rows_of(a, 1, k), wide.view(stream.order()), {c.data(), 1, n}, {}}};
  CHECK_THROWS_AS(cpu::gemm_grouped(stream, std::span(problems)), ContractViolation);
  CHECK_THROWS_AS(cpu::packed_at(w.view, 0, 0), ContractViolation);
  std::vector<std::byte> packed(cpu::packed_bytes({nullptr, 300, 32, cpu::Format::Int8}));
  const cpu::Matrix shape{nullptr, 300, 32, cpu::Format::Int8};
  const auto values = random_bf16(std::size_t{300} * 32, 3);
  for (const cpu::PackedPart& part :
       {cpu::PackedPart{0, 96, 0, 32}, {64, 236, 0, 32}, {0, 300, 16, 16}, {0, 384, 0, 32}, {0, 300, 0, 33}}) {
    CHECK_THROWS_AS(cpu::pack_int8(packed.data(), shape, part, values.data(), 300, 1), ContractViolation);
  }
}
