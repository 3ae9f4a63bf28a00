#include "weights/dummy.hpp"

#include <algorithm>

#include "base/hash.hpp"
#include "base/numbers/random.hpp"

namespace moemill::model {

namespace {

inline void store(float x, bf16* out) { *out = to_bf16(x); }
inline void store(float x, float* out) { *out = x; }

// A Philox block makes eight elements of 16 bits each: midpoints of 65536 equal steps, symmetric about zero.
template <class T>
void fill(std::string_view tensor, std::uint64_t first, std::uint64_t count, float deviation, T* out) {
  const std::uint64_t key = stable_hash64(tensor);
  const float step = deviation * 3.4641016f / 65536.0f;  // a uniform distribution is sqrt(12) deviations wide
  for (std::uint64_t i = first; i < first + count;) {
    std::array<std::uint32_t, 4> words = philox(key, i / 8);
    std::uint64_t end = std::min((i / 8 + 1) * 8, first + count);
    for (; i < end; ++i) {
      std::uint32_t half = words[i % 8 / 2] >> (16 * (i % 2)) & 0xffffu;
      store((static_cast<float>(half) - 32767.5f) * step, out++);
    }
  }
}

}  // namespace

void dummy_values(std::string_view tensor, std::uint64_t first, std::uint64_t count, float deviation, bf16* out) {
  fill(tensor, first, count, deviation, out);
}

void dummy_values(std::string_view tensor, std::uint64_t first, std::uint64_t count, float deviation, float* out) {
  fill(tensor, first, count, deviation, out);
}

}  // namespace moemill::model
