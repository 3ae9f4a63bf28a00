// Elementary functions in double, built from IEEE operations only (never libm), the same bits on every machine: for
// set-up work such as rotary tables, YaRN and scales. The hot paths' fp32 exp and log live in the kernels' bodies.
#pragma once

namespace moemill::math {

double exp(double x);                      // relative error below 1e-14
double log(double x);                      // x > 0
double pow(double base, double exponent);  // base > 0: exp(exponent * log(base))
double sin(double x);                      // |x| up to 2^30, absolute error below 1e-13
double cos(double x);

}  // namespace moemill::math
