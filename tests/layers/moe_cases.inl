// A whole routed layer over a domain: route, dispatch, experts, combine. Rows and weights come from one seed; row i of
// the layer lies on rank i % size. Compared byte for byte with the same rows on one rank.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/numbers/random.hpp"
#include "kernels/rows.hpp"
#include "layers/on_cpu.hpp"
#include "support/placements.hpp"

namespace moemill::test {

constexpr std::uint32_t moe_hidden = 48, moe_width = 40, moe_up_offset = 64;

inline float unit_value(std::uint64_t key, std::uint64_t i) {
  return static_cast<float>(philox(key, i)[0]) * 0x1p-31f - 1.0f;
}

template <class On>
using MlpWeights = model::MlpWeightsOf<typename On::Backend::Matrix>;

// One expert's matrices and the memory that they lie in.
enum class Biases { No, Yes };
template <class On>
struct TestExpert {
  typename On::Packed gate_up, down;
  std::vector<float> gate_up_bias, down_bias;
  MlpWeights<On> weights;

  explicit TestExpert(std::uint32_t id, Biases biases = Biases::No)
      : gate_up(moe_hidden, moe_up_offset + moe_width, gate_and_up(id)),
        down(moe_width, moe_hidden, matrix(3 * id + 2, moe_hidden, moe_width)),
        weights{gate_up.view(), down.view(), moe_width, moe_up_offset} {
    if (biases == Biases::No) return;
    for (std::uint32_t i = 0; i < moe_up_offset + moe_width; ++i) gate_up_bias.push_back(unit_value(1000 + id, i));
    for (std::uint32_t i = 0; i < moe_hidden; ++i) down_bias.push_back(unit_value(2000 + id, i));
    weights.gate_up_bias = {gate_up_bias.data(), gate_up_bias.size()};
    weights.down_bias = {down_bias.data(), down_bias.size()};
  }

 private:
  static std::vector<bf16> matrix(std::uint64_t key, std::uint32_t out, std::uint32_t in) {
    std::vector<bf16> m(std::size_t{out} * in);
    for (std::size_t i = 0; i < m.size(); ++i) m[i] = to_bf16(unit_value(key, i) * 0.3f);
    return m;
  }
  // The gap between gate and up is zero, as the loader leaves it.
  static std::vector<bf16> gate_and_up(std::uint32_t id) {
    auto all = matrix(3 * id, moe_width, moe_hidden);
    const auto up = matrix(3 * id + 1, moe_width, moe_hidden);
    all.resize(std::size_t{moe_up_offset} * moe_hidden, bf16{0});
    all.insert(all.end(), up.begin(), up.end());
    return all;
  }
};

inline model::Moe test_moe(std::uint32_t experts) {
  model::Moe moe;
  moe.experts = experts, moe.picks = 3, moe.expert_width = moe_width;
  moe.normalize = true, moe.scale = 2.5f;
  return moe;
}

// As in gpt-oss: softmax over the picks, biases, clamped activation.
inline model::Moe clamped_moe(std::uint32_t experts) {
  model::Moe moe;
  moe.experts = experts, moe.picks = 3, moe.expert_width = moe_width;
  moe.score = model::RouterScore::SoftmaxOfPicks;
  moe.expert_bias = true, moe.activation = model::Activation::ClampedSilu, moe.activation_limit = 0.6f;
  return moe;
}

// The layer over this rank's share of `rows` rows; returns its outputs, [own rows, hidden]. `together` ranks share
// memory.
template <class On>
std::vector<float> run_moe_layer(Comm comm, const model::Moe& moe, std::uint32_t rows, int threads, Spread spread,
                                 int together) {
  auto stream = On::stream(threads);
  const model::Placement placement({layer_placement_for(moe.experts, static_cast<std::uint32_t>(comm.size()), spread)});
  std::vector<int> memory;
  for (int r = 0; r < comm.size(); ++r) memory.push_back(r / together);
  const layers::DomainNodes nodes(memory);
  const model::NodeExperts held = layers::experts_of(placement, nodes.ranks_of(nodes.node_of(comm.rank())));
  std::vector<TestExpert<On>> experts;
  std::vector<MlpWeights<On>> weights;
  for (GlobalExpert e : held.layer({0}))
    experts.emplace_back(static_cast<std::uint32_t>(e.value), moe.expert_bias ? Biases::Yes : Biases::No);
  for (const TestExpert<On>& e : experts) weights.push_back(e.weights);

  std::vector<bf16> x;
  std::vector<float> logits, out;
  std::uint32_t mine = 0;
  for (std::uint32_t r = static_cast<std::uint32_t>(comm.rank()); r < rows;
       r += static_cast<std::uint32_t>(comm.size()), ++mine) {
    for (std::uint32_t i = 0; i < moe_hidden; ++i) x.push_back(to_bf16(unit_value(1u << 20 | r, i)));
    for (std::uint32_t e = 0; e < moe.experts; ++e) logits.push_back(3 * unit_value(1u << 21 | r, e));
    for (std::uint32_t i = 0; i < moe_hidden; ++i) out.push_back(unit_value(1u << 22 | r, i));
  }
  std::vector<GlobalExpert> picks(std::size_t{mine} * moe.picks);
  std::vector<float> pick_weights(picks.size());
  route(stream, moe, {}, {logits.data(), mine, moe.experts}, {picks.data(), mine, moe.picks},
        {pick_weights.data(), mine, moe.picks});
  typename On::Backend::Exchange exchange(
      stream, layers::join_domain(comm, memory, memory, {moe_hidden, moe.picks, moe.experts, std::max(rows, 1u), 1}),
      placement);
  typename On::Backend::Experts tools(stream, moe);
  for (std::uint32_t r = 0; r < mine; ++r)
    std::copy_n(x.data() + std::size_t{r} * moe_hidden, moe_hidden, exchange.rows(0).row(r));
  exchange.begin_dispatch(0, {0}, {picks.data(), mine, moe.picks}, {pick_weights.data(), mine, moe.picks});
  const auto received = exchange.finish_dispatch(0);
  tools.run(weights, received);
  exchange.begin_combine(0);
  exchange.finish_combine(0, {out.data(), mine, moe_hidden});
  return out;
}

template <class On>
void check_moe_layer(Comm comm) {
  for (const model::Moe& moe : {test_moe(3), test_moe(7), test_moe(16), clamped_moe(7)})
    for (std::uint32_t rows : {0u, 1u, 5u, 400u}) {
      CAPTURE(moe.experts);
      CAPTURE(rows);
      const std::vector<float> reference = run_moe_layer<On>(Comm::alone(), moe, rows, 1, Spread::Slices, 1);
      for (const auto& [spread, together] : {std::pair(Spread::Slices, 1), std::pair(Spread::Shuffled, 2),
                                             std::pair(Spread::SomeTwice, 3), std::pair(Spread::Slices, 5)}) {
        const std::vector<float> mine = run_moe_layer<On>(comm, moe, rows, 1 + comm.rank() % 2, spread, together);
        auto size = static_cast<std::size_t>(comm.size());
        bool same = true;
        for (std::size_t r = 0; r * moe_hidden < mine.size(); ++r)
          same = same && std::memcmp(mine.data() + r * moe_hidden,
                                     reference.data() + (r * size + static_cast<std::size_t>(comm.rank())) * moe_hidden,
                                     moe_hidden * sizeof(float)) == 0;
        CHECK(same);
      }
    }
}

}  // namespace moemill::test
