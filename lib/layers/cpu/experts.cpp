// The routed experts.
#include "layers/cpu/experts.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "layers/working_set.hpp"

namespace moemill::cpu {
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

}  // namespace

void Experts::activate(const model::MlpWeights& shape, Rows<const float> gate_up, Rows<bf16> inner) {
  const Rows<const float> gate = gate_up.columns(0, shape.width), up = gate_up.columns(shape.up_offset, shape.width);
  if (moe_.activation == model::Activation::Silu)
    swiglu(stream_, gate, up, inner);
  else
    clamped_swiglu(stream_, gate, up, moe_.activation_limit, inner);
}

void Experts::run(std::span<const model::MlpWeights> experts, const layers::ReceivedRows<>& received) {
  expect(received.expert_begin.size == experts.size() + 1, "experts: one list of pairs per expert");
  const std::size_t pairs = received.row.size;
  if (pairs == 0) return;
  PassScope scope(stream_.passes(), Pass::Products);
  const model::MlpWeights& shape = experts.front();  // all routed experts of a layer have one shape
  const std::size_t inner_width = shape.gate_up.n, width = shape.width, hidden = shape.down.n;
  const std::size_t most_rows =
      std::min(layers::expert_group_rows({inner_width, width, hidden}, stream_.team().size()), pairs);
  const std::size_t gate_up_stride = layers::row_stride(inner_width), down_stride = layers::row_stride(hidden);
  gate_up_.reserve(most_rows * gate_up_stride), inner_.reserve(most_rows * width);
  down_.reserve(most_rows * down_stride);

  const ExpertBegin begin(received.expert_begin.data, received.expert_begin.size);
  for (std::size_t first = 0, end; first < pairs; first = end) {
    end = group_end(begin, first, most_rows);
    const std::size_t rows = end - first;
    const Rows<float> gate_up = gate_up_.rows(rows, inner_width, gate_up_stride);
    const Rows<float> down = down_.rows(rows, hidden, down_stride);
    const Rows<bf16> inner = inner_.rows(rows, width);
    problems_.clear(), pieces_.clear();
    for_each_piece(begin, first, end, [&](std::size_t expert, std::size_t pair, std::size_t count) {
      problems_.push_back({received.rows, experts[expert].gate_up, gate_up.range(pair - first, count),
                           received.row.range(pair, count)});
      pieces_.push_back({&experts[expert], received.place.range(pair, count)});
    });
    const auto add_gate_up_bias = [&](const GemmPart& part) {
      add_bias(stream_, part, problems_[part.problem].c, pieces_[part.problem].weights->gate_up_bias);
    };
    gemm_grouped(stream_, problems_, shape.gate_up_bias ? GemmEpilogue(add_gate_up_bias) : GemmEpilogue());
    scope.change(Pass::Activations);
    activate(shape, gate_up, inner);
    scope.change(Pass::Products);
    problems_.clear();
    for_each_piece(begin, first, end, [&](std::size_t expert, std::size_t pair, std::size_t count) {
      problems_.push_back(
          {inner.range(pair - first, count), experts[expert].down, down.range(pair - first, count), {}});
    });
    const auto finish = [&](const GemmPart& part) {
      const Piece& piece = pieces_[part.problem];
      const Rows<float> out = problems_[part.problem].c;
      if (piece.weights->down_bias) add_bias(stream_, part, out, piece.weights->down_bias);
      scatter_rounded(stream_, part, out, piece.place, received.outputs);
    };
    gemm_grouped(stream_, problems_, GemmEpilogue(finish));
  }
}

}  // namespace moemill::cpu
