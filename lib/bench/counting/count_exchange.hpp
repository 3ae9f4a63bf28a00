// What a step of many ranks sends and computes, counted without ranks: the exchange's own plan of every rank's rows,
// one after the other, and the rule by which the ranks of a node share the experts' work. Used by `bench simulate`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/ids.hpp"
#include "model/config.hpp"

namespace moemill::bench {

struct CountedLayout {
  std::uint32_t ranks = 1;           // of one expert domain
  std::uint32_t ranks_per_node = 1;  // that share memory; the last node may have fewer
  std::uint32_t rows = 1;            // of each rank
  // Where experts lie: in slices or, with a number of redundant ones a layer, placed by measured load.
  std::optional<std::uint32_t> redundant = {};
};

// picks: [rows, picks] of the rank's rows in the layer. Ranks beyond those of the layout stand for rows of another
// step, by which experts are placed.
using PicksOfRank = std::function<void(LayerId layer, std::uint32_t rank, std::span<GlobalExpert> picks)>;

// Costs of experts' work in rows (layers/dispatch/node_split.hpp), summed over layers.
struct CountedWork {
  double mean = 0;           // of all ranks
  double busiest = 0;        // of all ranks
  double busiest_owner = 0;  // if each computed the experts that it holds
  double busiest_node = 0;   // the mean of the ranks of the node with most
  double within_node = 0;    // of the busiest rank of its node, a mean over all ranks
};

struct CountedExchange {
  std::uint32_t nodes = 1;
  std::uint32_t layers = 0;  // with experts
  std::uint64_t rows = 0;    // of all ranks and layers
  std::uint64_t row_nodes = 0;
  std::uint64_t rows_sent = 0, outputs_sent = 0;
  std::uint64_t inter_node_bytes = 0, inter_node_minimum = 0;
  std::uint64_t intra_node_bytes = 0;
  std::uint64_t messages = 0;
  CountedWork work;
};

// One micro-batch. The model has experts in one layer at least. UserError for more redundant experts than nodes can
// take apart.
CountedExchange count_exchange(const model::ModelConfig& config, const CountedLayout& layout, const PicksOfRank& picks);

}  // namespace moemill::bench
