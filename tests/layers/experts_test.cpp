#include <algorithm>
#include <cmath>

#include "kernels/rows.hpp"
#include "moe_cases.inl"

using namespace moemill;
using test::OnCpu;

TEST_CASE_TEMPLATE("a routed layer gives the same bytes on any number of loopback ranks and threads", On, OnCpu) {
  for (int ranks = 1; ranks <= 5; ++ranks) {
    CAPTURE(ranks);
    run_loopback(ranks, test::check_moe_layer<On>);
  }
}

namespace {

double activated(const model::Moe& moe, double gate, double up) {
  if (moe.activation == model::Activation::Silu) return gate / (1 + std::exp(-gate)) * up;
  const double limit = moe.activation_limit, g = std::min(gate, limit), u = std::clamp(up, -limit, limit);
  return (u + 1) * g / (1 + std::exp(-1.702 * g));
}

// The layer's definition, element by element, in double where the definition leaves no rounding.
template <class Weights>
std::vector<double> naive_mlp(const model::Moe& moe, const Weights& w, const bf16* x) {
  std::vector<double> inner(w.width), out(w.down.n, 0.0);
  for (std::uint32_t j = 0; j < w.width; ++j) {
    double gate = w.gate_up_bias ? w.gate_up_bias.data[j] : 0;
    double up = w.gate_up_bias ? w.gate_up_bias.data[w.up_offset + j] : 0;
    for (std::uint32_t i = 0; i < w.gate_up.k; ++i) {
      gate += double(to_float(x[i])) * to_float(packed_at(w.gate_up, i, j));
      up += double(to_float(x[i])) * to_float(packed_at(w.gate_up, i, w.up_offset + j));
    }
    inner[j] = to_float(to_bf16(static_cast<float>(activated(moe, gate, up))));
  }
  for (std::uint32_t j = 0; j < w.down.n; ++j) out[j] = w.down_bias ? w.down_bias.data[j] : 0;
  for (std::uint32_t j = 0; j < w.down.n; ++j)
    for (std::uint32_t i = 0; i < w.width; ++i) out[j] += inner[i] * to_float(packed_at(w.down, i, j));
  return out;
}

// A rounding of an inner value may fall the other way: half a bf16 step of the largest term, for a few terms.
double tolerance(const std::vector<double>& out) {
  double norm = 0;
  for (double v : out) norm += v * v;
  return std::sqrt(norm / static_cast<double>(out.size())) * 0x1p-8;
}

}  // namespace

TEST_CASE_TEMPLATE("a dense MLP adds down(silu(gate) * up) whatever the number of rows", On, OnCpu) {
  auto stream = On::stream();
  const test::TestExpert<On> expert(5);
  typename On::Backend::Experts mlp(stream, test::test_moe(1));
  constexpr std::size_t rows = 1100;  // more than one piece
  std::vector<bf16> x(rows * test::moe_hidden);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = to_bf16(test::unit_value(77, i));
  std::vector<float> out(rows * test::moe_hidden, 1.0f);
  const Rows<const bf16> all(x.data(), rows, test::moe_hidden);
  mlp.add_mlp(expert.weights, all, {out.data(), rows, test::moe_hidden});
  for (std::size_t r : {std::size_t{0}, std::size_t{1}, std::size_t{500}, rows - 1}) {
    CAPTURE(r);
    auto expected = naive_mlp(test::test_moe(1), expert.weights, x.data() + r * test::moe_hidden);
    double allowed = tolerance(expected);
    for (std::size_t j = 0; j < expected.size(); ++j)
      CHECK(std::abs(out[r * test::moe_hidden + j] - (1.0 + expected[j])) < allowed);
    // One row alone gives the same bits.
    std::vector<float> alone(test::moe_hidden, 1.0f);
    mlp.add_mlp(expert.weights, all.range(r, 1), {alone.data(), 1, test::moe_hidden});
    CHECK(std::memcmp(alone.data(), out.data() + r * test::moe_hidden, alone.size() * sizeof(float)) == 0);
  }
  // With a factor a row: one fma instead of the addition.
  std::vector<float> factors(rows), scaled(out.size(), 1.0f);
  for (std::size_t r = 0; r < rows; ++r) factors[r] = test::unit_value(79, r);
  mlp.add_scaled_mlp(expert.weights, all, {factors.data(), factors.size()}, {scaled.data(), rows, test::moe_hidden});
  for (std::size_t r : {std::size_t{0}, std::size_t{700}, rows - 1}) {
    std::vector<float> alone(test::moe_hidden, 0.0f);
    mlp.add_mlp(expert.weights, all.range(r, 1), {alone.data(), 1, test::moe_hidden});
    for (std::size_t j = 0; j < alone.size(); ++j)
      CHECK(scaled[r * test::moe_hidden + j] == std::fma(factors[r], alone[j], 1.0f));
  }
  const test::MlpWeights<On> none;
  mlp.add_mlp(none, all, {});  // adds nothing
}

namespace {

template <class On>
void check_experts(const model::Moe& moe, test::Biases biases) {
  auto stream = On::stream();
  std::vector<test::TestExpert<On>> experts;
  std::vector<test::MlpWeights<On>> weights;
  for (std::uint32_t e = 0; e < 4; ++e) experts.emplace_back(e, biases);
  for (const auto& e : experts) weights.push_back(e.weights);
  constexpr std::uint32_t rows = 9;
  std::vector<bf16> x(rows * test::moe_hidden);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = to_bf16(test::unit_value(78, i));
  std::vector<GlobalExpert> picks;
  for (int r = 0; r < static_cast<int>(rows); ++r) picks.push_back({r % 4}), picks.push_back({(r + 2) % 4});

  const model::Placement placement({model::contiguous_slices(4, 1)});
  typename On::Backend::Exchange exchange(stream, layers::join_alone({test::moe_hidden, 2, 4, rows, 2}), placement);
  typename On::Backend::Experts tools(stream, moe);
  for (std::uint32_t r = 0; r < rows; ++r)
    std::copy_n(x.data() + std::size_t{r} * test::moe_hidden, test::moe_hidden, exchange.rows(1).row(r));
  const std::vector<float> pick_weights(picks.size(), 1.0f);
  exchange.begin_dispatch(1, {0}, {picks.data(), rows, 2}, {pick_weights.data(), rows, 2});
  auto received = exchange.finish_dispatch(1);
  tools.run(weights, received);
  // Outputs are numbered by row and pick, from the channel's first one on.
  const std::size_t first_output = *std::min_element(received.place.data, received.place.data + received.place.size);
  for (std::size_t i = 0; i < picks.size(); ++i) {
    auto expected =
        naive_mlp(moe, weights[static_cast<std::size_t>(picks[i].value)], x.data() + i / 2 * test::moe_hidden);
    double allowed = tolerance(expected);
    for (std::size_t j = 0; j < expected.size(); ++j) {
      double rounding = std::abs(expected[j]) * 0x1p-8;  // the output's own
      CHECK(std::abs(to_float(received.outputs.row(first_output + i)[j]) - expected[j]) < allowed + rounding);
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("routed experts compute what they are defined as", On, OnCpu) {
  check_experts<On>(test::test_moe(4), test::Biases::No);
}
TEST_CASE_TEMPLATE("routed experts with biases and the clamped activation compute what they are defined as", On,
                   OnCpu) {
  check_experts<On>(test::clamped_moe(4), test::Biases::Yes);
}
