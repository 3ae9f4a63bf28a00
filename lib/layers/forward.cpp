#include "layers/forward.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "base/aligned.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"
#include "layers/block.hpp"

namespace moemill::layers {

using schedule::Segment;
using schedule::Step;

namespace {

constexpr std::size_t logit_rows_at_a_time = 128;   // what callers usually ask of logits()
constexpr std::uint32_t positions_at_start = 8192;  // rotary tables of longer sequences are made when one is there

std::size_t padded(std::size_t width) { return (width + 15) / 16 * 16; }

std::uint32_t rows_of(std::span<const Segment> segments) {
  std::uint32_t rows = 0;
  for (const Segment& s : segments) rows += s.rows;
  return rows;
}

// Rows of the larger of two halves at most, see below.
std::size_t larger_half(std::size_t rows) { return (rows + 1) / 2 + rows / 8; }

// Two parts of about as many rows: cut between two segments where that comes within an eighth of the middle, else
// through the one that lies there, whose second part then is like a later chunk of a prompt.
std::array<std::vector<Segment>, 2> halve(std::span<const Segment> segments) {
  std::array<std::vector<Segment>, 2> halves;
  const std::uint32_t rows = rows_of(segments), middle = (rows + 1) / 2, near = rows / 8;
  std::uint32_t done = 0;
  for (const Segment& s : segments) {
    const std::uint32_t end = done + s.rows;
    if (end <= middle + near) {
      halves[done >= middle].push_back(s);
    } else if (done + near >= middle) {
      halves[1].push_back(s);
    } else {
      Segment head = s, tail = s;
      head.rows = middle - done;
      tail.rows -= head.rows;
      tail.first_row += head.rows;
      tail.first_position += head.rows;
      halves[0].push_back(head);
      halves[1].push_back(tail);
    }
    done = end;
  }
  return halves;
}

// Lets rows in flight move between the stream's pieces of work while it lives.
class ProgressBetweenPieces {
 public:
  ProgressBetweenPieces(cpu::Stream& stream, Exchange& exchange) : stream_(stream) {
    stream_.set_between_pieces([&exchange] { exchange.progress(); });
  }
  ~ProgressBetweenPieces() { stream_.set_between_pieces({}); }
  ProgressBetweenPieces(const ProgressBetweenPieces&) = delete;
  ProgressBetweenPieces& operator=(const ProgressBetweenPieces&) = delete;

 private:
  cpu::Stream& stream_;
};

}  // namespace

struct Forward::State {
  State(cpu::Stream& stream, const model::ModelConfig& config, const model::Weights& weights, Comm domain,
        std::span<const int> nodes, const ForwardSettings& settings);

  void split(const Step& step);
  void keep_logit_rows(const Step& step);
  void update_totals();

  cpu::Stream& stream;
  const model::ModelConfig& config;
  const model::Weights& weights;
  const ForwardSettings settings;
  KvCache cache;
  RopeTable rope;
  Exchange exchange;
  std::optional<Mla> mla;  // as the model's AttentionKind says, the one or
  std::optional<Gqa> gqa;  // the other
  MlpScratch mlp;
  std::vector<MicroBatch> batches;
  AlignedBuffer<float> hidden;       // [rows, hidden] the residual stream
  AlignedBuffer<bf16> final_normed;  // [logit rows, hidden]
  AlignedBuffer<float> logits;       // [a few, vocabulary]
  std::size_t logit_rows = 0;
  ForwardTotals totals;
  std::vector<std::uint64_t> expert_counts;  // [moe layers, experts]
};

Forward::State::State(cpu::Stream& stream_, const model::ModelConfig& config_, const model::Weights& weights_,
                      Comm domain, std::span<const int> nodes, const ForwardSettings& settings_)
    : stream(stream_),
      config(config_),
      weights(weights_),
      settings(settings_),
      cache(config, {settings.pages, settings.window_pages}),
      rope(config.rope),
      exchange(stream, domain, {config.moe.experts, static_cast<std::uint32_t>(domain.size())}, config.hidden,
               config.moe.picks, nodes) {
  expect(settings.micro_batches == 1 || settings.micro_batches == 2, "forward: one or two micro-batches");
  batches.resize(settings.micro_batches);
  rope.grow(std::min(settings.max_positions, positions_at_start));
  const std::size_t rows = batches.size() == 1 ? settings.max_rows : larger_half(settings.max_rows);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    batches[i].channel = static_cast<int>(i);
    batches[i].reserve(config, rows);
  }
  if (config.attention == model::AttentionKind::Latent) {
    mla.emplace(stream, config, cache).reserve(rows);
  } else {
    gqa.emplace(stream, config, cache).reserve(rows);
  }
  hidden.reserve(static_cast<std::size_t>(settings.max_rows) * config.hidden);
  final_normed.reserve(static_cast<std::size_t>(settings.max_rows) * config.hidden);
  logits.reserve(logit_rows_at_a_time * padded(config.vocabulary));
  const auto moe_layers = std::count(config.layer_is_moe.begin(), config.layer_is_moe.end(), true);
  expert_counts.resize(static_cast<std::size_t>(moe_layers) * config.moe.experts);
}

void Forward::State::split(const Step& step) {
  if (batches.size() == 1) {
    plan_attention(step, step.segments, config.attention, rope, batches[0].plan);
  } else {
    const auto halves = halve(step.segments);
    for (std::size_t i = 0; i < halves.size(); ++i) {
      plan_attention(step, halves[i], config.attention, rope, batches[i].plan);
    }
  }
  for (MicroBatch& b : batches) {
    b.reserve(config, b.plan.rows);
    b.hidden = hidden.data() + static_cast<std::size_t>(b.plan.first_row) * config.hidden;
  }
}

// Runs of neighbouring rows are normed in one call.
void Forward::State::keep_logit_rows(const Step& step) {
  const auto& wanted = step.logit_rows;
  const std::size_t width = config.hidden;
  logit_rows = wanted.size();
  bf16* out = final_normed.reserve(logit_rows * width);
  for (std::size_t from = 0, to = 0; from < wanted.size(); from = to) {
    expect(wanted[from] < step.rows(), "step: logit rows are rows of the step");
    for (to = from + 1; to < wanted.size() && wanted[to] == wanted[to - 1] + 1;) ++to;
    cpu::rms_norm(stream, hidden.data() + wanted[from] * width, width, to - from, width, weights.final_norm,
                  config.norm_eps, out + from * width, width, nullptr, 0);
  }
}

void Forward::State::update_totals() {
  const ExchangeTotals& moved = exchange.totals();
  totals.exchange_seconds = moved.seconds;
  totals.rows_sent = moved.rows_sent;
  totals.rows_deduplicated = moved.rows_deduplicated;
  totals.intra_node_bytes = moved.intra_node_bytes;
  totals.inter_node_bytes = moved.inter_node_bytes;
}

Forward::Forward(cpu::Stream& stream, const model::ModelConfig& config, const model::Weights& weights, Comm domain,
                 std::span<const int> node_of_domain_rank, const ForwardSettings& settings)
    : state_(std::make_unique<State>(stream, config, weights, std::move(domain), node_of_domain_rank, settings)) {}

Forward::~Forward() = default;

void Forward::run(const Step& step) {
  State& s = *state_;
  expect(step.positions.size() == step.tokens.size() && rows_of(step.segments) == step.rows(),
         "step: every row has a position and a segment");
  BlockTools tools{.stream = s.stream,
                   .config = s.config,
                   .mla = s.mla ? &*s.mla : nullptr,
                   .gqa = s.gqa ? &*s.gqa : nullptr,
                   .exchange = s.exchange,
                   .mlp = s.mlp,
                   .totals = s.totals,
                   .trace = s.settings.trace,
                   .cache = s.cache};

  const ProgressBetweenPieces progress(s.stream, s.exchange);
  s.hidden.reserve(static_cast<std::size_t>(step.rows()) * s.config.hidden);
  s.split(step);
  s.cache.copy(step.copies);
  cpu::gather_rows(s.stream, s.weights.embedding, s.config.hidden, step.tokens.data(), step.rows(), s.hidden.data(),
                   s.config.hidden);
  if (tools.trace) {
    *tools.trace = {};
    for (const MicroBatch& b : s.batches) trace_embedding(*tools.trace, tools, b);
  }
  std::size_t moe_layer = 0;
  for (std::uint32_t l = 0; l < s.config.layers; ++l) {
    std::span<std::uint64_t> counts;
    if (s.config.layer_is_moe[l]) {
      counts = std::span(s.expert_counts).subspan(moe_layer++ * s.config.moe.experts, s.config.moe.experts);
    }
    run_block(tools, s.weights.layers[l], {static_cast<std::int32_t>(l)}, s.batches, counts);
  }
  finish_block(tools, {static_cast<std::int32_t>(s.config.layers) - 1}, s.batches);
  s.keep_logit_rows(step);
  s.update_totals();
}

const float* Forward::logits(std::size_t first, std::size_t count) {
  State& s = *state_;
  expect(first + count <= s.logit_rows, "logits: of wanted rows of the last step");
  const double start = now_seconds();
  float* out = s.logits.reserve(count * logits_stride());
  cpu::gemm(s.stream, cpu::RowsBf16{s.final_normed.data() + first * s.config.hidden, s.config.hidden}, count,
            s.weights.head, out, logits_stride());
  s.totals.head_seconds += now_seconds() - start;
  return out;
}

std::size_t Forward::logits_stride() const { return padded(state_->config.vocabulary); }
const ForwardTotals& Forward::totals() const { return state_->totals; }
std::span<const std::uint64_t> Forward::expert_counts() const { return state_->expert_counts; }
std::uint64_t Forward::kv_bytes() const { return state_->cache.bytes(); }

std::uint64_t Forward::workspace_bytes() const {
  const State& s = *state_;
  std::uint64_t bytes = (s.mla ? s.mla->workspace_bytes() : s.gqa->workspace_bytes()) + s.mlp.bytes() +
                        s.exchange.workspace_bytes() + s.hidden.capacity_bytes() + s.final_normed.capacity_bytes() +
                        s.logits.capacity_bytes() + s.rope.bytes();
  for (const MicroBatch& b : s.batches) bytes += b.bytes();
  return bytes;
}

std::uint64_t page_bytes(const model::ModelConfig& config, schedule::PageGroup group) {
  const std::uint64_t windowed = model::windowed_layers(config);
  const std::uint64_t layers = group == schedule::PageGroup::Window ? windowed : config.layers - windowed;
  return layers * schedule::page_tokens * model::kv_width(config) * sizeof(bf16);
}

}  // namespace moemill::layers
