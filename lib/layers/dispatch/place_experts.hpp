// Which ranks of an expert domain hold which experts: slices that follow each other or, with redundant experts or
// measured loads, a table for each layer that levels the domain's nodes (model/balance.hpp). Within a node it does not
// matter who holds an expert, because its ranks share its work. Called by the engine, and by whoever plans memory or
// counts what is sent. Pure: every rank computes the same.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "layers/dispatch/domain_nodes.hpp"
#include "model/config.hpp"
#include "model/placement.hpp"

namespace moemill::layers {

// A domain's layer. loads: [experts] how often each was picked; empty, or zeros alone: all count alike. How many
// experts a rank holds does not depend on loads. UserError if `redundant` is more than check_redundant allows.
model::LayerPlacement place_layer(const model::Moe& moe, const DomainNodes& nodes, std::uint32_t redundant,
                                  std::span<const std::uint64_t> loads = {});
// All layers. loads: [layers with experts, experts], or empty.
model::Placement place_experts(const model::ModelConfig& config, const DomainNodes& nodes, std::uint32_t redundant,
                               std::span<const std::uint64_t> loads = {});

// What the busiest node computes for each of its ranks over the mean of all ranks, averaged over layers, of picks as
// `loads` [layers with experts, experts] counts them, if each copy computes its part. 1 without any.
double busiest_over_mean(const model::Placement& placement, const DomainNodes& nodes,
                         std::span<const std::uint64_t> loads);

// How many copies of experts a domain of so many nodes takes: no node has two of one expert. Redundant experts have no
// effect on one node.
std::uint64_t most_redundant(const model::Moe& moe, std::uint32_t nodes);
// UserError for parallel.redundant_experts above that, with both numbers.
void check_redundant(const model::Moe& moe, std::uint32_t nodes, std::uint32_t redundant);
// Why they have no effect in domains of so many nodes; "" if they have one, or are not asked for.
std::string redundant_warning(std::uint32_t nodes, std::uint32_t redundant);

}  // namespace moemill::layers
