// The memory that a job's ranks and nodes need, compared with what there is, as a value. Nothing is loaded or printed.
// Used by validate.
#pragma once

#include <cstdint>
#include <optional>

#include "base/run_config.hpp"
#include "model/config.hpp"
#include "plan/footprint.hpp"
#include "plan/kv_plan.hpp"
#include "system/machine/memory.hpp"

namespace moemill::mill {

struct FitQuestion {
  const model::ModelConfig& model;
  const ParallelSettings& parallel;
  JobShape shape;
  std::uint64_t sequences = 0;              // of the whole job
  std::uint64_t sequence_tokens = 0;        // of the longest sequence, prompt and completion
  std::optional<std::uint64_t> node_bytes;  // memory of a node; absent: what is free on this machine
  // What a rank takes without the model. absent: process_bytes() now, which is too much after an earlier fit().
  std::optional<std::uint64_t> process_bytes = {};
};

// Of this process until now, with what a launcher's libraries would add: program, tokenizer, MPI.
std::uint64_t process_bytes();

struct Fit {
  enum class Shortage { None, Cache, All };  // Cache: a smaller KV cache would fit. All: no KV cache fits.

  WeightShare weights;
  std::uint32_t ranks_on_node = 1;
  // Per rank: KV pages, and the bytes of each part.
  KvPages pages;
  std::uint64_t cache_bytes = 0;
  std::uint64_t workspace_bytes = 0;  // buffers of a full step
  std::uint64_t process_bytes = 0;    // program, tokenizer, MPI
  // Per node, of the node that holds most.
  std::uint64_t node_bytes = 0;       // all its ranks
  std::uint64_t kept_free_bytes = 0;  // the margin of an automatic KV cache
  MemoryLeft available;               // on a node
  Shortage shortage = Shortage::None;
  // Per rank: the sequences that run at a time at full length, those that the job would have at a time, and the KV
  // cache for all of them.
  std::uint64_t sequences_at_a_time = 0;
  std::uint64_t sequences_wanted = 0;
  std::uint64_t wanted_cache_bytes = 0;

  // Of the rank that holds most, without what the ranks of its node share.
  std::uint64_t rank_bytes() const {
    return (weights.shared_bytes > 0 ? 0 : weights.rank_bytes) + cache_bytes + workspace_bytes + process_bytes;
  }
};

// UserError when parallel.kv_cache_tokens is too little for the longest sequence.
Fit fit(const FitQuestion& question);

}  // namespace moemill::mill
