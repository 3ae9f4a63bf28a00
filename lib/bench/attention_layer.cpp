#include "bench/attention_layer.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "base/numbers/random.hpp"
#include "base/numbers/rounding.hpp"
#include "bench/random_values.hpp"
#include "kernels/matrix.hpp"
#include "layers/cache_pages.hpp"

namespace moemill::bench {

namespace {

using schedule::page_tokens;
using schedule::RowKind;

constexpr LayerId only_layer{0};

std::uint32_t pages_for(const model::ModelConfig& config, std::uint64_t bytes) {
  const std::uint64_t page = std::uint64_t{page_tokens} * model::kv_width(config) * sizeof(bf16);
  return static_cast<std::uint32_t>(divide_up(bytes, page));
}

std::array<std::uint32_t, schedule::page_groups> pages_by_group(std::size_t group, std::uint32_t pages) {
  std::array<std::uint32_t, schedule::page_groups> out{};
  out[group] = pages;
  return out;
}

std::vector<PageId> shuffled_pages(std::uint32_t pages) {
  std::vector<PageId> out(pages);
  for (std::uint32_t p = 0; p < pages; ++p) out[p] = {static_cast<std::int32_t>(p)};
  for (std::uint32_t p = pages; p > 1; --p) std::swap(out[p - 1], out[philox(5, p)[0] % p]);
  return out;
}

std::uint32_t window_of(const model::ModelConfig& config) {
  return model::windowed_layers(config) > 0 ? config.gqa.window : 0;
}

}  // namespace

AttentionNeeds needs_of(const model::ModelConfig& config, const AttentionStep& step) {
  const std::uint32_t window = window_of(config);
  const auto seen_by = [&](std::uint32_t position) {
    return static_cast<double>(window ? std::min(window, position + 1) : position + 1);
  };
  double pairs = 0;
  for (std::uint32_t t = step.context - step.rows; t < step.context; ++t) pairs += seen_by(t);
  const double sequences = step.sequences, rows = step.rows;
  const double of_one = std::min<double>(step.context, seen_by(step.context - step.rows) + rows - 1);
  const double shared = std::min<double>(step.shared, of_one - rows);
  const double positions = shared + sequences * (of_one - shared);
  AttentionNeeds needs{0, positions * model::kv_width(config) * sizeof(bf16), 0};
  if (config.attention == model::AttentionKind::Grouped) {
    needs.operations = sequences * pairs * 4.0 * config.gqa.heads * config.gqa.head_dim;
    return needs;
  }
  const model::Mla& mla = config.mla;
  const double heads = mla.heads, latent = mla.kv_lora_rank;
  const bool absorbed = step.kind == RowKind::Generated;
  const double width = absorbed ? 2 * latent + mla.qk_rope_dim : mla.qk_nope_dim + mla.qk_rope_dim + mla.v_dim;
  needs.operations = sequences * pairs * 2.0 * heads * width;
  needs.product_operations =
      (absorbed ? sequences * rows : positions) * 2.0 * heads * latent * (mla.qk_nope_dim + mla.v_dim);
  return needs;
}

AttentionLayer::AttentionLayer(cpu::Stream& stream, model::ModelConfig config, std::uint64_t cache_bytes)
    : stream_(stream),
      config_(std::move(config)),
      group_(static_cast<std::size_t>(layers::page_group(config_, only_layer))),
      pages_(pages_for(config_, cache_bytes)),
      order_(shuffled_pages(pages_)),
      cache_(config_, pages_by_group(group_, pages_)),
      rope_(config_.rope),
      attention_(stream, config_, cache_) {
  config_.attention == model::AttentionKind::Latent ? make_latent_weights() : make_grouped_weights();
  fill_cache();
}

// All matrices have the same values, and memory of their own.
cpu::Matrix AttentionLayer::matrix(std::uint32_t inputs, std::uint32_t outputs) {
  cpu::Matrix out{nullptr, inputs, outputs, cpu::Format::Bf16, 0, 0, stream_.order()};
  std::vector<bf16> row(std::size_t{inputs} * 64);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = to_bf16(0.2f * value_at(2, i));
  matrices_.emplace_back();
  bf16* packed = matrices_.back().reserve(cpu::packed_bytes(out) / sizeof(bf16));
  for (std::uint32_t column = 0; column < outputs; column += 64) {
    cpu::pack(packed, out, {0, inputs, column, std::min<std::uint32_t>(64, outputs - column)}, row.data(), inputs, 1);
  }
  out.data = reinterpret_cast<const std::byte*>(packed);
  return out;
}

void AttentionLayer::make_latent_weights() {
  const model::Mla& mla = config_.mla;
  auto& weights = weights_.attention.emplace<model::MlaWeights>();
  latent_norm_.assign(mla.kv_lora_rank, 1.0f);
  weights.kv_a_norm = {latent_norm_.data(), latent_norm_.size()};
  weights.q = matrix(config_.hidden, mla.heads * (mla.qk_nope_dim + mla.qk_rope_dim));
  weights.kv_a = matrix(config_.hidden, mla.kv_lora_rank + mla.qk_rope_dim);
  for (std::uint32_t head = 0; head < mla.heads; ++head) {
    weights.key_up.push_back(matrix(mla.kv_lora_rank, mla.qk_nope_dim));
    weights.value_up.push_back(matrix(mla.kv_lora_rank, mla.v_dim));
    weights.key_absorb.push_back(matrix(mla.qk_nope_dim, mla.kv_lora_rank));
  }
  weights.out = matrix(mla.heads * mla.v_dim, config_.hidden);
}

void AttentionLayer::make_grouped_weights() {
  const model::Gqa& gqa = config_.gqa;
  auto& weights = weights_.attention.emplace<model::GqaWeights>();
  weights.q = matrix(config_.hidden, gqa.heads * gqa.head_dim);
  weights.k = matrix(config_.hidden, gqa.kv_heads * gqa.head_dim);
  weights.v = matrix(config_.hidden, gqa.kv_heads * gqa.head_dim);
  weights.out = matrix(gqa.heads * gqa.head_dim, config_.hidden);
}

// Every page has the values of the first one.
void AttentionLayer::fill_cache() {
  const Rows<bf16> slots = cache_.layer(only_layer);
  const std::size_t page = page_tokens * cache_.width();
  for (std::size_t i = 0; i < page; ++i) slots.data[i] = to_bf16(value_at(4, i));
  for (std::size_t p = 1; p < pages_; ++p) std::memcpy(slots.data + p * page, slots.data, page * sizeof(bf16));
}

schedule::Step AttentionLayer::make_step(const AttentionStep& shape, std::size_t index,
                                         std::size_t pages_per_sequence) const {
  schedule::Step step;
  const std::uint32_t first = shape.context - shape.rows, window = window_of(config_);
  for (std::uint32_t s = 0; s < shape.sequences; ++s) {
    std::vector<PageId>& pages = step.pages[group_];
    step.segments.push_back({shape.kind, step.rows(), shape.rows, first, static_cast<std::uint32_t>(pages.size()),
                             divide_up(shape.context, page_tokens)});
    const std::uint32_t unseen = window && first >= window ? (first - window + 1) / page_tokens : 0;
    pages.insert(pages.end(), unseen, PageId{-1});
    for (std::size_t p = 0; p < pages_per_sequence; ++p) {
      const std::size_t owner = (unseen + p) * page_tokens < shape.shared ? 0 : s;
      pages.push_back(order_[((index * shape.sequences + owner) * pages_per_sequence + p) % pages_]);
    }
    for (std::uint32_t i = 0; i < shape.rows; ++i) {
      step.tokens.push_back({});
      step.positions.push_back(first + i);
    }
  }
  return step;
}

void AttentionLayer::plan(const AttentionStep& shape) {
  const std::uint32_t first = shape.context - shape.rows, window = window_of(config_);
  const std::uint32_t unseen = window && first >= window ? (first - window + 1) / page_tokens : 0;
  const std::size_t per_sequence = divide_up(shape.context, page_tokens) - unseen;
  const std::size_t steps = std::max<std::size_t>(1, pages_ / (per_sequence * shape.sequences));
  steps_.clear();
  steps_.resize(steps);  // first, because work points to its plan
  for (std::size_t i = 0; i < steps; ++i) {
    const schedule::Step step = make_step(shape, i, per_sequence);
    layers::plan_attention(step, step.segments, rope_, steps_[i].plan);
    attention_.prepare(steps_[i].plan, steps_[i].work);
  }
  const std::size_t values = std::size_t{shape.sequences} * shape.rows * config_.hidden;
  rounded_.reserve(values), exact_.reserve(values), out_.reserve(values);
  for (std::size_t i = 0; i < values; ++i) {
    exact_[i] = value_at(1, i);
    rounded_[i] = to_bf16(exact_[i]);
  }
}

void AttentionLayer::run(std::size_t call) {
  const Planned& step = steps_[call % steps_.size()];
  const std::size_t rows = step.plan.rows, hidden = config_.hidden;
  const Rows<const bf16> rounded(rounded_.data(), rows, hidden);
  const Rows<const float> exact(exact_.data(), rows, hidden);
  attention_.run(weights_, only_layer, step.work, rounded, exact, out_.rows(rows, hidden));
}

}  // namespace moemill::bench
