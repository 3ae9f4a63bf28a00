#include "kernels/fixed_point.hpp"

#include "base/error.hpp"
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

float fixed_exp_blocks(Stream& stream, std::span<const float> x, float maximum, float scale, std::size_t block,
                       std::uint64_t* sums) {
  expect(block % 16 == 0 && block > 0, "fixed_exp_blocks: blocks are whole vectors");
  const FlushSubnormals flush;
  return stream.bodies().fixed_exp_blocks(x.data(), x.size(), maximum, scale, block, sums);
}

FixedShares fixed_exp_above(Stream& stream, std::span<const float> x, float maximum, float scale, float threshold) {
  const FlushSubnormals flush;
  return stream.bodies().fixed_exp_above(x.data(), x.size(), maximum, scale, threshold);
}

std::size_t select_between(Stream& stream, std::span<const float> x, float low, float high, std::uint32_t first_id,
                           std::uint32_t* ids, float* values) {
  const FlushSubnormals flush;
  return stream.bodies().select_between(x.data(), x.size(), low, high, first_id, ids, values);
}

}  // namespace moemill::cpu
