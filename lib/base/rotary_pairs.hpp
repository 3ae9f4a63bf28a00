// The pairs of a head's values that a rotary embedding rotates: neighbours (2i, 2i + 1), or value i of the first half
// and value i of the second. The model's family sets it; the rotation kernels read it.
#pragma once

namespace moemill {

enum class RotaryPairs { Adjacent, Halves };

}  // namespace moemill
