#include "layers/experts.hpp"

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"
#include "layers/working_set.hpp"

namespace moemill::layers {
namespace {

using ExpertBegin = std::span<const std::uint32_t>;

std::size_t expert_of(ExpertBegin begin, std::size_t pair) {
  return static_cast<std::size_t>(std::upper_bound(begin.begin(), begin.end(), pair) - begin.begin()) - 1;
}

// Where the group that starts at pair `first` ends: whole experts while they fit (a product of few rows reads its
// weights for little), a part of one only where it alone is too long.
std::size_t group_end(ExpertBegin begin, std::size_t first, std::size_t most_rows) {
  std::size_t end = first;
  for (std::size_t e = expert_of(begin, first); e + 1 < begin.size() && begin[e + 1] <= first + most_rows; ++e)
    end = begin[e + 1];
  return end > first ? end : first + most_rows;
}

// Calls piece(expert, first_pair, rows) for every expert with pairs in [first, end).
template <class Piece>
void for_each_piece(ExpertBegin begin, std::size_t first, std::size_t end, Piece&& piece) {
  for (std::size_t e = expert_of(begin, first); first < end; ++e) {
    std::size_t stop = std::min<std::size_t>(begin[e + 1], end);
    if (stop > first) piece(e, first, stop - first);
    first = stop;
  }
}

// What a stretch of pairs is computed with; all of these are [pairs of the stretch, their width].
struct Stretch {
  float* gate_up;
  bf16* inner;
  float* down;
  bf16* rounded;
};

void activate(cpu::Stream& stream, const model::Moe& moe, const model::MlpWeights& shape, const Stretch& s,
              std::size_t rows) {
  const std::size_t stride = shape.gate_up.n, width = shape.width;
  if (moe.activation == model::Activation::Silu)
    cpu::swiglu(stream, s.gate_up, stride, shape.up_offset, rows, width, s.inner, width);
  else
    cpu::clamped_swiglu(stream, s.gate_up, stride, shape.up_offset, rows, width, moe.activation_limit, s.inner, width);
}

// rows of pairs [first, end) += their expert's bias, where the model has one.
void add_biases(cpu::Stream& stream, std::span<const model::MlpWeights> experts, const float* model::MlpWeights::*bias,
                ExpertBegin begin, std::size_t first, std::size_t end, float* rows, std::size_t width,
                MlpScratch& scratch) {
  if (experts.front().*bias == nullptr) return;
  scratch.biases.clear();
  for_each_piece(begin, first, end, [&](std::size_t expert, std::size_t, std::size_t count) {
    scratch.biases.insert(scratch.biases.end(), count, experts[expert].*bias);
  });
  cpu::add_biases(stream, rows, width, scratch.biases.data(), end - first, width);
}

}  // namespace

void run_experts(cpu::Stream& stream, const model::Moe& moe, std::span<const model::MlpWeights> experts,
                 const ReceivedRows& received, MlpScratch& scratch) {
  expect(received.expert_begin.size() == experts.size() + 1, "run_experts: one list of pairs an expert");
  if (received.row.empty()) return;
  const model::MlpWeights& shape = experts.front();  // all routed experts of a layer have one shape
  std::size_t inner_width = shape.gate_up.n, width = shape.width, hidden = shape.down.n;
  std::size_t most_rows =
      std::min(expert_group_rows({inner_width, width, hidden}, stream.team().size()), received.row.size());
  const Stretch s{scratch.gate_up.reserve(most_rows * inner_width), scratch.inner.reserve(most_rows * width),
                  scratch.down.reserve(most_rows * hidden), scratch.rounded.reserve(most_rows * hidden)};

  ExpertBegin begin = received.expert_begin;
  for (std::size_t first = 0, end; first < received.row.size(); first = end) {
    end = group_end(begin, first, most_rows);
    scratch.problems.clear();
    for_each_piece(begin, first, end, [&](std::size_t expert, std::size_t pair, std::size_t rows) {
      scratch.problems.push_back({{received.rows, received.stride, &received.row[pair]},
                                  rows,
                                  experts[expert].gate_up,
                                  s.gate_up + (pair - first) * inner_width,
                                  inner_width});
    });
    cpu::gemm_grouped(stream, scratch.problems);
    add_biases(stream, experts, &model::MlpWeights::gate_up_bias, begin, first, end, s.gate_up, inner_width, scratch);
    activate(stream, moe, shape, s, end - first);
    scratch.problems.clear();
    for_each_piece(begin, first, end, [&](std::size_t expert, std::size_t pair, std::size_t rows) {
      scratch.problems.push_back({{s.inner + (pair - first) * width, width},
                                  rows,
                                  experts[expert].down,
                                  s.down + (pair - first) * hidden,
                                  hidden});
    });
    cpu::gemm_grouped(stream, scratch.problems);
    add_biases(stream, experts, &model::MlpWeights::down_bias, begin, first, end, s.down, hidden, scratch);
    cpu::round_rows(stream, s.down, hidden, end - first, hidden, s.rounded, hidden);
    stream.team().parallel_for(end - first, 16, [&](std::size_t from, std::size_t to, int) {
      for (std::size_t i = from; i < to; ++i)
        std::memcpy(received.outputs + received.place[first + i] * hidden, s.rounded + i * hidden,
                    hidden * sizeof(bf16));
    });
    stream.between_pieces();
  }
}

}  // namespace moemill::layers
