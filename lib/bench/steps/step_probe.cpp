#include "bench/steps/step_probe.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "bench/peak/peak.hpp"
#include "bench/steps/drawing.hpp"
#include "bench/steps/over_ranks.hpp"
#include "bench/steps/timed_cpu.hpp"
#include "kernels/cpu/choose_isa.hpp"
#include "layers/dispatch/domain_site.hpp"
#include "layers/dispatch/table.hpp"
#include "layers/micro_batches.hpp"
#include "model/placement.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::bench {
namespace {

using calibration::Drawing;
using schedule::RowKind;
using schedule::Step;

// All members of StepSeconds, for sums and means.
constexpr double StepSeconds::*all_members[] = {&StepSeconds::whole,   &StepSeconds::projections, &StepSeconds::core,
                                                &StepSeconds::small,   &StepSeconds::dense,       &StepSeconds::shared,
                                                &StepSeconds::routed,  &StepSeconds::dispatch,    &StepSeconds::combine,
                                                &StepSeconds::head,    &StepSeconds::drawing,     &StepSeconds::outside,
                                                &StepSeconds::on_core, &StepSeconds::touched,     &StepSeconds::pairs};

// The mean of the faster half.
StepSeconds faster_half(std::vector<StepSeconds> steps) {
  std::sort(steps.begin(), steps.end(), [](const auto& a, const auto& b) { return a.whole < b.whole; });
  const std::size_t count = (steps.size() + 1) / 2;
  StepSeconds mean;
  for (double StepSeconds::*member : all_members) {
    for (std::size_t i = 0; i < count; ++i) mean.*member += steps[i].*member / static_cast<double>(count);
  }
  return mean;
}

// Random weights in memory that the ranks of a node share.
model::Weights load_dummy(const ProbeJob& job, const model::Placement& placement, const Comm& world,
                          TimedStream& stream) {
  const layers::DomainNodes nodes(job.node_of_rank);
  const model::NodeExperts experts = layers::experts_of(placement, nodes.ranks_of(nodes.node_of(world.rank())));
  model::WeightsLoad load({job.model_dir, job.config, placement, DomainRank{world.rank()}, "dummy", experts, experts},
                          stream.order());
  const Comm mates = world.split(job.node_of_rank[static_cast<std::size_t>(world.rank())], world.rank());
  if (mates.size() == 1) return load.carry_out(NodeMemory(load.memory_bytes(), "the model's weights"), stream.team());
  NodeMemory::Attempt shared = NodeMemory::share(mates, load.memory_bytes());
  if (!shared.memory.is_shared()) system_error("ranks of a node cannot share memory: {}", shared.why_not);
  return load.carry_out(std::move(shared.memory), stream.team());
}

}  // namespace

struct StepProbe::State {
  State(const ProbeJob& job, const Comm& world);

  StepSeconds run(const Step& step);
  StepSeconds totals() const;

  const Comm& world;
  const model::ModelConfig& config;
  const std::vector<int> node_of_rank;
  const model::Placement placement;
  TimedStream stream;
  const model::Weights weights;
  std::optional<layers::Forward<TimedCpu>> forward;
  std::uint32_t pages = 0;  // of a page group
  std::uint32_t micro_batches = 1;
  Step last_step;
  Drawer greedy{sampling_of("greedy"), config.vocabulary};
};

StepProbe::State::State(const ProbeJob& job, const Comm& world_)
    : world(world_),
      config(job.config),
      node_of_rank(job.node_of_rank.begin(), job.node_of_rank.end()),
      placement(model::contiguous_slices(config, static_cast<std::uint32_t>(world.size()))),
      stream(job.isa, cpu::choose_int8(job.isa).unit, job.threads),
      weights(load_dummy(job, placement, world, stream)) {}

StepProbe::StepProbe(const ProbeJob& job, const Comm& world) : state_(std::make_unique<State>(job, world)) {}
StepProbe::~StepProbe() = default;

void StepProbe::prepare(std::uint32_t micro_batches, std::uint32_t most_rows, std::uint32_t most_positions,
                        Cache cache) {
  State& s = *state_;
  const std::uint64_t page = std::uint64_t{schedule::page_tokens} * model::kv_bytes_per_token(s.config);
  const auto fit = static_cast<std::uint32_t>(std::min<std::uint64_t>(cache.most_bytes / page, cache.pages));
  s.pages = std::max({fit, pages_of(most_positions), pages_of(most_rows)});
  layers::ForwardSettings settings;
  settings.max_rows = most_rows;
  settings.max_positions = most_positions;
  const auto groups = groups_of(s.config);
  settings.pages = groups[0] ? s.pages : 0;
  settings.window_pages = groups[1] ? s.pages : 0;
  settings.micro_batches = s.micro_batches = micro_batches;
  s.forward.reset();  // before the memory of the next one is taken
  s.forward.emplace(s.stream, s.config, s.weights, s.placement,
                    layers::checked(layers::join_domain(s.world, s.node_of_rank, s.node_of_rank,
                                                        layers::exchange_shape(s.config, settings))),
                    settings);
  s.forward->fill_cache(static_cast<std::uint64_t>(s.world.rank()));
}

std::uint32_t StepProbe::sequences_that_fit(std::uint32_t positions) const {
  return state_->pages / pages_of(positions);
}

// Since the start; `whole` and `outside` are left out.
StepSeconds StepProbe::State::totals() const {
  const PassSeconds& passes = forward->totals().passes;
  const auto of = [&](Pass pass) { return passes[static_cast<std::size_t>(pass)]; };
  const StageSeconds& stages = stream.stages;
  StepSeconds t;
  t.projections = of(Pass::Projections), t.core = of(Pass::Attention), t.small = of(Pass::Norms) + of(Pass::Router);
  t.dense = stages.dense, t.shared = stages.shared, t.routed = stages.routed;
  t.dispatch = stages.dispatch, t.combine = stages.combine;
  t.head = of(Pass::Head), t.drawing = of(Pass::Drawing);
  t.touched = stages.touched, t.pairs = stages.pairs;
  return t;
}

StepSeconds StepProbe::State::run(const Step& step) {
  const StepSeconds before = totals();
  world.barrier();
  const double start = now_seconds(), cpu = read_clock(Clock::ThreadCpu);
  forward->run(step);
  greedy.draw(*forward, step.logit_rows.size());
  StepSeconds out = totals();
  for (double StepSeconds::*member : all_members) out.*member -= before.*member;
  out.whole = now_seconds() - start;
  out.on_core = read_clock(Clock::ThreadCpu) - cpu;
  out.outside = out.whole - out.projections - out.core - out.small - out.dense - out.shared - out.routed -
                out.dispatch - out.combine - out.head - out.drawing;
  return out;
}

double StepProbe::slowest(double mine) const { return over_ranks(state_->world, mine).slowest; }

StepSeconds StepProbe::measure(const ProbeStep& wanted, double seconds) {
  State& s = *state_;
  const auto me = static_cast<std::uint32_t>(s.world.rank());
  const Share mine{me * wanted.sequences, wanted.sequences};
  const bool is_prompt = wanted.kind == RowKind::Prompt;
  const auto step_number = [&](std::uint64_t key) {
    return is_prompt ? make_step(mine, wanted.kind, 0, wanted.context, key, s.config)
                     : make_step(mine, wanted.kind, wanted.context - 1, 1, key, s.config);
  };
  std::vector<StepSeconds> steps;
  for (std::uint64_t i = 0, count = 1; i < count; ++i) {
    s.last_step = step_number(1 + i);
    s.last_step.micro_batches = s.micro_batches;
    StepSeconds step = s.run(s.last_step);
    step.whole = slowest(step.whole);  // so that all ranks keep the same steps
    if (i == 0) count = static_cast<std::uint64_t>(std::clamp(seconds / step.whole, 1.0, 30.0));
    steps.push_back(step);
  }
  StepSeconds mean = faster_half(std::move(steps));
  for (double StepSeconds::*member : all_members) mean.*member = over_ranks(s.world, mean.*member).mean;
  return mean;
}

std::array<double, calibration::drawings> StepProbe::measure_drawings(std::uint32_t rows) {
  State& s = *state_;
  constexpr int samples = 5;
  std::array<double, calibration::drawings> seconds{};
  (void)measure({RowKind::Generated, rows, 2}, 0);
  std::vector<sample::ScoreRequest> targets(rows);
  std::vector<float> logprobs(rows);
  for (std::uint32_t i = 0; i < rows; ++i) targets[i].row = i;
  const auto draw = [&](Drawing drawing) {
    if (drawing == Drawing::Score)
      s.forward->draw({.scores = targets, .logprobs = logprobs, .samples = {}, .results = {}});
    else
      Drawer(sampling_of(calibration::name_of(drawing)), s.config.vocabulary).draw(*s.forward, rows);
  };
  for (std::size_t d = 0; d < calibration::drawings; ++d) {
    std::vector<double> taken;
    for (int sample = 0; sample < samples; ++sample) {
      s.world.barrier();
      const double before = s.totals().drawing;
      draw(static_cast<Drawing>(d));
      taken.push_back(s.totals().drawing - before);
    }
    std::nth_element(taken.begin(), taken.begin() + samples / 2, taken.end());
    seconds[d] = over_ranks(s.world, taken[samples / 2]).mean / rows;
  }
  return seconds;
}

}  // namespace moemill::bench
