// What the rows of a token send between the nodes of an expert domain, before any of them exists. Used by expert_domain
// and its text.
#pragma once

#include "model/config.hpp"
#include "plan/footprint.hpp"

namespace moemill::mill {

// Bytes between nodes for a token, both ways and in all layers, on average over the ranks of the domain of rank 0. The
// exchange's own plan (layers/dispatch/exchange_plan.hpp) counts them for rows whose picks are drawn evenly: a trained
// router's differ. The same in every call.
double bytes_between_nodes(const model::ModelConfig& config, const JobShape& shape);

}  // namespace moemill::mill
