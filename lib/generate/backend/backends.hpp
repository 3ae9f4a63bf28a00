// The backends that generate/backend chooses from, one file each. Private to generate/; the benchmarks also use the
// CPU's, because they choose the kernel bodies themselves.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "generate/backend/backend.hpp"
#include "kernels/cpu/stream.hpp"

namespace moemill::mill {

// The kernel bodies to use: the fastest right ones (kernels/cpu/choose_isa.hpp), or those that the environment's
// MOEMILL_ISA names (plain, avx2, avx512, avx512_bf16, amx), which have to be right, too. Measured at the first call.
cpu::Isa chosen_isa();

// What computes the products of the arithmetic int8 beside these bodies, once proven: "avx512_vnni".
std::string_view int8_unit_name(cpu::Isa isa);

std::unique_ptr<Backend> make_cpu_backend(const model::ModelConfig& config, cpu::Isa isa, int threads);
std::string cpu_backend_name(Arithmetic arithmetic);

// UserError if this program was built without CUDA.
std::unique_ptr<Backend> make_cuda_backend(const model::ModelConfig& config);
std::string cuda_backend_name();

}  // namespace moemill::mill
