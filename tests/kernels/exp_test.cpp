// exp over a row, and sums of probabilities as whole numbers.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/fixed_point.hpp"
#include "kernels/math.hpp"
#include "kernels/rows.hpp"
#include "support.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

double ulp(double x) { return std::ldexp(1.0, std::max(std::ilogb(x), -126) - 23); }

}  // namespace

TEST_CASE_TEMPLATE("rows: exp is within 2 ulp or a flushed zero, exact at 0, and ends in 0 and infinity", B, OnCpu) {
  const std::size_t n = 20000;
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = -104.0f + static_cast<float>(i) * (193.0f / static_cast<float>(n));
  std::vector<float> special = {0.0f, -0.0f, 88.72f, 89.5f, 1e30f, infinity, -87.3f, -104.5f, -1e30f, -infinity};
  x.insert(x.end(), special.begin(), special.end());
  auto p = everywhere<B, float>(1, x.size(), [&](auto& s, Padded<float>& out) {
    exp_row(s, x, 0.0f, 1.0f, {out.data(), x.size()});
  });
  double worst = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double exact = std::exp(double{x[i]});
    if (exact > std::numeric_limits<float>::max()) continue;
    if (exact < 0x1p-126 && p.at(0, i) == 0) continue;
    worst = std::max(worst, std::fabs(p.at(0, i) - exact) / ulp(exact));
  }
  MESSAGE("exp: worst error " << worst << " ulp");
  CHECK(worst <= 2);
  const float* s = &p.at(0, n);
  CHECK(s[0] == 1);
  CHECK(s[1] == 1);
  CHECK(std::isfinite(s[2]));
  for (int i : {3, 4, 5}) CHECK(s[i] == infinity);
  CHECK(s[6] > 0);
  for (int i : {7, 8, 9}) CHECK(s[i] == 0);
}

// Where no operand is positive, kernels take a shorter form of exp, which has to give the bits of the general one.
TEST_CASE_TEMPLATE("rows: probabilities and their sum are exp's, to the bit", B, OnCpu) {
  std::vector<float> x;
  for (std::uint32_t bits = 0x80000000u; bits < 0xff800000u; bits += 65521) x.push_back(std::bit_cast<float>(bits));
  for (int i = 0; i < 40000; ++i) x.push_back(static_cast<float>(i) * -89.0f / 40000);
  x.insert(x.end(), {0.0f, -0.0f, -87.3365402f, -87.3365479f, -87.6831f, -88.0f, -88.3763f, -3e38f, -infinity});
  for (const auto& stream : B::streams()) {
    std::vector<float> p(x.size()), q(x.size());
    const float sum = exp_row(*stream, x, 0.0f, 1.0f, p);
    fixed_exp_row(*stream, x, 0.0f, 1.0f, q.data());
    CHECK(same_bits(p, q));
    CHECK(log_sum_exp(*stream, x).log_sum_exp == static_cast<float>(math::log(double{sum})));
    const float nan[] = {std::nanf("")};
    float from_nan = 0;
    fixed_exp_row(*stream, nan, 0.0f, 1.0f, &from_nan);
    CHECK(std::isnan(from_nan));
  }
}

TEST_CASE_TEMPLATE("rows: exp keeps NaN", B, OnCpu) {
  const float x[2] = {std::nanf(""), 1.0f};
  for (const auto& stream : B::streams()) {
    float p[2];
    CHECK(std::isnan(exp_row(*stream, x, 0, 1, p)));
    CHECK(std::isnan(p[0]));
    CHECK(p[1] == doctest::Approx(std::exp(1.0)));
  }
}

TEST_CASE_TEMPLATE("rows: sums of probabilities are whole numbers of 2^-40, whatever their order", B, OnCpu) {
  for (std::size_t width : widths) {
    auto x = random_floats(width, width, 30.0f);
    x[width / 2] = 0.0f;
    for (float& value : x) value = -std::fabs(value);
    std::vector<float> first;
    for (const auto& stream : B::streams()) {
      std::vector<float> p(width);
      const std::uint64_t sum = fixed_exp_row(*stream, x, 0.0f, 1.0f, p.data());
      std::uint64_t expected = 0;
      for (float one : p) expected += static_cast<std::uint64_t>(std::nearbyint(std::ldexp(double{one}, 40)));
      CHECK(sum == expected);
      const std::vector<float> reversed(p.rbegin(), p.rend());
      CHECK(fixed_sum(*stream, reversed) == expected);
      if (first.empty()) first = p;
      CHECK(p == first);
    }
  }
  const float ties[] = {0x1p-41f, 0x3p-41f, 0x5p-41f, 1.0f};  // 0.5, 1.5 and 2.5 units round to even
  for (const auto& stream : B::streams()) CHECK(fixed_sum(*stream, ties) == 0 + 2 + 2 + (std::uint64_t{1} << 40));
}

TEST_CASE_TEMPLATE("rows: sums above a threshold, sums by blocks and chosen values, against one value at a time", B,
                   OnCpu) {
  for (std::size_t width : {std::size_t{1}, std::size_t{16}, std::size_t{37}, std::size_t{1040}, std::size_t{20000}}) {
    auto x = random_floats(width, width, 8.0f);
    for (std::size_t i = 0; i < width; i += 5) x[i] = x[0];  // ties with the ends below
    const float maximum = *std::max_element(x.begin(), x.end()), low = x[0], high = maximum;
    for (float scale : {1.0f, 0.7f}) {
      for (const auto& stream : B::streams()) {
        std::vector<float> p(width);
        const std::uint64_t all = fixed_exp_row(*stream, x, maximum, scale, p.data());
        std::uint64_t above = 0;
        std::vector<std::uint32_t> ids;
        std::vector<float> values;
        for (std::size_t i = 0; i < width; ++i) {
          if (x[i] >= low) above += to_fixed(p[i]);
          if (x[i] >= low && x[i] < high) ids.push_back(static_cast<std::uint32_t>(7 + i)), values.push_back(x[i]);
        }
        const cpu::FixedShares shares = fixed_exp_above(*stream, x, maximum, scale, low);
        CHECK(shares.all == all);
        CHECK(shares.above == above);

        std::vector<std::uint64_t> sums((width + 31) / 32, 1);
        const float total = fixed_exp_blocks(*stream, x, maximum, scale, 32, sums.data());
        CHECK(total == exp_row(*stream, x, maximum, 1.0f, {}));
        for (std::size_t b = 0; b < sums.size(); ++b) {
          CHECK(sums[b] == fixed_sum(*stream, std::span(p).subspan(32 * b, std::min<std::size_t>(32, width - 32 * b))));
        }

        std::vector<std::uint32_t> chosen(width + cpu::selected_slack);
        std::vector<float> with(width + cpu::selected_slack);
        const std::size_t count = select_between(*stream, x, low, high, 7, chosen.data(), with.data());
        chosen.resize(count), with.resize(count);
        CHECK(chosen == ids);
        CHECK(with == values);
      }
    }
  }
}
