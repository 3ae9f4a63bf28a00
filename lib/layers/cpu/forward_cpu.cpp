// The one place where the forward pass is made for the CPU.
#include "layers/cpu/cpu.hpp"
#include "layers/forward.inl"

namespace moemill::layers {

template class Forward<Cpu>;

}  // namespace moemill::layers
