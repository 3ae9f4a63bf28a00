// The AMX bodies over an emulation of their six instructions, which decode weights by AVX2.
#pragma once

#include "kernels/cpu/bodies.hpp"

namespace moemill::test {

extern const cpu::GemmBody emulated_amx_gemm;
extern const cpu::Int8Gemm emulated_amx_int8_gemm;

}  // namespace moemill::test
