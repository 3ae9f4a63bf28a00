#include "plan/estimate/step.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "plan/estimate/exchange.hpp"

namespace moemill::estimate {
namespace {

using model::Pass;

constexpr double mlp_kernels = 2;         // gate with up, then down
constexpr double bf16_bytes = 2;          // of a value of hidden rows, results of experts, the head
constexpr std::uint32_t wide_head = 128;  // values; attention kernels reach less with narrower heads

double fourth_root(double x) { return std::sqrt(std::sqrt(x)); }

// Both bounds of one kernel joined: the longer one, and a little of the other.
double joined(double memory_seconds, double arithmetic_seconds) {
  const double m = memory_seconds * memory_seconds, a = arithmetic_seconds * arithmetic_seconds;
  return fourth_root(m * m + a * a);
}

// Seconds of a stage of one layer, for the rows of one micro-batch.
struct Stages {
  double before = 0, core = 0, after = 0, shared = 0, experts = 0, dispatch = 0, combine = 0, dense = 0;
};

class StepModel {
 public:
  StepModel(const Setting& setting, const StepRows& rows)
      : s_(setting),
        reached_(setting.hardware.efficiencies),
        counts_(model::count_layers(setting.model)),
        step_(rows),
        rows_(rows.rows / setting.layout.micro_batches),
        hbm_bytes_per_second_(setting.hardware.memory_bytes_per_second * reached_.memory),
        bf16_flops_(setting.hardware.bf16_flops.value() * reached_.tensor_bf16) {
    const bool is_shared = setting.layout.micro_batches > 1 && setting.layout.gpus > 1 && rows.pass == Pass::Prompt;
    processors_ = is_shared ? reached_.compute_beside_exchange : 1;
  }

  StepTime predict() const;

 private:
  double kernels(double count) const { return count * reached_.kernel_us * 1e-6; }

  // Products of all rows with `parameters` weights.
  double product(double parameters, Format format, double kernel_count) const {
    const FormatRates rates = rates_of(format, s_.hardware);
    return joined(parameters * weight_bytes(format) / rates.weight_bytes_per_second,
                  2 * parameters * rows_ / (rates.flops * processors_)) +
           kernels(kernel_count);
  }

  // Half of a layer's kernels that are neither products, attention nor exchange.
  double half_of_small_kernels() const {
    const double bytes = reached_.row_passes * rows_ * s_.model.hidden * bf16_bytes;
    return (kernels(reached_.small_kernels) + bytes / hbm_bytes_per_second_) / 2;
  }

  double core_flops() const {
    const bool narrow = counts_.cached_head_width < wide_head;
    return s_.hardware.bf16_flops.value() * (narrow ? reached_.core_narrow_heads : reached_.core);
  }

  double prompt_core(double window) const;
  double generated_core(double window) const;
  double core() const;
  double experts() const;
  Stages stages() const;
  double head() const;

  const Setting& s_;
  const Efficiencies& reached_;
  const model::LayerCounts counts_;
  const StepRows& step_;
  const double rows_;  // of a micro-batch
  const double hbm_bytes_per_second_, bf16_flops_;
  double processors_ = 1;  // share that computes
};

// A prompt's rows see half of it on average; with a window w of a prompt of n, w - w^2 / (2 n).
double StepModel::prompt_core(double window) const {
  const double seen = window - window * window / (2 * step_.context);
  return rows_ * counts_.prompt_core_flops * seen / (core_flops() * processors_) +
         rows_ * counts_.query_heads * reached_.core_prompt_row_head_ns * 1e-9 + kernels(1);
}

double StepModel::generated_core(double window) const {
  const double bytes = window * kv_width(s_.model) * cache_bytes(s_.precision.cache);
  const double faster = s_.precision.cache == CacheFormat::Fp8 ? reached_.core_fp8_cache : 1;
  const bool latent = s_.model.attention == model::AttentionKind::Latent;
  return joined(rows_ / step_.rows_per_sequence * bytes / hbm_bytes_per_second_,
                rows_ * counts_.generated_core_flops * window / (core_flops() * faster)) +
         rows_ * (latent ? reached_.core_latent_row_us : reached_.core_grouped_row_us) * 1e-6 + kernels(1);
}

// The mean over the layers, some of which may have a window.
double StepModel::core() const {
  const auto of = [&](double window) {
    return step_.pass == Pass::Prompt ? prompt_core(window) : generated_core(window);
  };
  const double windowed = model::windowed_layers(s_.model), layers = s_.model.layers;
  if (windowed == 0) return of(step_.context);
  const double window = std::min<double>(step_.context, s_.model.gqa.window);
  return (of(step_.context) * (layers - windowed) + of(window) * windowed) / layers;
}

double StepModel::experts() const {
  const auto& moe = s_.model.moe;
  const Format format = s_.precision.weights;
  const FormatRates rates = rates_of(format, s_.hardware);
  const double slots = s_.layout.slots_per_gpu(s_.model);
  const double untouched = std::pow(1 - static_cast<double>(moe.picks) / moe.experts, rows_ * s_.layout.gpus);
  const double bytes = slots * (1 - untouched) * static_cast<double>(counts_.expert) * weight_bytes(format);
  const double flops = 2 * rows_ * moe.picks * static_cast<double>(counts_.expert) * s_.layout.imbalance(reached_);
  return joined(bytes / rates.weight_bytes_per_second, flops / (rates.flops * processors_)) + kernels(mlp_kernels);
}

Stages StepModel::stages() const {
  const model::Projections& p = counts_.projections(step_.pass);
  const Format projections = s_.precision.projections, weights = s_.precision.weights;
  Stages stages;
  stages.before = product(static_cast<double>(p.before), projections, p.matrices_before) + half_of_small_kernels();
  stages.core = core();
  stages.after = product(static_cast<double>(p.after), projections, p.matrices_after) + half_of_small_kernels();
  if (counts_.shared_expert > 0)
    stages.shared = product(static_cast<double>(counts_.shared_expert), weights, mlp_kernels);
  if (counts_.dense_layers > 0) stages.dense = product(static_cast<double>(counts_.dense_mlp), weights, mlp_kernels);
  if (counts_.moe_layers == 0) return stages;
  stages.experts = experts();
  stages.dispatch = exchange_seconds(s_.layout, s_.hardware, s_.model, rows_, row_bytes(weights));
  stages.combine = exchange_seconds(s_.layout, s_.hardware, s_.model, rows_, bf16_bytes);
  return stages;
}

// A prompt has one row of logits, a generated row its own. All micro-batches together.
double StepModel::head() const {
  const double rows = step_.pass == Pass::Prompt ? step_.rows / step_.context : step_.rows;
  const auto parameters = static_cast<double>(counts_.head);
  return joined(parameters * bf16_bytes / hbm_bytes_per_second_, 2 * parameters * rows / bf16_flops_) + kernels(1);
}

// A layer with experts, for all micro-batches, as at the top of step.hpp.
double layer_seconds(const Stages& t, const Layout& layout, Pass pass) {
  const double a0 = t.before, a1 = t.core + t.after, a = a0 + a1;
  if (layout.micro_batches == 1) return a + std::max(t.shared, t.dispatch) + t.experts + t.combine;
  if (pass == Pass::Generated) return 2 * (std::max(t.shared + a0, t.dispatch) + t.experts + std::max(a1, t.combine));
  return std::max(a + t.shared, t.combine) + std::max(a, t.dispatch) + std::max(t.experts, t.dispatch) +
         std::max(t.experts + t.shared, t.combine);
}

StepTime StepModel::predict() const {
  const Stages t = stages();
  const double batches = s_.layout.micro_batches;
  const double moe = counts_.moe_layers, dense = counts_.dense_layers;
  StepTime time;
  time[Term::Projections] = (moe + dense) * batches * (t.before + t.after);
  time[Term::Core] = (moe + dense) * batches * t.core;
  time[Term::SharedExpert] = moe * batches * t.shared;
  time[Term::RoutedExperts] = moe * batches * t.experts;
  time[Term::Dispatch] = moe * batches * t.dispatch;
  time[Term::Combine] = moe * batches * t.combine;
  time[Term::DenseLayers] = dense * batches * t.dense;
  time[Term::Head] = head();
  const double in_layers = moe * layer_seconds(t, s_.layout, step_.pass) +
                           dense * batches * (t.before + t.core + t.after + t.dense) + time[Term::Head];
  time.hidden_seconds = std::max(0.0, time.busy_seconds() - in_layers);
  time[Term::OutsideLayers] = in_layers * reached_.outside_layers / (1 - reached_.outside_layers);
  return time;
}

}  // namespace

const char* name_of(Term term) {
  constexpr const char* names[terms] = {"projections", "attention core", "shared expert", "experts",       "dispatch",
                                        "combine",     "dense layers",   "head",          "outside layers"};
  return names[static_cast<std::size_t>(term)];
}

double StepTime::busy_seconds() const {
  double sum = 0;
  for (double seconds : seconds_of) sum += seconds;
  return sum;
}

void StepTime::add(const StepTime& other, double times) {
  for (std::size_t i = 0; i < terms; ++i) seconds_of[i] += other.seconds_of[i] * times;
  hidden_seconds += other.hidden_seconds * times;
}

StepTime predict_step(const Setting& setting, const StepRows& rows) {
  expect(rows.rows > 0 && rows.context > 0 && rows.rows_per_sequence > 0, "a step has rows, and rows see positions");
  return StepModel(setting, rows).predict();
}

}  // namespace moemill::estimate
