// The AMX body over an emulation of its five instructions, which decodes weights by AVX2.
#pragma once

#include "kernels/cpu/bodies.hpp"

namespace moemill::test {

extern const cpu::GemmBody emulated_amx_gemm;

}  // namespace moemill::test
