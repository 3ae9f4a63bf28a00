#include "kernels/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.hpp"
#include "gemm_support.hpp"

using namespace moemill;
using namespace moemill::test;
using cpu::PairOrder;

TEST_CASE("gemm: the plain body is the definition, in both orders of pairs") {
  const std::size_t m = 4;
  for (const auto& shape : {std::pair{613u, 45u}, {32u, 3u}, {1u, 2u}, {1100u, 33u}}) {
    const std::uint32_t k = shape.first, n = shape.second;
    for (bool all_exponents : {false, true}) {
      const auto values = [&](std::size_t count, std::uint64_t seed) {
        return all_exponents ? bf16_of_all_exponents(count, seed) : random_bf16(count, seed);
      };
      const Weights w(k, n, values(std::size_t{k} * n, 7));
      const auto a = values(m * k, 8);
      for (PairOrder order : both_orders) {
        const auto c = product(plain_unit(), 1, rows_of(a, m, k), w.view(order));
        for (std::size_t r = 0; r < m; ++r) {
          for (std::uint32_t j = 0; j < n; ++j) {
            const std::span<const bf16> row(&a[r * k], k), column(&w.source[std::size_t{j} * k], k);
            REQUIRE(std::bit_cast<std::uint32_t>(c[r * n + j]) ==
                    std::bit_cast<std::uint32_t>(defined_output(row, column)));
            double exact = 0, magnitude = 0;
            for (std::uint32_t i = 0; i < k; ++i) {
              const double term = double{to_float(row[i])} * to_float(column[i]);
              exact += term;
              magnitude += std::fabs(term);
            }
            CHECK(std::fabs(c[r * n + j] - exact) <= (34 + k / 32) * 0x1p-24 * magnitude + 2 * k * 0x1p-126);
          }
        }
      }
    }
  }
}

TEST_CASE("gemm: every body, any threads and rows give the plain body's bits") {
  const std::size_t most = 170;
  for (const auto& shape : {std::pair{1u, 1u}, {2u, 33u}, {31u, 31u}, {513u, 65u}, {1025u, 161u}, {64u, 129u}}) {
    const std::uint32_t k = shape.first, n = shape.second;
    CAPTURE(k);
    CAPTURE(n);
    const Weights w(k, n, bf16_of_all_exponents(std::size_t{k} * n, k + n));
    const auto a = bf16_of_all_exponents(most * k, 11);
    const Rows<const bf16> rows = rows_of(a, most, k);
    const auto all = product(plain_unit(), 1, rows, w);
    for (const Unit& unit : fast_units()) {
      CAPTURE(unit.name);
      for (std::size_t m = 1; m <= most; m += m < 40 ? 1 : 13) {
        for (int threads : {1, 2, 3}) {
          if (threads > 1 && m % 9 != 1) continue;
          const std::vector<float> expected(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(m * n));
          CAPTURE(m);
          CAPTURE(threads);
          REQUIRE(same_bits(product(unit, threads, rows.range(0, m), w), expected));
        }
      }
    }
    CHECK(same_bits(product(plain_unit(), 3, rows, w), all));
  }
}

TEST_CASE("gemm: more rows than a chunk, both kinds of rows, gathered and strided") {
  const std::uint32_t k = 530, n = 40;
  const std::size_t m = 401;
  const Weights w(k, n, 1);
  const auto a = random_bf16(m * (k + 3), 2);
  const auto f = random_floats(m * (k + 3), 3);
  std::vector<std::uint32_t> index(m);
  for (std::size_t i = 0; i < m; ++i) index[i] = static_cast<std::uint32_t>(philox(4, i)[0] % m);
  const Rows<const bf16> rounded = rows_of(a, m, k, k + 3);
  const Rows<const float> exact = rows_of(f, m, k, k + 3);
  const auto plain_a = product(plain_unit(), 1, rounded, w);
  const auto plain_f = product(plain_unit(), 1, exact, w, index);
  for (const Unit& unit : fast_units()) {
    CAPTURE(unit.name);
    CHECK(same_bits(product(unit, 2, rounded, w), plain_a));
    CHECK(same_bits(product(unit, 1, exact, w, index), plain_f));
    const auto gathered = product(unit, 1, rounded, w, index);
    for (std::size_t r = 0; r < m; ++r) {
      REQUIRE(std::memcmp(&gathered[r * n], &plain_a[index[r] * n], n * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("gemm: outputs that outgrow the cache") {
  const std::uint32_t k = inputs_of_large_c, n = outputs_of_large_c;
  const Weights w(k, n, bf16_of_all_exponents(std::size_t{k} * n, 7));
  const auto a = bf16_of_all_exponents(3 * k, 8);
  const auto f = random_floats(3 * k, 9);
  const auto plain_a = product(plain_unit(), 1, rows_of(a, 3, k), w);
  const auto plain_f = product(plain_unit(), 1, rows_of(f, 3, k), w);
  for (const Unit& unit : fast_units()) {
    CAPTURE(unit.name);
    check_repeats(unit, rows_of(a, 3, k), w.view(unit.gemm->order), rows_of_large_c, plain_a);
    check_repeats(unit, rows_of(f, 3, k), w.view(unit.gemm->order), rows_of_large_c, plain_f);
  }
}

TEST_CASE("gemm: a split by columns changes nothing") {
  const std::uint32_t k = 600, n = 160;
  const Weights whole(k, n, 21);
  const auto a = random_bf16(20 * k, 22);
  for (const Unit& unit : fast_units()) {
    CAPTURE(unit.name);
    const auto all = product(unit, 1, rows_of(a, 20, k), whole);
    for (std::uint32_t first = 0; first < n; first += 32) {
      const auto from = whole.source.begin() + std::size_t{first} * k;
      const Weights part(k, 32, std::vector<bf16>(from, from + std::size_t{32} * k));
      const auto c = product(unit, 1, rows_of(a, 20, k), part);
      for (std::size_t r = 0; r < 20; ++r) {
        REQUIRE(std::memcmp(&c[r * 32], &all[r * n + first], 32 * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE_TEMPLATE("gemm: grouped problems equal single ones for any number of threads", T, bf16, float) {
  struct Case {
    std::uint32_t k, n;
    std::size_t m;
  };
  const std::vector<Case> cases = {{64, 96, 5},  {64, 96, 0},    {700, 33, 1}, {3, 500, 2},
                                   {64, 96, 40}, {512, 64, 200}, {64, 96, 3}};
  std::vector<Weights> weights;
  std::vector<std::vector<T>> rows;
  std::vector<std::vector<float>> alone;
  for (const Case& c : cases) {
    weights.emplace_back(c.k, c.n, c.k * 7 + c.n);
    if constexpr (std::is_same_v<T, bf16>)
      rows.push_back(random_bf16(c.m * c.k, c.m));
    else
      rows.push_back(random_floats(c.m * c.k, c.m));
    alone.push_back(product(plain_unit(), 1, rows_of(rows.back(), c.m, c.k), weights.back()));
  }
  for (const Unit& unit : fast_units()) {
    for (int threads : {1, 2, 3, 5}) {
      cpu::Stream stream(*unit.bodies, *unit.gemm, *unit.int8, threads);
      std::vector<Padded<float>> outputs;
      for (const Case& c : cases) outputs.emplace_back(c.m, c.n, 3);
      std::vector<cpu::GemmProblem<T>> problems;
      for (std::size_t i = 0; i < cases.size(); ++i) {
        problems.push_back(
            {rows_of(rows[i], cases[i].m, cases[i].k), weights[i].view(stream.order()), outputs[i].view(), {}});
      }
      cpu::gemm_grouped(stream, std::span<const cpu::GemmProblem<T>>(problems));
      for (std::size_t i = 0; i < cases.size(); ++i) {
        CHECK(outputs[i].padding_untouched());
        for (std::size_t r = 0; r < cases[i].m; ++r) {
          REQUIRE(std::memcmp(&outputs[i].at(r, 0), &alone[i][r * cases[i].n], cases[i].n * sizeof(float)) == 0);
        }
      }
    }
  }
}

// Rows that stay packed for all blocks of k, and rows too wide for that; two chunks of rows.
TEST_CASE_TEMPLATE("gemm: neighbours with the same rows, and an epilogue that sees each final value once", T, bf16,
                   float) {
  const std::size_t m = 190;
  for (std::uint32_t k : {600u, 4200u}) {
    std::vector<T> a;
    if constexpr (std::is_same_v<T, bf16>)
      a = random_bf16(m * k, k);
    else
      a = random_floats(m * k, k);
    std::vector<Weights> weights;
    for (std::uint32_t n : {70u, 33u, 260u}) weights.emplace_back(k, n, k + n);
    for (const Unit& unit : fast_units()) {
      CAPTURE(unit.name);
      for (int threads : {1, 3}) {
        cpu::Stream stream(*unit.bodies, *unit.gemm, *unit.int8, threads);
        std::vector<Padded<float>> outputs;
        for (const Weights& w : weights) outputs.emplace_back(m, w.n, 3);
        std::vector<cpu::GemmProblem<T>> problems;
        std::vector<std::vector<float>> seen, expected;
        for (std::size_t i = 0; i < weights.size(); ++i) {
          problems.push_back({rows_of(a, m, k), weights[i].view(stream.order()), outputs[i].view(), {}});
          seen.emplace_back(m * weights[i].n, 0.0f);
          expected.push_back(product(unit, 1, rows_of(a, m, k), weights[i]));
        }
        const auto epilogue = [&](const cpu::GemmPart& part) {
          if (part.first_column % cpu::epilogue_columns != 0) return;
          for (std::size_t r = part.first_row; r < part.first_row + part.rows; ++r) {
            for (std::size_t c = part.first_column; c < part.first_column + part.columns; ++c)
              seen[part.problem][r * weights[part.problem].n + c] += outputs[part.problem].at(r, c);
          }
        };
        cpu::gemm_grouped(stream, std::span<const cpu::GemmProblem<T>>(problems), cpu::GemmEpilogue(epilogue));
        for (std::size_t i = 0; i < weights.size(); ++i) {
          CHECK(outputs[i].padding_untouched());
          REQUIRE(seen[i] == expected[i]);
        }
      }
    }
  }
}

TEST_CASE("gemm: subnormals count as zeros, signed zeros and infinities are as IEEE has them") {
  const std::uint32_t k = 4, n = 34;
  // In bf16 and in fp32, one after the other.
  auto outputs = [&](const Unit& unit, const std::vector<float>& a, float weight) {
    const Weights w(k, n, std::vector<bf16>(std::size_t{k} * n, to_bf16(weight)));
    std::vector<bf16> rounded;
    for (float x : a) rounded.push_back(to_bf16(x));
    auto out = product(unit, 1, rows_of(rounded, 1, k), w);
    const auto exact = product(unit, 1, rows_of(a, 1, k), w);
    out.insert(out.end(), exact.begin(), exact.end());
    return out;
  };
  auto units = fast_units();
  units.push_back(plain_unit());
  for (const Unit& unit : units) {
    CAPTURE(unit.name);
    for (float c : outputs(unit, {0x1p-133f, 0, 0, 0}, 0x1p100f)) REQUIRE(c == 0);
    for (float c : outputs(unit, {0x1p-100f, 0, 0, 0}, 0x1p-30f)) REQUIRE(c == 0);
    for (float c : outputs(unit, {0x1p-100f, 0, 0, 0}, 0x1p-26f)) REQUIRE(c == 0x1p-126f);
    for (float c : outputs(unit, {-0.0f, -0.0f, 0.0f, -0.0f}, 1)) REQUIRE((c == 0 && !std::signbit(c)));
    const float infinity = std::numeric_limits<float>::infinity();
    for (float c : outputs(unit, {infinity, 1, 1, 1}, 1)) REQUIRE(c == infinity);
    for (float c : outputs(unit, {infinity, 1, 1, 1}, 0)) REQUIRE(std::isnan(c));
  }
}

TEST_CASE("gemm: a matrix in an order that the body cannot read is refused") {
  const Weights w(32, 32, 1);
  const auto a = random_bf16(32, 2);
  for (const Unit& unit : fast_units()) {
    const PairOrder wrong = unit.gemm->order == PairOrder::Successive ? PairOrder::EvenThenOdd : PairOrder::Successive;
    CHECK_THROWS_AS(product(unit, 1, rows_of(a, 1, 32), w.view(wrong)), ContractViolation);
  }
}

TEST_CASE("gemm: fp32 rows enter the sums unrounded, with weights of every order and format") {
  for (const auto& shape : {std::pair{613u, 45u}, {1100u, 64u}, {1u, 1u}, {512u, 7u}}) {
    const std::uint32_t k = shape.first, n = shape.second;
    const Weights w(k, n, 7);
    const std::size_t most = 21;
    const auto a = random_floats(most * k, 8);
    std::vector<float> expected;
    for (std::size_t r = 0; r < most; ++r) {
      for (std::uint32_t j = 0; j < n; ++j) {
        expected.push_back(defined_output(std::span(&a[r * k], k), std::span(&w.source[std::size_t{j} * k], k)));
      }
    }
    auto units = fast_units();
    units.push_back(plain_unit());
    for (const Unit& unit : units) {
      CAPTURE(unit.name);
      for (std::size_t m : {1u, 3u, 4u, 8u, 9u, 21u}) {
        const auto c = product(unit, m == 9 ? 3 : 1, rows_of(a, m, k), w);
        REQUIRE(std::memcmp(c.data(), expected.data(), m * n * sizeof(float)) == 0);
      }
    }
    CHECK(same_bits(product(plain_unit(), 1, rows_of(a, most, k), w.view(PairOrder::Successive)), expected));
  }
}
