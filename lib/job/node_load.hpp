// How evenly the nodes of an expert domain shared the picks of an attempt, and how they would have if experts lay in
// slices. Called at the end of an attempt.
#pragma once

#include "generate/engine.hpp"
#include "mill/totals.hpp"
#include "plan/ranks.hpp"

namespace moemill::mill {

// What the busiest node computes for each of its ranks over the mean of the domain's ranks, averaged over layers; of
// several domains the mean, weighted by their picks. 1 where a domain is one node, or nothing was picked.
struct NodeLoad {
  double in_slices = 1, as_placed = 1;
};
// Collective over the world.
NodeLoad node_load(const Ranks& ranks, const Engine& engine, const model::ModelConfig& model);

// A line of the log about it, if experts were placed otherwise than in slices, over so many nodes. On rank 0.
void log_node_load(const ExpertLoad& load, const ParallelSettings& parallel, std::uint32_t nodes);

}  // namespace moemill::mill
