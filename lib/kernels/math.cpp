#include "kernels/math.hpp"

#include <bit>
#include <cstdint>
#include <limits>

namespace moemill::math {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }  // correctly rounded wherever it runs

// Adding 1.5 * 2^52 leaves no bits behind the point: the nearest integer of |x| < 2^51, ties to even.
double nearest(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

// x * 2^n for normal results and n within twice the exponent's range; rounds once.
double scale(double x, int n) {
  const int half = n / 2;
  auto power = [](int e) { return std::bit_cast<double>(static_cast<std::uint64_t>(e + 1023) << 52); };
  return x * power(half) * power(n - half);
}

// ln 2 and pi / 2 as two doubles each.
constexpr double ln2_high = 0x1.62e42fefa3800p-1;  // 42 bits: times an exponent it is exact
constexpr double ln2_low = 0x1.ef35793c76730p-45;
constexpr double half_pi_high = 0x1.921fb54442d18p+0;
constexpr double half_pi_low = 0x1.1a62633145c07p-54;

// Taylor series; |r| <= pi / 4 makes the first term left out smaller than 1e-17.
double sin_series(double r) {
  constexpr double c[] = {1.0 / 355687428096000, -1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800,
                          1.0 / 362880,          -1.0 / 5040,          1.0 / 120,        -1.0 / 6};
  const double z = r * r;
  double p = 0;
  for (double term : c) p = fma(p, z, term);
  return fma(p * z, r, r);
}

double cos_series(double r) {
  constexpr double c[] = {-1.0 / 6402373705728000,
                          1.0 / 20922789888000,
                          -1.0 / 87178291200,
                          1.0 / 479001600,
                          -1.0 / 3628800,
                          1.0 / 40320,
                          -1.0 / 720,
                          1.0 / 24,
                          -1.0 / 2};
  const double z = r * r;
  double p = 0;
  for (double term : c) p = fma(p, z, term);
  return fma(p, z, 1.0);
}

// sin(x + quarter * pi / 2). x - n pi / 2 is exact after the first fma: both are multiples of 2^-52 and below 1.
double sin_quarter(double x, std::int64_t quarter) {
  if (!(x >= -0x1p30 && x <= 0x1p30)) return nan;
  const double n = nearest(x * 0x1.45f306dc9c883p-1);
  double r = fma(-n, half_pi_high, x);
  r = fma(-n, half_pi_low, r);
  const std::int64_t turn = (static_cast<std::int64_t>(n) + quarter) & 3;
  const double value = turn % 2 == 0 ? sin_series(r) : cos_series(r);
  return turn >= 2 ? -value : value;
}

}  // namespace

double exp(double x) {
  if (x != x) return x;
  if (x > 709.8) return infinity;
  if (x < -745.2) return 0;
  const double n = nearest(x * 0x1.71547652b82fep+0);
  double r = fma(-n, ln2_high, x);
  r = fma(-n, ln2_low, r);
  constexpr double c[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                          1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      1.0 / 2};
  double p = 0;
  for (double term : c) p = fma(p, r, term);
  return scale(1.0 + fma(p * r, r, r), static_cast<int>(n));
}

// x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172.
double log(double x) {
  if (!(x > 0)) return x == 0 ? -infinity : nan;
  if (x == infinity) return x;
  int e = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    e = -54;
  }
  std::uint64_t u = std::bit_cast<std::uint64_t>(x);
  e += static_cast<int>(u >> 52) - 1023;
  double m = std::bit_cast<double>((u & 0xfffffffffffffu) | 0x3ff0000000000000u);
  if (m > 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    e += 1;
  }
  const double s = (m - 1) / (m + 1), z = s * s;
  double p = 0;
  for (int k = 23; k >= 3; k -= 2) p = fma(p, z, 1.0 / k);
  const double log_m = 2 * fma(p * z, s, s);
  return fma(e, ln2_high, fma(e, ln2_low, log_m));
}

double pow(double base, double exponent) { return exp(exponent * log(base)); }

double sin(double x) { return sin_quarter(x, 0); }
double cos(double x) { return sin_quarter(x, 1); }

}  // namespace moemill::math
