#include "plan/estimate/stages.hpp"

#include <algorithm>
#include <cmath>

namespace moemill::estimate {
namespace {

using model::Pass;

constexpr double mlp_kernels = 2;         // gate with up, then down
constexpr double bf16_bytes = 2;          // of a value of hidden rows, results of experts, the head
constexpr std::uint32_t wide_head = 128;  // values; attention kernels reach less with narrower heads

class StageModel {
 public:
  StageModel(const Setting& setting, const StepRows& rows)
      : s_(setting),
        reached_(setting.hardware.efficiencies),
        counts_(model::count_layers(setting.model)),
        step_(rows),
        rows_(rows.rows / setting.layout.micro_batches),
        hbm_bytes_per_second_(setting.hardware.memory_bytes_per_second * reached_.memory),
        bf16_flops_(setting.hardware.bf16_flops.value()) {
    const bool is_shared = setting.layout.micro_batches > 1 && setting.layout.gpus > 1 && rows.pass == Pass::Prompt;
    processors_ = is_shared ? reached_.compute_beside_exchange : 1;
  }

  Stages stages() const;

 private:
  double kernels(double count) const { return count * reached_.kernel_us * 1e-6; }
  // Positions that a cache holds, per row that is computed.
  double cached_per_row() const { return step_.cached / (step_.context - step_.cached); }

  StageCost product(double parameters, Format format, double kernel_count) const;
  StageCost small() const;
  StageCost before() const;
  double core_flops() const;
  StageCost core(double window) const;
  StageCost prompt_core(double window) const;
  StageCost generated_core(double window) const;
  StageCost experts() const;
  StageCost head() const;

  const Setting& s_;
  const Efficiencies& reached_;
  const model::LayerCounts counts_;
  const StepRows& step_;
  const double rows_;  // of a micro-batch
  const double hbm_bytes_per_second_, bf16_flops_;
  double processors_ = 1;  // share that computes
};

// Products of all rows with `parameters` weights.
StageCost StageModel::product(double parameters, Format format, double kernel_count) const {
  const FormatRates rates = rates_of(format, s_.hardware);
  return {parameters * weight_bytes(format),
          rates.weight_bytes_per_second,
          2 * parameters * rows_,
          rates.flops * processors_,
          0,
          kernels(kernel_count)};
}

// Half of a layer's kernels that are neither products, attention nor exchange.
StageCost StageModel::small() const {
  StageCost cost;
  cost.bytes = reached_.row_passes * rows_ * s_.model.hidden * bf16_bytes / 2;
  cost.bytes_per_second = hbm_bytes_per_second_;
  cost.kernel_seconds = kernels(reached_.small_kernels) / 2;
  return cost;
}

// A prompt in its expanded form also expands the latents that a cache holds.
StageCost StageModel::before() const {
  const model::Projections& p = counts_.projections(step_.pass);
  StageCost cost = product(static_cast<double>(p.before), s_.precision.projections, p.matrices_before);
  if (step_.pass == Pass::Prompt && s_.model.attention == model::AttentionKind::Latent) {
    const model::Mla& a = s_.model.mla;
    const double expansion = static_cast<double>(a.kv_lora_rank) * a.heads * (a.qk_nope_dim + a.v_dim);
    cost.operations += 2 * expansion * rows_ * cached_per_row();
  }
  return cost;
}

double StageModel::core_flops() const {
  const bool narrow = counts_.cached_head_width < wide_head;
  return bf16_flops_ * (narrow ? reached_.core_narrow_heads : reached_.core);
}

// Row i of a prompt sees i positions, or the window: the mean over the rows behind the cached ones.
StageCost StageModel::prompt_core(double window) const {
  const double n = step_.context, cached = step_.cached, rows = n - cached;
  const double full = std::max(0.0, n - std::max(window, cached));  // rows that see a whole window
  const double end = std::min(window, n), begin = std::min(cached, end);
  const double seen = ((end * end - begin * begin) / 2 + full * window) / rows;
  StageCost cost;
  cost.bytes = rows_ * cached_per_row() * kv_width(s_.model) * cache_bytes(s_.precision.cache);
  cost.bytes_per_second = hbm_bytes_per_second_;
  cost.operations = rows_ * counts_.prompt_core_flops * seen;
  cost.operations_per_second = core_flops() * processors_;
  cost.row_seconds = rows_ * counts_.query_heads * reached_.core_prompt_row_head_ns * 1e-9;
  cost.kernel_seconds = kernels(1);
  return cost;
}

StageCost StageModel::generated_core(double window) const {
  const double faster = s_.precision.cache == CacheFormat::Fp8 ? reached_.core_fp8_cache : 1;
  const bool latent = s_.model.attention == model::AttentionKind::Latent;
  StageCost cost;
  cost.bytes = rows_ / step_.rows_per_sequence * window * kv_width(s_.model) * cache_bytes(s_.precision.cache);
  cost.bytes_per_second = hbm_bytes_per_second_;
  cost.operations = rows_ * counts_.generated_core_flops * window;
  cost.operations_per_second = core_flops() * faster;
  cost.row_seconds = rows_ * (latent ? reached_.core_latent_row_us : reached_.core_grouped_row_us) * 1e-6;
  cost.kernel_seconds = kernels(1);
  return cost;
}

StageCost StageModel::core(double window) const {
  return step_.pass == Pass::Prompt ? prompt_core(window) : generated_core(window);
}

StageCost StageModel::experts() const {
  const auto& moe = s_.model.moe;
  const Format format = s_.precision.weights;
  const FormatRates rates = rates_of(format, s_.hardware);
  const double slots = s_.layout.slots_per_gpu(s_.model);
  const double untouched = std::pow(1 - static_cast<double>(moe.picks) / moe.experts, rows_ * s_.layout.gpus);
  StageCost cost;
  cost.bytes = slots * (1 - untouched) * static_cast<double>(counts_.expert) * weight_bytes(format);
  cost.bytes_per_second = rates.weight_bytes_per_second;
  cost.operations = 2 * rows_ * moe.picks * static_cast<double>(counts_.expert) * s_.layout.imbalance(reached_);
  cost.operations_per_second = rates.flops * processors_;
  cost.kernel_seconds = kernels(mlp_kernels);
  return cost;
}

// A prompt has one row of logits, a generated row its own. All micro-batches together.
StageCost StageModel::head() const {
  const double rows = step_.pass == Pass::Prompt ? step_.rows / (step_.context - step_.cached) : step_.rows;
  const auto parameters = static_cast<double>(counts_.head);
  return {parameters * bf16_bytes,
          hbm_bytes_per_second_,
          2 * parameters * rows,
          bf16_flops_ * reached_.tensor_bf16,
          0,
          kernels(1)};
}

Stages StageModel::stages() const {
  const model::Projections& p = counts_.projections(step_.pass);
  const Format projections = s_.precision.projections, weights = s_.precision.weights;
  Stages stages;
  stages.small = small();
  stages.before = before();
  stages.after = product(static_cast<double>(p.after), projections, p.matrices_after);
  stages.core = core(step_.context);
  const double windowed = model::windowed_layers(s_.model);
  if (windowed > 0) {
    stages.windowed_core = core(std::min<double>(step_.context, s_.model.gqa.window));
    stages.windowed_share = windowed / s_.model.layers;
  }
  stages.head = head();
  if (counts_.shared_expert > 0)
    stages.shared = product(static_cast<double>(counts_.shared_expert), weights, mlp_kernels);
  if (counts_.dense_layers > 0) stages.dense = product(static_cast<double>(counts_.dense_mlp), weights, mlp_kernels);
  if (counts_.moe_layers == 0) return stages;
  stages.experts = experts();
  stages.dispatch = transfer_of(s_.layout, s_.hardware, s_.model, rows_, row_bytes(weights));
  stages.combine = transfer_of(s_.layout, s_.hardware, s_.model, rows_, bf16_bytes);
  return stages;
}

double fourth_root(double x) { return std::sqrt(std::sqrt(x)); }

}  // namespace

// The longer of both bounds, and a little of the other.
double StageCost::seconds() const {
  const double m = memory_seconds() * memory_seconds(), a = arithmetic_seconds() * arithmetic_seconds();
  return fourth_root(m * m + a * a) + row_seconds + kernel_seconds;
}

Stages stages_of(const Setting& setting, const StepRows& rows) { return StageModel(setting, rows).stages(); }

}  // namespace moemill::estimate
