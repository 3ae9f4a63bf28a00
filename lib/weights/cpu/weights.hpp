// The CPU's weights: the structures of weights/weights.hpp over packed matrices, and how a rank loads and measures
// them. Called by the CPU's backend, planning and validate.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/numbers/rounding.hpp"
#include "kernels/matrix.hpp"
#include "kernels/panel.hpp"
#include "model/config.hpp"
#include "model/placement.hpp"
#include "system/machine/threads.hpp"
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

// Loads the part of `rank`. load_format auto reads the files in `dir`. dummy makes random weights from config.json
// alone, with the same value for the same element of a tensor in any placement. All threads of the team read, decode
// and pack; rank 0 logs the progress. The calling thread calls `between` between pieces; what it throws ends the
// loading. `order` is the stream's that will multiply. In the arithmetic int8, matrices of projections, MLPs and
// experts are rounded from the bf16 values, whatever the files' format. Throws UserError naming file, tensor and what
// was expected.
Weights load_weights(
    const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
    const std::string& load_format, ThreadTeam& team, const std::function<void()>& between = [] {},
    cpu::PairOrder order = cpu::PairOrder::EvenThenOdd);
// The same on one thread.
Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format);
// Bytes that load_weights will hold; exact for a `config` that stored_config has returned.
std::uint64_t weight_bytes(const ModelConfig& config, const Placement& placement, DomainRank rank);

// Memory of one copy of a model's weights by format. Vectors count as bf16.
struct HeldWeights {
  std::uint64_t bf16_bytes = 0, fp8_bytes = 0, mxfp4_bytes = 0, int8_bytes = 0;
  std::uint64_t all_bytes() const { return bf16_bytes + fp8_bytes + mxfp4_bytes + int8_bytes; }
  std::uint32_t widened_matrices = 0;  // stored in FP8 but held in bf16, because the packed form cannot hold the scales
};
HeldWeights held_weights(const ModelConfig& config);

}  // namespace moemill::model
