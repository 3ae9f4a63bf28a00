// The CPU's weights: the structures of weights/weights.hpp over packed matrices, and how a rank loads and measures
// them. Called by the CPU's backend, planning and validate.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/numbers/rounding.hpp"
#include "kernels/matrix.hpp"
#include "kernels/panel.hpp"
#include "model/config.hpp"
#include "model/placement.hpp"
#include "system/files/node_memory.hpp"
#include "system/machine/threads.hpp"
#include "weights/load_request.hpp"
#include "weights/weights.hpp"

namespace moemill::model {

using MlpWeights = MlpWeightsOf<cpu::Matrix>;
using MlaWeights = MlaWeightsOf<cpu::Matrix>;
using GqaWeights = GqaWeightsOf<cpu::Matrix>;
using MoeWeights = MoeWeightsOf<cpu::Matrix>;
using LayerWeights = LayerWeightsOf<cpu::Matrix>;
using Weights = WeightsOf<cpu::Matrix>;

// up_offset of an MLP: up begins at a panel of its own.
inline std::uint32_t up_offset_of(std::uint32_t width) { return round_up(width, std::uint32_t{cpu::panel_columns}); }

// A load in two steps. The first finds out what may be wrong with the files, and how much memory the weights take; the
// second fills the memory, which all ranks of a node may share: then each of them reads, decodes and packs what the
// others have not taken, and all return when it is complete. load_format auto reads the files in `dir`. dummy makes
// random weights from config.json alone, with the same value for the same element of a tensor in any placement. In the
// arithmetic int8, matrices of projections, MLPs and experts are rounded from the bf16 values, whatever the files'
// format.
class WeightsLoad {
 public:
  // `order` is the stream's that will multiply; it is the same on all ranks that share the memory. Throws UserError
  // naming file, tensor and what was expected.
  explicit WeightsLoad(LoadRequest request, cpu::PairOrder order = cpu::PairOrder::EvenThenOdd);
  ~WeightsLoad();

  std::uint64_t memory_bytes() const;
  // Ranks of a node may share memory if this number, which stands for the files, is the same on all of them.
  std::uint64_t source() const;
  // All threads of the team work; rank 0 logs the progress. The calling thread calls `between` between pieces; what it
  // throws ends the loading on all ranks that share the memory: the others return weights that nobody may use. The
  // memory is read-only afterwards.
  Weights carry_out(
      NodeMemory memory, ThreadTeam& team, const std::function<void()>& between = [] {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The part of `rank` in private memory.
Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format, ThreadTeam& team);
// The same on one thread.
Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format);
// Bytes of the weights that a rank alone holds; exact for a `config` that stored_config has returned.
std::uint64_t weight_bytes(const ModelConfig& config, const Placement& placement, DomainRank rank);
// Bytes of one copy of the replicated weights and of these experts, as the ranks of a node share it.
std::uint64_t weight_bytes(const ModelConfig& config, const NodeExperts& node);

// Memory of one copy of a model's weights by format. Vectors count as bf16.
struct HeldWeights {
  std::uint64_t bf16_bytes = 0, fp8_bytes = 0, mxfp4_bytes = 0, int8_bytes = 0;
  std::uint64_t all_bytes() const { return bf16_bytes + fp8_bytes + mxfp4_bytes + int8_bytes; }
  std::uint32_t widened_matrices = 0;  // stored in FP8 but held in bf16, because the packed form cannot hold the scales
};
HeldWeights held_weights(const ModelConfig& config);

}  // namespace moemill::model
