// Which two values of a head a rotary embedding turns together: neighbours (2i, 2i + 1), or value i of the first half
// and value i of the second. A family of models decides; the rotation kernels ask.
#pragma once

namespace moemill {

enum class RotaryPairs { Adjacent, Halves };

}  // namespace moemill
