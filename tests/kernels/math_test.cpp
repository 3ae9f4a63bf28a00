#include "kernels/math.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "base/numbers/random.hpp"

using namespace moemill;

namespace {

// Number i of a repeatable sequence, uniform in [low, high).
double sample(std::uint64_t i, double low, double high) {
  auto r = philox(1, i);
  return low + (high - low) * uniform(r[0], r[1]);
}

double relative_error(double got, double exact) { return std::fabs(got - exact) / std::fabs(exact); }

}  // namespace

TEST_CASE("math: exp, log and pow against libm") {
  double exp_error = 0, log_error = 0, pow_error = 0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const double x = sample(i, -708, 709);
    exp_error = std::max(exp_error, relative_error(math::exp(x), std::exp(x)));
    const double y = std::exp(sample(i, -700, 700)), near_one = sample(i, 0.5, 2.0);
    log_error = std::max(log_error, relative_error(math::log(y), std::log(y)));
    log_error = std::max(log_error, relative_error(math::log(near_one), std::log(near_one)));
    const double base = sample(i, 1, 1e6), exponent = sample(i + 7, -2, 2);
    pow_error = std::max(pow_error, relative_error(math::pow(base, exponent), std::pow(base, exponent)));
  }
  CHECK(exp_error < 1e-14);
  CHECK(log_error < 1e-14);
  CHECK(pow_error < 1e-13);  // exponent * log(base) up to 28 is rounded before exp
}

TEST_CASE("math: sin and cos against libm") {
  for (double range : {1.0, 10.0, 1e4, 0x1p30}) {
    double worst = 0;
    for (std::uint64_t i = 0; i < 50000; ++i) {
      const double x = sample(i, -range, range);
      worst = std::max(worst, std::fabs(math::sin(x) - std::sin(x)));
      worst = std::max(worst, std::fabs(math::cos(x) - std::cos(x)));
    }
    CHECK(worst < 1e-13);
  }
  for (int i = 0; i < 1000; ++i) {  // close to multiples of pi / 2
    const double x = i * 1.5707963267948966;
    CHECK(std::fabs(math::sin(x) - std::sin(x)) < 1e-13);
    CHECK(std::fabs(math::cos(x) - std::cos(x)) < 1e-13);
  }
}

TEST_CASE("math: edges") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(math::exp(0) == 1);
  CHECK(math::exp(710) == infinity);
  CHECK(math::exp(infinity) == infinity);
  CHECK(math::exp(-746) == 0);
  CHECK(math::exp(-infinity) == 0);
  CHECK(math::exp(-740) == doctest::Approx(std::exp(-740.0)).epsilon(1e-2));  // denormal: few bits left
  CHECK(std::isnan(math::exp(std::nan(""))));
  CHECK(math::log(1) == 0);
  CHECK(math::log(0) == -infinity);
  CHECK(math::log(infinity) == infinity);
  CHECK(std::isnan(math::log(-1)));
  CHECK(relative_error(math::log(0x1p-1070), std::log(0x1p-1070)) < 1e-14);
  CHECK(math::pow(10000, 0) == 1);
  CHECK(math::sin(0) == 0);
  CHECK(math::cos(0) == 1);
  CHECK(std::isnan(math::sin(infinity)));
}
