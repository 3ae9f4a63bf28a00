// parallel.expert_domain: auto. How many nodes together hold one copy of the routed experts, and why. A pure function
// of the model, the nodes, their memory and the work: `validate` and `plan` call it for ranks that do not run, `run` on
// rank 0. It decides the layout alone: answers are the same bytes with any choice.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "model/config.hpp"

namespace moemill::mill {

// Rows of an expert in a step from which on its weights are read often enough: products with weights from memory then
// reach at least 80 % of their rate with many rows in bf16 (`moemill bench gemm`: lib/kernels/README.md, README.md).
constexpr double enough_rows = 16;

struct DomainQuestion {
  const model::ModelConfig& model;
  const ParallelSettings& parallel;         // expert_domain is not looked at
  std::vector<int> nodes;                   // [ranks] the number of the rank's node, ascending from 0
  std::uint64_t sequences = 0;              // of the whole job
  std::uint64_t sequence_tokens = 0;        // of the longest sequence, prompt and completion
  std::optional<std::uint64_t> node_bytes;  // the least memory of a node; absent: what is free on this machine
  std::uint64_t process_bytes = 0;          // of a rank without the model (plan/fit.hpp)
};

// A layout: domains of so many nodes.
struct DomainLayout {
  std::uint32_t nodes = 1;
  std::string setting;           // of parallel.expert_domain: world, node, or a number of ranks
  bool fits = false;             // into memory
  std::uint64_t node_bytes = 0;  // needed on the node that needs most, with what an automatic KV cache leaves free
  std::uint64_t memory = 0;      // of a node
  // At full length, on all ranks: what memory, max_num_seqs and the job allow.
  std::uint64_t sequences = 0;
  double rows_an_expert = 0;  // in a step that generates; of unlike domains, on average over ranks
  double bytes_between = 0;   // between nodes, for a token (exchange_bytes.hpp)
};

struct DomainChoice {
  enum class Reason {
    OneNode,     // there is no choice
    NoExperts,   // none are routed: nothing is gained by several nodes in step
    EnoughRows,  // the fewest nodes that hold a copy and bring an expert enough rows
    MostRows,    // no layout brings enough; this one brings most
    FewRows,     // even all nodes bring less than one, so that more nodes would read hardly fewer weights
    NoRoom,      // no layout fits; this one needs least on a node
  } reason = Reason::OneNode;
  std::string setting;                // world, node, or a number of ranks
  std::uint32_t nodes = 1;            // of a domain
  std::vector<DomainLayout> layouts;  // one node, all nodes and what was chosen, by nodes; none if there is one node
};

// The fewest nodes that hold one copy of the experts, with everything else that ranks hold, and whose steps bring an
// expert `enough_rows`. Domains are whole nodes and alike: if nodes have different numbers of ranks, only one node and
// all of them are. UserError if parallel.kv_cache_tokens is more than a rank can hold.
DomainChoice choose_domain(const DomainQuestion& question);

// Such as "one node holds a copy of the experts and brings each 64 rows a step (16 are enough)".
std::string reason_text(const DomainChoice& choice);
// A line for each layout, such as "both nodes     about 2,930,000 bytes a token between nodes, 64 rows an expert, 4,096
// sequences at a time".
std::vector<std::string> layout_lines(const DomainChoice& choice);

}  // namespace moemill::mill
