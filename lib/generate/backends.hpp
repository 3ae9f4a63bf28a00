// The backends there are, one file each: what generate/backend chooses from. Private to generate/; the CPU's also
// serves the benchmarks, which choose the kernel bodies themselves.
#pragma once

#include <memory>
#include <string>

#include "generate/backend.hpp"
#include "kernels/cpu/stream.hpp"

namespace moemill::mill {

// The kernel bodies to use: what the CPU has, or what the environment's MOEMILL_ISA (plain, avx2, avx512) says.
cpu::Isa chosen_isa();

std::unique_ptr<Backend> make_cpu_backend(const model::ModelConfig& config, cpu::Isa isa, int threads);
std::string cpu_backend_name();

// UserError where this program was built without CUDA.
std::unique_ptr<Backend> make_cuda_backend(const model::ModelConfig& config);
std::string cuda_backend_name();

}  // namespace moemill::mill
