// One rank's loaded model, ready to generate: stream, weights, forward pass, generator, in the order of acquisition.
// Made by run_job on every rank, and alone by preview and replay.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "mill/generator.hpp"
#include "mill/loaded_model.hpp"
#include "mill/mill.hpp"
#include "mill/ranks.hpp"
#include "model/weights.hpp"

namespace moemill::mill {

// The kernel bodies to use: what the CPU has, or what the environment's MOEMILL_ISA (plain, avx2, avx512) says.
cpu::Isa chosen_isa();

// KV pages of a rank. Explicit settings are taken as they are; `auto` takes what the job can use, at most
// `spare_bytes`. UserError when even the longest sequence does not fit.
struct KvNeed {
  std::uint64_t sequences = 0;       // at a time, of this rank
  std::uint64_t likely_tokens = 0;   // of a long sequence
  std::uint64_t longest_tokens = 0;  // that may come
};
std::uint32_t kv_pages(const model::ModelConfig& config, const ParallelSettings& settings, const KvNeed& need,
                       std::uint64_t spare_bytes);
// What a rank may use for KV pages: free memory shared by the ranks of the machine, less a margin of a fifth.
std::uint64_t spare_memory_bytes(int ranks_sharing_memory);

class Engine {
 public:
  // Collective over the world. AgreedFailure when weights or memory fail on any rank.
  Engine(const RunConfig& config, const ModelFolder& model, const Ranks& ranks, const JobEstimate& job);
  Generator& generator() { return *generator_; }
  const layers::Forward& forward() const { return *forward_; }
  const model::Weights& weights() const { return weights_; }
  std::uint32_t kv_tokens() const { return pages_ * schedule::page_tokens; }
  std::uint32_t longest_sequence() const { return longest_; }

 private:
  std::unique_ptr<cpu::Stream> stream_;
  model::Weights weights_;
  std::unique_ptr<layers::Forward> forward_;
  std::unique_ptr<Generator> generator_;
  std::uint32_t pages_ = 0;
  std::uint32_t longest_ = 0;
};

}  // namespace moemill::mill
