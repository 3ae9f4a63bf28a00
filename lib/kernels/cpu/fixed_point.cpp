#include "kernels/fixed_point.hpp"

#include "kernels/cpu/bodies.hpp"
#include "kernels/cpu/stream.hpp"
#include "system/machine/flush_subnormals.hpp"

namespace moemill::cpu {

std::uint64_t fixed_sum(Stream& stream, std::span<const float> p) {
  const FlushSubnormals flush;
  return stream.bodies().fixed_sum(p.data(), p.size());
}

std::uint64_t fixed_exp_row(Stream& stream, std::span<const float> x, float maximum, float scale, float* p) {
  const FlushSubnormals flush;
  return stream.bodies().fixed_exp_row(x.data(), x.size(), maximum, scale, p);
}

}  // namespace moemill::cpu
