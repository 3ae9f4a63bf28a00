#include "layers/rope_table.hpp"

#include <algorithm>

#include "kernels/math.hpp"

namespace moemill::layers {

namespace {
constexpr std::uint32_t growth = 1024;  // positions added at a time at least
}

RopeTable::RopeTable(const model::Rope& rope) : frequencies_(rope.frequencies), magnitude_(rope.magnitude) {}

// The angle is rounded to fp32, as the models' own code has it: at large positions that rounding is part of what the
// model was trained with. Its cosine is then the exact one, rounded once.
void RopeTable::grow(std::uint32_t positions) {
  if (positions <= filled_) return;
  const std::uint32_t target = std::max({positions, filled_ + growth, filled_ + filled_ / 2});
  cosine_.reserve(target * pairs());
  sine_.reserve(target * pairs());
  for (std::uint32_t p = filled_; p < target; ++p) {
    for (float f : frequencies_) {
      const double angle = static_cast<float>(p) * f;
      cosine_.push_back(static_cast<float>(math::cos(angle)) * magnitude_);
      sine_.push_back(static_cast<float>(math::sin(angle)) * magnitude_);
    }
  }
  filled_ = target;
}

void RopeTable::gather(std::span<const std::uint32_t> positions, float* cosine, float* sine) {
  const std::size_t n = pairs();
  for (std::size_t r = 0; r < positions.size(); ++r) {
    grow(positions[r] + 1);
    std::copy_n(cosine_.data() + positions[r] * n, n, cosine + r * n);
    std::copy_n(sine_.data() + positions[r] * n, n, sine + r * n);
  }
}

}  // namespace moemill::layers
