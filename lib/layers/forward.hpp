// The model on one rank: a step's rows in; next tokens, scores and log-probabilities out. Collective: every rank of the
// expert domain calls run() the same number of times, with zero rows where it has none. A template over the backend B,
// a type that names what its layers are made of; one file per backend instantiates it (layers/cpu/forward_cpu.cpp).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "layers/dispatch/domain_site.hpp"
#include "layers/forward_settings.hpp"
#include "model/config.hpp"
#include "model/placement.hpp"
#include "sample/requests.hpp"
#include "schedule/step.hpp"
#include "weights/weights.hpp"

namespace moemill::layers {

template <class B>
class Forward {
 public:
  using Stream = typename B::Stream;
  using Weights = model::WeightsOf<typename B::Matrix>;

  // placement: over the expert domain, the one that the weights were loaded for. The weights have the experts of all
  // ranks that share memory with this one by the site, which was made for exchange_shape(config, settings).
  Forward(Stream& stream, const model::ModelConfig& config, const Weights& weights, const model::Placement& placement,
          DomainSite site, const ForwardSettings& settings);
  ~Forward();

  // All layers over the step's rows, at most settings.max_rows. Afterwards the rows of step.logit_rows wait for draw().
  void run(const schedule::Step& step);
  // Answers requests about wanted rows of the last step.
  void draw(const sample::Draws& draws);

  // Calls the hook now and then while run() and draw() compute, on the thread that called them, in place of an earlier
  // one. It must not throw, nor call this.
  void while_computing(std::function<void()> hook);

  // Fills the cache with random values in place of prompts, for benchmarks.
  void fill_cache(std::uint64_t seed);

  const ForwardTotals& totals() const;
  // Tokens routed to each expert so far by this rank's own rows: [MoE layers, experts].
  std::span<const std::uint64_t> expert_counts() const;
  // Picks by this rank's own rows that each node has computed so far: [layers, nodes of the domain].
  std::span<const std::uint64_t> node_picks() const;
  std::uint64_t kv_bytes() const;  // of all pages
  // Of this rank: private memory, and the part of its node's that its rows take at most.
  std::uint64_t workspace_bytes() const;
  // The memory that rows lie in; shared by ranks of the node, if they share any.
  const NodeMemory& node_memory() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moemill::layers
