// The bodies of layers/forward.hpp, for the one file per backend that instantiates them.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "kernels/rows.hpp"
#include "layers/block.inl"
#include "layers/forward.hpp"
#include "layers/micro_batches.hpp"

namespace moemill::layers {

constexpr std::uint32_t positions_at_start = 8192;  // rotary tables of longer sequences are made when one is there

// Lets rows in flight move between the stream's pieces of work while it lives, and whatever else wants to. A rank alone
// has no such rows.
template <class B>
class ProgressBetweenPieces {
 public:
  ProgressBetweenPieces(typename B::Stream& stream, typename B::Exchange& exchange, std::size_t ranks)
      : stream_(stream), exchange_(ranks > 1 ? &exchange : nullptr) {
    also({});
  }
  ~ProgressBetweenPieces() { stream_.set_between_pieces({}); }
  ProgressBetweenPieces(const ProgressBetweenPieces&) = delete;
  ProgressBetweenPieces& operator=(const ProgressBetweenPieces&) = delete;

  void also(std::function<void()> hook) {
    if (!exchange_) return stream_.set_between_pieces(std::move(hook));
    stream_.set_between_pieces([exchange = exchange_, hook = std::move(hook)] {
      exchange->progress();
      if (hook) hook();
    });
  }

 private:
  typename B::Stream& stream_;
  typename B::Exchange* exchange_;
};

template <class B>
struct Forward<B>::State {
  using Space = typename B::Space;
  template <class T>
  using Buffer = typename B::template Buffer<T>;

  State(Stream& stream, const model::ModelConfig& config, const Weights& weights, const model::Placement& placement,
        DomainSite site, const ForwardSettings& settings);

  // The micro-batches that the step goes through the layers in.
  std::span<MicroBatch<B>> split(const schedule::Step& step);
  void embed(const schedule::Step& step);
  void trace_all_logits();
  void draw(const sample::Draws& draws);

  Stream& stream;
  const model::ModelConfig& config;
  const Weights& weights;
  const ForwardSettings settings;
  const bool is_first_of_domain;
  typename B::KvCache cache;
  RopeTable rope;
  typename B::Exchange exchange;
  ProgressBetweenPieces<B> progress;
  typename B::Attention attention;
  typename B::Router router;
  typename B::Experts experts;
  typename B::Head head;
  typename B::Sampler sampler;
  std::vector<MicroBatch<B>> batches;
  Halves halves;           // of the step, where there are two micro-batches
  Buffer<float> hidden;    // [rows, hidden] the residual stream
  Buffer<TokenId> tokens;  // [rows] where the backend cannot read the host's
  ForwardTotals totals;
};

template <class B>
Forward<B>::State::State(Stream& stream_, const model::ModelConfig& config_, const Weights& weights_,
                         const model::Placement& placement, DomainSite site, const ForwardSettings& settings_)
    : stream(stream_),
      config(config_),
      weights(weights_),
      settings(settings_),
      is_first_of_domain(site.comm.rank() == 0),
      cache(config, {settings.pages, settings.window_pages}),
      rope(config.rope),
      exchange(stream, std::move(site), placement),
      progress(stream, exchange, placement.ranks()),
      attention(stream, config, cache),
      router(stream, config),
      experts(stream, config.moe),
      head(stream, config, weights),
      sampler(stream, config.vocabulary) {
  expect(settings.micro_batches == 1 || settings.micro_batches == 2, "forward: one or two micro-batches");
  batches.resize(settings.micro_batches);
  rope.grow(std::min(settings.max_positions, positions_at_start));
  const std::size_t rows = settings.max_rows;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    batches[i].channel = static_cast<int>(i);
    batches[i].normed_places = exchange.rows(batches[i].channel);
    batches[i].reserve(config, i == 0 ? rows : larger_half(settings.max_rows));
  }
  attention.reserve(rows);
  router.reserve(rows);
  hidden.reserve(static_cast<std::size_t>(settings.max_rows) * config.hidden);
  head.reserve(settings.max_rows);
}

template <class B>
std::span<MicroBatch<B>> Forward<B>::State::split(const schedule::Step& step) {
  expect(step.micro_batches >= 1 && step.micro_batches <= batches.size(), "step: as many micro-batches as are there");
  const std::span used = std::span(batches).first(step.micro_batches);
  if (used.size() == 1) {
    plan_attention(step, step.segments, rope, batches[0].plan);
  } else {
    halve(step.segments, halves);
    for (std::size_t i = 0; i < halves.size(); ++i) plan_attention(step, halves[i], rope, batches[i].plan);
  }
  const auto rows = hidden.rows(step.rows(), config.hidden);
  for (MicroBatch<B>& b : used) {
    attention.prepare(b.plan, b.attention);
    b.reserve(config, b.plan.rows);
    b.hidden = rows.range(b.plan.first_row, b.plan.rows);
  }
  if (is_first_of_domain) ++(used.size() == 1 ? totals.steps_with_one : totals.steps_with_two);
  return used;
}

template <class B>
void Forward<B>::State::embed(const schedule::Step& step) {
  gather_rows(stream, weights.embedding, upload(stream, std::span(step.tokens), tokens),
              hidden.rows(step.rows(), config.hidden));
}

template <class B>
void Forward<B>::State::trace_all_logits() {
  std::vector<float>& all = settings.trace->logits;
  all.resize(head.rows() * config.vocabulary);
  for (std::size_t r = 0; r < head.rows(); ++r) {
    download(stream, head.logits(r, 1).values, all.data() + r * config.vocabulary);
  }
}

// Requests come by ascending row, so those of the current rows are the next ones.
template <class B>
void Forward<B>::State::draw(const sample::Draws& draws) {
  std::size_t score = 0, sample = 0;
  for (std::size_t first = 0; first < head.rows(); first += B::Head::rows_at_a_time) {
    const std::size_t count = std::min(B::Head::rows_at_a_time, head.rows() - first);
    const auto behind = [&](const auto& requests, std::size_t from) {
      while (from < requests.size() && requests[from].row < first + count) ++from;
      return from;
    };
    const std::size_t scores = behind(draws.scores, score) - score, samples = behind(draws.samples, sample) - sample;
    if (scores + samples == 0) continue;
    PassScope scope(stream.passes(), Pass::Head);
    const auto logits = head.logits(first, count);
    scope.change(Pass::Drawing);
    const auto from = static_cast<std::uint32_t>(first);
    sampler.score(logits, from, draws.scores.subspan(score, scores), draws.logprobs.subspan(score, scores));
    sampler.sample(logits, from, draws.samples.subspan(sample, samples), draws.results.subspan(sample, samples));
    score += scores, sample += samples;
  }
  totals.passes = stream.passes().seconds();
  expect(score == draws.scores.size() && sample == draws.samples.size(), "draw: requests are about wanted rows");
}

template <class B>
Forward<B>::Forward(Stream& stream, const model::ModelConfig& config, const Weights& weights,
                    const model::Placement& placement, DomainSite site, const ForwardSettings& settings)
    : state_(std::make_unique<State>(stream, config, weights, placement, std::move(site), settings)) {}

template <class B>
Forward<B>::~Forward() = default;

template <class B>
void Forward<B>::while_computing(std::function<void()> hook) {
  state_->progress.also(std::move(hook));
}

template <class B>
void Forward<B>::run(const schedule::Step& step) {
  State& s = *state_;
  expect(step.positions.size() == step.tokens.size() && rows_of(step.segments) == step.rows(),
         "step: every row has a position and a segment");
  expect(step.rows() <= s.settings.max_rows, "step: no more rows than the pass was made for");
  BlockTools<B> tools{.stream = s.stream,
                      .config = s.config,
                      .attention = s.attention,
                      .router = s.router,
                      .experts = s.experts,
                      .exchange = s.exchange,
                      .totals = s.totals,
                      .trace = s.settings.trace,
                      .picks = nullptr,
                      .cache = s.cache};
  PickRecord* const record = s.settings.picks;
  if (record && record->steps_left > 0 && step.rows() > 0) tools.picks = record;
  s.hidden.reserve(static_cast<std::size_t>(step.rows()) * s.config.hidden);
  const std::span<MicroBatch<B>> batches = s.split(step);
  s.cache.copy(step.copies);
  s.embed(step);
  if (tools.trace) {
    *tools.trace = {};
    for (const MicroBatch<B>& b : batches) trace_embedding(*tools.trace, tools, b);
  }
  for (std::uint32_t l = 0; l < s.config.layers; ++l) {
    run_block(tools, s.weights.layers[l], {static_cast<std::int32_t>(l)}, batches);
  }
  finish_block(tools, {static_cast<std::int32_t>(s.config.layers) - 1}, batches);
  if (tools.picks) tools.picks->end_step();
  {
    const PassScope norms(s.stream.passes(), Pass::Norms);
    s.head.keep(s.hidden.rows(step.rows(), s.config.hidden), step.logit_rows);
  }
  if (tools.trace) s.trace_all_logits();
  s.totals.exchange = s.exchange.totals();
  s.totals.passes = s.stream.passes().seconds();
}

template <class B>
void Forward<B>::draw(const sample::Draws& draws) {
  state_->draw(draws);
}

template <class B>
void Forward<B>::fill_cache(std::uint64_t seed) {
  state_->cache.fill(state_->stream, seed);
}

template <class B>
const ForwardTotals& Forward<B>::totals() const {
  return state_->totals;
}
template <class B>
std::span<const std::uint64_t> Forward<B>::expert_counts() const {
  return state_->router.counts();
}
template <class B>
std::span<const std::uint64_t> Forward<B>::node_picks() const {
  return state_->exchange.node_picks();
}
template <class B>
std::uint64_t Forward<B>::kv_bytes() const {
  return state_->cache.bytes();
}

template <class B>
const NodeMemory& Forward<B>::node_memory() const {
  return state_->exchange.node_memory();
}

template <class B>
std::uint64_t Forward<B>::workspace_bytes() const {
  const State& s = *state_;
  std::uint64_t bytes = s.attention.workspace_bytes() + s.router.workspace_bytes() + s.experts.workspace_bytes() +
                        s.exchange.workspace_bytes() + s.head.workspace_bytes() + s.hidden.capacity_bytes() +
                        s.tokens.capacity_bytes() + s.rope.bytes();
  for (const MicroBatch<B>& b : s.batches) bytes += b.bytes();
  return bytes;
}

}  // namespace moemill::layers
