#include "layers/route.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "base/error.hpp"
#include "kernels/rows.hpp"

namespace moemill::layers {
namespace {

constexpr float lowest = -std::numeric_limits<float>::infinity();

// What is compared: the score with its bias, NaN as the lowest value.
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
void softmax_picks(cpu::Stream& stream, const model::Moe& moe, const float* logits, const GlobalExpert* picks,
                   float* weights) {
  for (std::size_t p = 0; p < moe.picks; ++p) weights[p] = logits[picks[p].value];
  const float sum = cpu::exp_row(stream, weights, moe.picks, weights[0], 1.0f, weights);
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

void route(cpu::Stream& stream, const model::Moe& moe, const float* selection_bias, float* logits, std::size_t stride,
           std::size_t rows, std::span<GlobalExpert> picks, std::span<float> weights) {
  expect(picks.size() == rows * moe.picks && weights.size() == picks.size(), "route: room for every pick");
  expect(moe.groups > 0 && moe.experts % moe.groups == 0, "route: groups divide the experts");
  expect(moe.groups_kept > 0 && moe.picks <= moe.experts / moe.groups * std::min(moe.groups_kept, moe.groups),
         "route: the kept groups have enough experts");
  if (rows == 0) return;

  const bool scored = moe.score != model::RouterScore::SoftmaxOfPicks;
  if (moe.score == model::RouterScore::Softmax) cpu::softmax_rows(stream, logits, stride, rows, moe.experts);
  if (moe.score == model::RouterScore::Sigmoid) cpu::sigmoid_rows(stream, logits, stride, rows, moe.experts);

  stream.team().parallel_for(rows, 8, [&](std::size_t begin, std::size_t end, int thread) {
    std::byte* memory = stream.scratch(thread, scratch_arrays * moe.experts * sizeof(float));
    RowScratch scratch = carve(memory, moe.experts);
    for (std::size_t r = begin; r < end; ++r) {
      const float* scores = logits + r * stride;
      pick_row(moe, selection_bias, scores, &picks[r * moe.picks], scratch);
      if (scored)
        weigh_row(moe, scores, &picks[r * moe.picks], &weights[r * moe.picks]);
      else
        softmax_picks(stream, moe, scores, &picks[r * moe.picks], &weights[r * moe.picks]);
    }
  });
}

void count_picks(std::span<const GlobalExpert> picks, std::span<std::uint64_t> counts) {
  for (GlobalExpert expert : picks) ++counts[static_cast<std::size_t>(expert.value)];
}

}  // namespace moemill::layers
