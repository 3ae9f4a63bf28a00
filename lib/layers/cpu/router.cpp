#include "layers/cpu/router.hpp"

#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"

namespace moemill::cpu {
namespace {

constexpr float lowest = -std::numeric_limits<float>::infinity();

// The values that are compared: scores with their biases, where NaN becomes the lowest value.
void choose_by(const float* scores, const float* bias, std::size_t experts, float* choice) {
  for (std::size_t e = 0; e < experts; ++e) {
    float c = bias ? scores[e] + bias[e] : scores[e];
    choice[e] = c == c ? c : lowest;
  }
}

float group_value(const float* choice, std::size_t width, model::GroupScore kind) {
  float first = lowest, second = lowest;
  for (std::size_t e = 0; e < width; ++e) {
    second = std::max(second, std::min(first, choice[e]));
    first = std::max(first, choice[e]);
  }
  return kind == model::GroupScore::Largest || width == 1 ? first : first + second;
}

// The `wanted` largest of values[0, count), best first, ties to the lowest index: insertion into a short sorted list.
// A value has to beat the last of the list, which few do, so this is one compare an element.
void select_best(const float* values, std::size_t count, std::size_t wanted, float* best_value, std::int32_t* best) {
  std::size_t held = 0;
  for (std::size_t i = 0; i < count; ++i) {
    float v = values[i];
    if (held == wanted && !(v > best_value[wanted - 1])) continue;
    std::size_t at = held < wanted ? held++ : wanted - 1;
    for (; at > 0 && v > best_value[at - 1]; --at) {
      best_value[at] = best_value[at - 1];
      best[at] = best[at - 1];
    }
    best_value[at] = v;
    best[at] = static_cast<std::int32_t>(i);
  }
}

// The same over the experts of the kept groups alone; `kept` is ascending, so ties still go to the lowest id.
// Experts outside are no candidates at all: a masked value of any size could win where kept ones are -inf.
std::size_t gather_kept(const float* choice, const std::int32_t* kept, std::size_t groups_kept, std::size_t group_width,
                        float* candidates, std::int32_t* ids) {
  std::size_t count = 0;
  for (std::size_t g = 0; g < groups_kept; ++g) {
    std::size_t first = static_cast<std::size_t>(kept[g]) * group_width;
    for (std::size_t e = first; e < first + group_width; ++e, ++count) {
      candidates[count] = choice[e];
      ids[count] = static_cast<std::int32_t>(e);
    }
  }
  return count;
}

constexpr std::size_t routed_between_looks = 16;  // at what else wants attention

struct RowScratch {
  float* choice;        // [experts]
  float* candidates;    // [experts]
  float* best_value;    // [experts]: picks or groups, both at most experts
  float* group_values;  // [experts]
  std::int32_t* ids;    // [experts]
  std::int32_t* best;   // [experts]
};
constexpr std::size_t scratch_arrays = 6;

RowScratch carve(std::byte* memory, std::size_t experts) {
  auto array = [&](std::size_t i) { return memory + i * experts * sizeof(float); };
  auto floats = [&](std::size_t i) { return reinterpret_cast<float*>(array(i)); };
  auto ints = [&](std::size_t i) { return reinterpret_cast<std::int32_t*>(array(i)); };
  return {floats(0), floats(1), floats(2), floats(3), ints(4), ints(5)};
}

void pick_row(const model::Moe& moe, const float* bias, const float* scores, GlobalExpert* picks, RowScratch s) {
  choose_by(scores, bias, moe.experts, s.choice);
  if (moe.groups_kept >= moe.groups) {
    select_best(s.choice, moe.experts, moe.picks, s.best_value, s.best);
    for (std::size_t p = 0; p < moe.picks; ++p) picks[p] = {s.best[p]};
    return;
  }
  std::size_t width = moe.experts / moe.groups;
  for (std::size_t g = 0; g < moe.groups; ++g)
    s.group_values[g] = group_value(s.choice + g * width, width, moe.group_score);
  select_best(s.group_values, moe.groups, moe.groups_kept, s.best_value, s.best);
  std::sort(s.best, s.best + moe.groups_kept);
  std::size_t count = gather_kept(s.choice, s.best, moe.groups_kept, width, s.candidates, s.ids);
  select_best(s.candidates, count, moe.picks, s.best_value, s.best);
  for (std::size_t p = 0; p < moe.picks; ++p) picks[p] = {s.ids[s.best[p]]};
}

// Softmax over the picks' logits, in pick order; the first is the largest.
void softmax_picks(Stream& stream, const model::Moe& moe, const float* logits, const GlobalExpert* picks,
                   float* weights) {
  for (std::size_t p = 0; p < moe.picks; ++p) weights[p] = logits[picks[p].value];
  const float sum = exp_row(stream, {weights, moe.picks}, weights[0], 1.0f, {weights, moe.picks});
  for (std::size_t p = 0; p < moe.picks; ++p) weights[p] = weights[p] / sum * moe.scale;
}

void weigh_row(const model::Moe& moe, const float* scores, const GlobalExpert* picks, float* weights) {
  float sum = 0;
  for (std::size_t p = 0; p < moe.picks; ++p) {
    weights[p] = scores[picks[p].value];
    sum += weights[p];
  }
  sum += moe.normalize_eps;
  for (std::size_t p = 0; p < moe.picks; ++p) {
    if (moe.normalize) weights[p] /= sum;
    weights[p] *= moe.scale;
  }
}

}  // namespace

void route(Stream& stream, const model::Moe& moe, Vector<const float> selection_bias, Rows<float> logits,
           Rows<GlobalExpert> picks, Rows<float> weights) {
  expect(picks.width == moe.picks && weights.width == moe.picks && picks.rows == logits.rows,
         "route: there is a place for every pick");
  expect(moe.groups > 0 && moe.experts % moe.groups == 0, "route: groups divide the experts");
  expect(moe.groups_kept > 0 && moe.picks <= moe.experts / moe.groups * std::min(moe.groups_kept, moe.groups),
         "route: the kept groups have enough experts");
  if (logits.rows == 0) return;

  const bool scored = moe.score != model::RouterScore::SoftmaxOfPicks;
  if (moe.score == model::RouterScore::Softmax) softmax_rows(stream, logits);
  if (moe.score == model::RouterScore::Sigmoid) sigmoid_rows(stream, logits);

  stream.team().parallel_for(logits.rows, 8, [&](std::size_t begin, std::size_t end, int thread) {
    std::byte* memory = stream.scratch(thread, scratch_arrays * moe.experts * sizeof(float));
    RowScratch scratch = carve(memory, moe.experts);
    for (std::size_t r = begin; r < end; ++r) {
      const float* scores = logits.row(r);
      pick_row(moe, selection_bias.data, scores, picks.row(r), scratch);
      if (scored)
        weigh_row(moe, scores, picks.row(r), weights.row(r));
      else
        softmax_picks(stream, moe, scores, picks.row(r), weights.row(r));
      if (r % routed_between_looks == 0) stream.between_pieces(thread);
    }
  });
}

Router::Router(Stream& stream, const model::ModelConfig& config) : stream_(stream), moe_(config.moe) {
  std::size_t counts = 0;
  for (bool is_moe : config.layer_is_moe) {
    counted_.push_back(counts);
    if (is_moe) counts += moe_.experts;
  }
  counts_.resize(counts);
}

void Router::reserve(std::size_t rows) {
  scores_.reserve(rows * moe_.experts);
  part_.reserve(rows * moe_.experts);
}

// A router stored in fp32 is the sum of three of bf16, and so are its logits; the parts join in their order.
void Router::run_logits(const model::MoeWeights& weights, Rows<const float> rows) {
  rows_ = rows.rows;
  reserve(rows_);
  const Rows<float> logits = scores_.rows(rows_, moe_.experts), part = part_.rows(rows_, moe_.experts);
  gemm(stream_, rows, weights.router, logits);
  for (const Matrix& rest : weights.router_rest) {
    if (rest.data == nullptr) continue;
    gemm(stream_, rows, rest, part);
    add_rows(stream_, logits, part);
  }
  if (weights.router_bias) add_bias(stream_, logits, weights.router_bias);
}

void Router::route(const model::MoeWeights& weights, LayerId layer, Rows<GlobalExpert> picks,
                   Rows<float> pick_weights) {
  cpu::route(stream_, moe_, weights.selection_bias, scores_.rows(rows_, moe_.experts), picks, pick_weights);
  std::uint64_t* counts = counts_.data() + counted_[static_cast<std::size_t>(layer.value)];
  for (std::size_t r = 0; r < picks.rows; ++r) {
    for (std::size_t p = 0; p < picks.width; ++p) ++counts[picks.row(r)[p].value];
  }
}

}  // namespace moemill::cpu
