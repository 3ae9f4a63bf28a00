#include "bench/steps/measure_stages.hpp"

#include <algorithm>
#include <vector>

#include "base/clock.hpp"
#include "base/page_tokens.hpp"

namespace moemill::bench {
namespace {

using calibration::Curve;
using calibration::Stages;
using schedule::RowKind;

constexpr std::uint32_t generated_rows[] = {0, 1, 2, 4, 8, 16, 32, 64, 128, 512};
constexpr std::uint32_t prompt_rows[] = {2, 8, 32, 128, 512, 1024};
// The curve over contexts has so many rows at the longest one, and so many more at shorter ones that they see as many
// positions: a run has as many rows as its cache holds, and what they see hardly fits the cores' own caches. Those of
// prompts have so many rows; a prompt of 512 rows and one of 1024 are measured already.
constexpr std::uint32_t rows_at_longest = 64, most_rows_of_contexts = 512;
constexpr std::uint32_t prompt_rows_of_contexts = 512, short_prompts[] = {32, 128};
// Memory of the cache on each rank, at most: steps have as many sequences as it holds.
constexpr std::uint64_t most_cache_bytes = 400'000'000;

// A row's last page costs as much as a full one, however few of its positions the row sees: contexts end in the middle
// of a page, as they do on average.
constexpr std::uint32_t ending_within_a_page(std::uint32_t context) {
  return context > page_tokens ? context - page_tokens / 2 : context;
}

// Every size is measured twice, at different moments; again, for some time, where other programs had taken the cores.
constexpr int least_sweeps = 2, most_sweeps = 4;
constexpr double undisturbed_share = 0.97, late_seconds = 22;

struct Measured {
  ProbeStep step;
  StepSeconds seconds;

  double share_on_core() const { return seconds.on_core / seconds.whole; }
};

// Points by size. Sizes that are the same but for rounding become one, with the mean of both.
Curve curve_of(std::vector<Curve::Point> points) {
  std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.size < b.size; });
  std::vector<Curve::Point> out;
  for (const Curve::Point& point : points) {
    if (!out.empty() && point.size <= out.back().size * 1.01)
      out.back() = {(out.back().size + point.size) / 2, (out.back().seconds + point.seconds) / 2};
    else
      out.push_back({point.size, std::max(point.seconds, 0.0)});
  }
  return out.empty() ? Curve() : Curve(std::move(out));
}

class Measurement {
 public:
  Measurement(StepProbe& probe, const model::ModelConfig& config, const StageGrid& grid);
  // Sizes that curves over contexts have besides those over rows.
  void add_contexts();
  // Of each size the fastest measurement counts. Buffers have grown after the first one.
  void measure();
  Stages stages() const;
  Curve generated_by_context() const;
  Curve prompt_by_context() const;

 private:
  void add(std::vector<Measured>& to, RowKind kind, std::uint32_t sequences, std::uint32_t context);
  // So many rows of prompts, in as few as the model's positions allow.
  void add_prompts(std::vector<Measured>& to, std::uint32_t rows, std::uint32_t length) {
    length = std::min(length, grid_.most_positions);
    add(to, RowKind::Prompt, std::max(1u, rows / length), length);
  }
  // A stage over rows, in seconds of one of `layers` layers.
  static Curve over_rows(const std::vector<Measured>& all, double StepSeconds::*stage, double layers);
  Curve over_contexts(const std::vector<Measured>& all) const;
  void put_mlps(const std::vector<Measured>& all, Stages& out) const;
  double share_on_core() const;
  // The same answer on all ranks.
  bool is_late(double start) const { return probe_.slowest(now_seconds() - start) > late_seconds; }
  std::uint32_t first_context() const { return context(32); }
  // A `part`th of the longest.
  std::uint32_t context(std::uint32_t part) const {
    return ending_within_a_page(std::max(1u, grid_.most_positions / part));
  }

  StepProbe& probe_;
  const model::ModelConfig& config_;
  const StageGrid grid_;
  double moe_ = 0;                             // layers with experts
  std::vector<Measured> generated_, prompts_;  // by rows
  std::vector<Measured> contexts_, short_prompts_;
};

Measurement::Measurement(StepProbe& probe, const model::ModelConfig& config, const StageGrid& grid)
    : probe_(probe), config_(config), grid_(grid) {
  moe_ = static_cast<double>(std::count(config.layer_is_moe.begin(), config.layer_is_moe.end(), true));
  const std::uint32_t most_generated = generated_rows[std::size(generated_rows) - 1];
  const std::uint32_t most_rows = prompt_rows[std::size(prompt_rows) - 1];
  const std::uint32_t pages = std::max(most_generated * pages_of(first_context()),  //
                                       rows_at_longest * pages_of(grid.most_positions));
  probe.prepare(grid.micro_batches, most_rows, grid.most_positions, {pages, most_cache_bytes});
  for (const std::uint32_t rows : generated_rows) add(generated_, RowKind::Generated, rows, first_context());
  for (const std::uint32_t rows : prompt_rows) add_prompts(prompts_, rows, rows);
}

void Measurement::add_contexts() {
  for (const std::uint32_t part : {32u, 4u, 1u})
    add(contexts_, RowKind::Generated, std::min(rows_at_longest * part, most_rows_of_contexts), context(part));
  for (const std::uint32_t length : short_prompts) add_prompts(short_prompts_, prompt_rows_of_contexts, length);
}

// A size that the cache limits to the rows of the one before is left out.
void Measurement::add(std::vector<Measured>& to, RowKind kind, std::uint32_t sequences, std::uint32_t context) {
  const ProbeStep step{kind, std::min(sequences, probe_.sequences_that_fit(context)), context};
  if (to.empty() || step != to.back().step) to.push_back({step, {}});
}

void Measurement::measure() {
  const double start = now_seconds();
  for (int sweep = 0; sweep < most_sweeps; ++sweep) {
    for (std::vector<Measured>* sizes : {&generated_, &prompts_, &contexts_, &short_prompts_}) {
      for (Measured& m : *sizes) {
        if (sweep >= least_sweeps && (m.share_on_core() > undisturbed_share || is_late(start))) continue;
        const StepSeconds seconds = probe_.measure(m.step, grid_.seconds_a_size / least_sweeps);
        if (sweep == 0 || seconds.whole < m.seconds.whole) m.seconds = seconds;
      }
    }
  }
}

double Measurement::share_on_core() const {
  double on_core = 0, whole = 0;
  for (const std::vector<Measured>* sizes : {&generated_, &prompts_, &contexts_, &short_prompts_}) {
    for (const Measured& m : *sizes) on_core += m.seconds.on_core, whole += m.seconds.whole;
  }
  return std::min(1.0, on_core / whole);
}

Curve Measurement::over_rows(const std::vector<Measured>& all, double StepSeconds::*stage, double layers) {
  std::vector<Curve::Point> points;
  for (const Measured& m : all)
    if (layers > 0) points.push_back({static_cast<double>(m.step.rows()), m.seconds.*stage / layers});
  return curve_of(std::move(points));
}

Stages Measurement::stages() const {
  std::vector<Measured> all = generated_;  // with the largest step of prompts
  all.push_back(prompts_.back());
  std::vector<Measured> prompts = prompts_;
  prompts.push_back(generated_.front());  // without rows there is no difference

  const double layers = config_.layers;
  Stages out;
  out.micro_batches = grid_.micro_batches;
  out.prompt_projections = over_rows(prompts, &StepSeconds::projections, layers);
  out.generated_projections = over_rows(generated_, &StepSeconds::projections, layers);
  out.small = over_rows(all, &StepSeconds::small, layers);
  out.dispatch = over_rows(all, &StepSeconds::dispatch, moe_);
  out.combine = over_rows(all, &StepSeconds::combine, moe_);
  out.outside = over_rows(all, &StepSeconds::outside, 1);
  out.generated_core = over_rows(generated_, &StepSeconds::core, layers);
  out.head = over_rows(generated_, &StepSeconds::head, 1);
  put_mlps(all, out);
  out.share_on_core = share_on_core();
  return out;
}

void Measurement::put_mlps(const std::vector<Measured>& all, Stages& out) const {
  const double dense = config_.layers - moe_;
  // Dense layers of the shared experts' width cannot be told from them, and take the same time.
  const bool are_alike = dense > 0 && config_.dense_width == config_.moe.shared_width;
  out.shared = over_rows(all, &StepSeconds::shared, are_alike ? config_.layers : moe_);
  out.dense = are_alike ? out.shared : over_rows(all, &StepSeconds::dense, dense);
  std::vector<Curve::Point> experts;
  for (const Measured& m : all) {
    const double touched = m.seconds.touched;
    if (touched > 0) experts.push_back({m.seconds.pairs / touched, m.seconds.routed / touched});
  }
  out.expert = curve_of(std::move(experts));
}

// Attention of one row in one layer.
Curve Measurement::over_contexts(const std::vector<Measured>& all) const {
  std::vector<Curve::Point> points;
  for (const Measured& m : all)
    points.push_back({m.step.mean_context(), m.seconds.core / config_.layers / m.step.rows()});
  return curve_of(std::move(points));
}

Curve Measurement::generated_by_context() const { return over_contexts(contexts_); }

Curve Measurement::prompt_by_context() const {
  std::vector<Measured> all = short_prompts_;
  for (const Measured& m : prompts_)
    if (m.step.rows() >= prompt_rows_of_contexts / 2) all.push_back(m);
  return over_contexts(all);
}

}  // namespace

Stages measure_stages(StepProbe& probe, const model::ModelConfig& config, const StageGrid& grid) {
  Measurement measurement(probe, config, grid);
  measurement.add_contexts();
  measurement.measure();
  Stages out = measurement.stages();
  out.generated_by_context = measurement.generated_by_context();
  out.prompt_by_context = measurement.prompt_by_context();
  return out;
}

Stages measure_halves(StepProbe& probe, const model::ModelConfig& config, const StageGrid& grid, const Stages& one) {
  Measurement measurement(probe, config, grid);
  measurement.measure();
  Stages out = measurement.stages();
  out.generated_by_context = one.generated_by_context;
  out.prompt_by_context = one.prompt_by_context;
  return out;
}

}  // namespace moemill::bench
