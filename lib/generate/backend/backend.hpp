// The interface between the mill and the hardware: one rank's loaded model, whatever it runs on. Called once per step,
// never within a step. Made by make_backend, used by generate/engine, generate/generator and the benchmarks; tests have
// a fake one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "layers/dispatch/domain_site.hpp"
#include "layers/forward_settings.hpp"
#include "model/config.hpp"
#include "model/placement.hpp"
#include "sample/requests.hpp"
#include "schedule/step.hpp"
#include "system/files/node_memory.hpp"
#include "weights/load_request.hpp"
#include "weights/weights_digest.hpp"

namespace moemill::mill {

// Bytes of one rank, but for node_weights.
struct BackendMemory {
  std::uint64_t weights = 0;        // in private memory
  std::uint64_t node_weights = 0;   // in memory that the ranks of the node share
  std::uint64_t node_rows = 0;      // this rank's part of the rows that ranks of the node have in common, so far
  std::uint64_t node_resident = 0;  // of both, what this rank has touched
  std::uint64_t huge_pages = 0;     // of weights, shared or not, what lies on huge pages
  std::uint64_t kv_cache = 0;       // of all pages
  std::uint64_t workspace = 0;      // with the part of node_rows
};

// The slice of a model that a rank uses, and what its node holds.
struct WeightsWanted {
  std::string dir;
  std::string load_format;
  model::Placement placement;
  DomainRank rank;
  model::NodeExperts node;      // of all ranks that load into the same memory
  model::NodeExperts computes;  // of those of them that are of the rank's domain
  model::Announce announce = model::Announce::Nothing;
};

// What ranks must have in common to load into the same memory.
struct WeightsPlan {
  std::uint64_t memory_bytes = 0;
  std::uint64_t form = 0;    // how matrices lie there
  std::uint64_t source = 0;  // stands for the files that are read
  friend bool operator==(const WeightsPlan&, const WeightsPlan&) = default;
};

class Backend {
 public:
  Backend() = default;
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // Called before the first step: weights first, which are planned and then loaded, then the working memory. All ranks
  // that have the `memory` load at the same time; if one throws, the others return early. `between` is called now and
  // then while weights are read; what it throws ends the loading. `site` is the rank's place in the expert domain, with
  // the memory that its exchange works in.
  virtual WeightsPlan plan_weights(const WeightsWanted& wanted) = 0;
  virtual model::WeightsDigest load_weights(NodeMemory memory, const std::function<void()>& between) = 0;
  virtual void prepare(layers::DomainSite site, const layers::ForwardSettings& settings) = 0;

  // Computes all layers for the step's rows; collective over the expert domain. draw() then answers requests about the
  // rows in step.logit_rows, any number of times until the next run().
  virtual void run(const schedule::Step& step) = 0;
  virtual void draw(const sample::Draws& draws) = 0;
  // From prepare on: the hook is called now and then while both compute, on the thread that called them. It must not
  // throw. An empty one is none.
  virtual void while_computing(std::function<void()> hook) = 0;

  // For benchmarks: all pages of the KV cache get random values of the size that keys and latents have, the same ones
  // for the same seed. A step then reads what it would read after prompts, at a small part of their time.
  virtual void fill_cache(std::uint64_t seed) = 0;

  virtual const layers::ForwardTotals& totals() const = 0;
  // Tokens routed to each expert so far by this rank's own rows: [MoE layers, experts].
  virtual std::span<const std::uint64_t> expert_counts() const = 0;
  // Picks by these rows that each node has computed so far: [layers, nodes of the expert domain].
  virtual std::span<const std::uint64_t> node_picks() const = 0;
  virtual BackendMemory memory() const = 0;  // from load_weights on
};

// `wanted` is runtime.backend of run.yaml: auto, cpu or cuda. UserError for a backend that this program was built
// without. `config` must outlive the backend.
std::unique_ptr<Backend> make_backend(const std::string& wanted, const model::ModelConfig& config, int threads);
// The backend as a run records it: "cpu (avx512)", or "cpu (avx512, int8 by avx512_vnni)" where products are int8's.
// UserError as above.
std::string backend_name(const std::string& wanted, Arithmetic arithmetic);

// The instruction set that a backend on CPUs computes with in this process, such as "avx512".
std::string cpu_instruction_set();

}  // namespace moemill::mill
