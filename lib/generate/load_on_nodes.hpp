// Loading the weights of all ranks: where ranks of a node can share memory, one copy for all of them, which they load
// together. Called by the engine.
#pragma once

#include <functional>
#include <vector>

#include "base/run_config.hpp"
#include "generate/backend/backend.hpp"
#include "plan/ranks.hpp"

namespace moemill::mill {

// `wanted` has the rank's own experts as its node's and as those that it computes. Collective over the world;
// AgreedFailure if loading fails on any rank, or with node_memory: required if the ranks of a node cannot share. With
// auto they then load a copy each, and a line of the log says why, once a node.
model::WeightsDigest load_on_nodes(Backend& backend, WeightsWanted wanted, const Ranks& ranks,
                                   const ParallelSettings& parallel, const std::function<void()>& between);

// [ranks of the domain] equal numbers for ranks that load into the same memory, if mates do so, or for no two ranks.
// Collective over the world.
enum class MatesShare { No, Yes };
std::vector<int> memory_of_domain(const Ranks& ranks, MatesShare share);

}  // namespace moemill::mill
