// The backend that tests of the layers run on. A second one is a structure of the same names, with memory that the host
// reads and writes as well.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/gemm.hpp"
#include "layers/cpu/cpu.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::test {

struct OnCpu {
  using Backend = Cpu;

  // A matrix [k, n] made of values [n, k], as a weight file has them, and the memory that it lies in.
  class Packed {
   public:
    Packed(std::uint32_t k, std::uint32_t n, const std::vector<bf16>& values)
        : k_(k), n_(n), values_(cpu::packed_count(k, n)) {
      cpu::pack(values_.data(), {nullptr, k, n}, {0, k, 0, n}, values.data(), k, 1);
    }
    cpu::Matrix view() const { return {values_.data(), k_, n_}; }

   private:
    std::uint32_t k_, n_;
    std::vector<bf16> values_;
  };

  static cpu::Stream stream(int threads = 1, cpu::Isa isa = cpu::best_isa()) { return cpu::Stream(isa, threads); }
  // The first has the bodies that define the results.
  static std::vector<std::unique_ptr<cpu::Stream>> streams() {
    std::vector<std::unique_ptr<cpu::Stream>> all;
    for (const cpu::Isa isa : {cpu::Isa::Plain, cpu::Isa::Avx2, cpu::Isa::Avx512, cpu::Isa::Avx512Bf16}) {
      if (!cpu::available(isa)) continue;
      for (const int threads : {1, 2, 3}) all.push_back(std::make_unique<cpu::Stream>(isa, threads));
    }
    return all;
  }
  // Of a rank with the experts of all ranks that share memory with it, in memory of its own.
  static model::Weights weights(const std::string& dir, const model::ModelConfig& config,
                                const model::Placement& placement, DomainRank rank, const model::NodeExperts& experts) {
    model::WeightsLoad load({dir, config, placement, rank, "auto", experts, experts});
    ThreadTeam team(1);
    return load.carry_out(NodeMemory(load.memory_bytes(), "a test"), team);
  }
};

}  // namespace moemill::test
