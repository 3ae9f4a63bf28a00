// One rank's loaded model, ready to generate: backend and generator, in the order of acquisition. Made by run_job on
// every rank, and alone by preview and replay.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "generate/backend/backend.hpp"
#include "generate/generator.hpp"
#include "generate/memory_use.hpp"
#include "generate/model_folder.hpp"
#include "layers/dispatch/domain_nodes.hpp"
#include "layers/pick_record.hpp"
#include "plan/job_size.hpp"
#include "plan/kv_plan.hpp"
#include "plan/ranks.hpp"

namespace moemill::mill {

// Memory that a rank may use for KV pages: its share of the machine's free memory, less a margin of a fifth. Weights
// that the ranks share are loaded; they count once.
std::uint64_t spare_memory_bytes(int ranks_on_machine, std::uint64_t shared_bytes);

class Engine {
 public:
  // Collective over the world. AgreedFailure if weights or memory fail on any rank, if two ranks have read different
  // weights, or if `between`, which is called now and then while weights are read, throws.
  // expert_loads: [layers with experts, experts] how often they are picked, by which they are placed; or empty.
  Engine(
      const RunConfig& config, const ModelFolder& model, const Ranks& ranks, const JobEstimate& job,
      const std::function<void()>& between = [] {}, std::span<const std::uint64_t> expert_loads = {});
  Generator& generator() { return *generator_; }
  const Backend& backend() const { return *backend_; }
  Backend& backend() { return *backend_; }
  const KvPages& kv_pages() const { return pages_; }
  // On rank 0, if runtime.record_picks asks for it; otherwise null.
  layers::PickRecord* picks() { return picks_.get(); }
  MemoryUse memory_use() const;
  // Of the expert domain, by the memory that ranks have in common.
  const layers::DomainNodes& nodes() const { return *nodes_; }
  std::uint32_t longest_sequence() const { return longest_; }
  // The digest of the whole model's weights, the same for any layout: 32 hex digits; "" for random weights.
  const std::string& weights_digest() const { return weights_digest_; }

 private:
  std::unique_ptr<layers::PickRecord> picks_;  // that the backend fills
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Generator> generator_;
  std::optional<layers::DomainNodes> nodes_;
  KvPages pages_;
  int node_ranks_ = 1;  // that share memory with this one, itself included
  std::uint32_t longest_ = 0;
  std::string weights_digest_;
};

}  // namespace moemill::mill
