// `bench simulate`: made-up picks, bytes and messages counted without the plan, costs on paper, and steps of a run
// whose lengths say what they must be.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "bench/counting/count_exchange.hpp"
#include "bench/counting/count_run.hpp"
#include "bench/counting/made_picks.hpp"
#include "bench/simulate.hpp"
#include "layers/dispatch/records.hpp"
#include "model/placement.hpp"
#include "plan/forecast/answer_lengths.hpp"

using namespace moemill;
using namespace moemill::bench;

namespace {

model::ModelConfig grouped_model(std::uint32_t groups, std::uint32_t kept) {
  model::ModelConfig config;
  config.hidden = 24, config.layers = 3, config.layer_is_moe = {false, true, true};
  config.moe.experts = 16, config.moe.picks = 4;
  config.moe.groups = groups, config.moe.groups_kept = kept;
  return config;
}

std::vector<GlobalExpert> drawn(const model::ModelConfig& config, std::int32_t layer, std::uint32_t rows,
                                double exponent = 1.01) {
  std::vector<GlobalExpert> picks(std::size_t{rows} * config.moe.picks);
  MadePicks(config.moe, exponent, 5, {layer}).draw(0, picks);
  return picks;
}

}  // namespace

TEST_CASE("made picks are different experts of the groups that a row keeps, whatever else is drawn") {
  const model::ModelConfig config = grouped_model(4, 2);
  for (const double exponent : {0.0, 1.01, 3.0}) {
    const std::vector<GlobalExpert> picks = drawn(config, 1, 500, exponent);
    for (std::size_t r = 0; r < picks.size(); r += 4) {
      std::set<std::int32_t> experts, groups;
      for (std::size_t p = r; p < r + 4; ++p) experts.insert(picks[p].value), groups.insert(picks[p].value / 4);
      REQUIRE(experts.size() == 4);
      REQUIRE(*experts.begin() >= 0);
      REQUIRE(*experts.rbegin() < 16);
      REQUIRE(groups.size() <= 2);
    }
    MadePicks alone(config.moe, exponent, 5, {1});
    std::vector<GlobalExpert> one(4);
    alone.draw(321, one);
    CHECK(std::equal(one.begin(), one.end(), picks.begin() + 321 * 4));
  }
  CHECK(drawn(config, 1, 500) != drawn(config, 2, 500));
}

TEST_CASE("the most popular expert is picked as often as the power law says") {
  model::ModelConfig config = grouped_model(1, 1);
  config.moe.picks = 1;
  constexpr double rows = 40'000;
  for (const double exponent : {0.0, 1.0, 2.0}) {
    CAPTURE(exponent);
    std::map<std::int32_t, double> often;
    for (const GlobalExpert pick : drawn(config, 1, static_cast<std::uint32_t>(rows), exponent))
      often[pick.value] += 1 / rows;
    std::vector<double> shares;
    for (const auto& [expert, share] : often) shares.push_back(share);
    std::sort(shares.rbegin(), shares.rend());
    double all = 0;
    for (int n = 1; n <= 16; ++n) all += std::pow(n, -exponent);
    CHECK(shares[0] == doctest::Approx(1 / all).epsilon(0.1));
    CHECK(shares[3] == doctest::Approx(std::pow(4, -exponent) / all).epsilon(0.15));
  }
}

TEST_CASE("bytes and messages are those of a count that knows no plan, on even and uneven nodes") {
  for (const ExpertSum sum : {ExpertSum::Picks, ExpertSum::Groups}) {
    model::ModelConfig config = grouped_model(4, 2);
    config.expert_sum = sum;
    for (const auto& one : {std::pair(4u, 2u), {4u, 3u}, {5u, 1u}, {6u, 6u}}) {
      const std::uint32_t ranks = one.first, per_node = one.second;
      CAPTURE(ranks);
      CAPTURE(per_node);
      constexpr std::uint32_t rows = 20;
      std::uint64_t bytes = 0, row_nodes = 0, out = 0, home = 0;
      const std::uint64_t record = layers::RecordForm(config.hidden, 4, sum).bytes();
      const model::LayerPlacement placement = model::contiguous_slices(16, ranks);
      const auto draw = [&](LayerId layer, std::uint32_t rank, std::span<GlobalExpert> picks) {
        MadePicks(config.moe, 1.01, 7, layer).draw(rank * rows, picks);
        for (std::size_t r = 0; r < picks.size(); r += 4) {
          std::set<std::uint32_t> nodes;
          std::map<std::int32_t, std::vector<std::uint32_t>> of_group;
          for (std::size_t p = r; p < r + 4; ++p) {
            const auto holder = static_cast<std::uint32_t>(placement.holders(picks[p]).front().rank.value);
            nodes.insert(holder / per_node), of_group[picks[p].value / 4].push_back(holder / per_node);
          }
          row_nodes += nodes.size(), nodes.erase(rank / per_node), out += nodes.size();
          for (const auto& [group, at] : of_group) {
            const bool whole = std::equal(at.begin() + 1, at.end(), at.begin());
            const auto away = static_cast<std::uint64_t>(
                std::count_if(at.begin(), at.end(), [&](std::uint32_t n) { return n != rank / per_node; }));
            home += sum == ExpertSum::Groups && whole ? std::min<std::uint64_t>(away, 1) : away;
          }
        }
      };
      const CountedExchange x = count_exchange(config, {ranks, per_node, rows}, draw);
      bytes = out * record + home * config.hidden * 2;
      CHECK(x.nodes == divide_up(ranks, per_node));
      CHECK(x.layers == 2);
      CHECK(x.rows == 2 * ranks * rows);
      CHECK(x.row_nodes == row_nodes);
      CHECK(x.rows_sent == out);
      CHECK(x.outputs_sent == home);
      CHECK(x.inter_node_bytes == bytes);
      CHECK(x.inter_node_minimum == bytes);
      CHECK(x.intra_node_bytes == 0);
      CHECK(x.messages == 2 * 2 * ranks * (x.nodes - 1));
    }
  }
}

TEST_CASE("costs of the experts' work by rank and by node, on paper") {
  model::ModelConfig config = grouped_model(1, 1);
  config.layers = 1, config.layer_is_moe = {true}, config.moe.experts = 8, config.moe.picks = 1;
  // Two nodes of two ranks with two experts each: expert 0 gets 60 rows, expert 7 gets 20, of 20 rows a rank.
  const auto draw = [](LayerId, std::uint32_t rank, std::span<GlobalExpert> picks) {
    for (GlobalExpert& pick : picks) pick = {rank < 3 ? 0 : 7};
  };
  const CountedWork work = count_exchange(config, {4, 2, 20}, draw).work;
  CHECK(work.mean == doctest::Approx(20));
  CHECK(work.busiest == doctest::Approx(30));        // expert 0's rows, shared by its node
  CHECK(work.busiest_owner == doctest::Approx(60));  // by the rank that holds it
  CHECK(work.busiest_node == doctest::Approx(30));
  CHECK(work.within_node == doctest::Approx(20));  // (2 * 30 + 2 * 10) / 4
}

TEST_CASE("DeepSeek-V3 on eight nodes: a row needs four nodes at most, and one row comes home from each") {
  const model::ModelConfig config = model::read_config(std::string(MOEMILL_SOURCE_DIR) + "/configs/models/deepseek-v3");
  REQUIRE(config.expert_sum == ExpertSum::Groups);
  std::uint64_t rows = 0;
  const CountedExchange x = count_exchange(config, {64, 8, 4}, [&](LayerId layer, std::uint32_t rank, auto picks) {
    MadePicks(config.moe, 1.01, 0, layer).draw(rank * 4, picks);
    rows += 4;
  });
  CHECK(x.layers == 58);
  CHECK(x.rows == rows);
  CHECK(x.row_nodes <= 4 * x.rows);
  CHECK(x.outputs_sent == x.rows_sent);  // a node has whole groups
  CHECK(x.inter_node_bytes == x.inter_node_minimum);
  CHECK(x.messages == 58ull * 2 * 64 * 7);
}

TEST_CASE("a run's steps: full ranks, and a tail as long as one answer is longer than the others") {
  mill::WorkLengths work;
  for (int p = 0; p < 64; ++p) work.add(4, 20, 1, p == 0 ? 20 : 10);
  const CountedRun run = count_run(work, {4, 64, 2048});
  CHECK(run.prompt_rows == 64 * 4);
  CHECK(run.generated_tokens == 63 * 10 + 20);
  CHECK(run.least_steps == 20);
  CHECK(run.steps >= 20);
  CHECK(run.steps <= 24);
  CHECK(run.tail_steps >= 8);  // one rank goes on alone
  CHECK(run.tail_steps <= 12);
  CHECK(run.mean_over_max() > 0.7);
  CHECK(run.mean_over_max() < 1);
  CHECK(run.answers == 64);
  CHECK(run.shared_rows == 0);
}

TEST_CASE("samples of a prompt on one rank share its rows") {
  mill::WorkLengths work;
  for (std::uint32_t p = 0; p < 6; ++p) work.add(30 + p, 5, 1 + p, 5);
  const CountedRun run = count_run(work, {1, 64, 2048});
  CHECK(run.prompt_rows == 30 + 31 + 32 + 33 + 34 + 35);
  CHECK(run.shared_rows == 31 * 1 + 32 * 2 + 33 * 3 + 34 * 4 + 35 * 5);
  CHECK(run.answers == 21);
}

TEST_CASE(
    "a run of DeepSeek-V3 on 72 ranks of 128 sequences: all rows and tokens of its prompts, in a few steps more") {
  SimulateOptions options;
  options.model = std::string(MOEMILL_SOURCE_DIR) + "/configs/models/deepseek-v3";
  options.layout.rows = 1;
  options.run = {72, 128, 2048};
  options.prompts = 72 * 128, options.input_tokens = "100", options.output_tokens = "400";
  const Simulated result = simulate(options);
  REQUIRE(result.run);
  mill::AnswerLengths input = mill::AnswerLengths::of_mean(100), output = mill::AnswerLengths::of_mean(400);
  std::uint64_t prompt_rows = 0, generated = 0, longest = 0;
  for (std::uint64_t p = 0; p < options.prompts; ++p) {
    prompt_rows += std::max(1u, input.length(p, 1 << 20));
    const std::uint64_t answer = std::max(1u, output.length(options.prompts - 1 - p, 1 << 20));
    generated += answer, longest = std::max(longest, answer);
  }
  CHECK(result.prompts == options.prompts);
  CHECK(result.failing_prompts == 0);
  CHECK(result.run->prompt_rows == prompt_rows);
  CHECK(result.run->generated_tokens == generated);
  CHECK(result.run->least_steps == longest);
  CHECK(result.run->steps >= longest);
  CHECK(result.run->steps < longest + 100);  // all begin within a few steps, and each goes on in every one
  CHECK(result.run->tail_steps > 0);
  CHECK(result.exchange.layers == 58);
  CHECK(result.exchange.rows == 58 * 72);
  CHECK(result.exchange.messages == 58ull * 2 * 72 * 8);
}

TEST_CASE("experts placed by the load of other rows level the nodes, and every pick is computed once") {
  model::ModelConfig config = grouped_model(1, 1);
  const auto draw = [&](LayerId layer, std::uint32_t rank, std::span<GlobalExpert> picks) {
    MadePicks(config.moe, 1.01, 5, layer).draw(std::uint64_t{rank} * 500, picks);
  };
  CountedLayout layout{8, 2, 500};
  const CountedExchange plain = count_exchange(config, layout, draw);
  for (const std::uint32_t redundant : {0u, 4u, 48u}) {
    layout.redundant = redundant;
    const CountedExchange placed = count_exchange(config, layout, draw);
    CHECK(placed.work.mean == doctest::Approx(plain.work.mean));
    CHECK(placed.rows == plain.rows);
    CHECK(placed.inter_node_bytes == placed.inter_node_minimum);
    CHECK(placed.work.busiest_node < plain.work.busiest_node);
    if (redundant > 0) CHECK(placed.work.busiest_node <= 1.03 * placed.work.mean);
    if (redundant == 48) CHECK(placed.inter_node_bytes < 0.1 * plain.inter_node_bytes);  // all experts are everywhere
  }
  layout.redundant = 49;
  CHECK_THROWS_AS(count_exchange(config, layout, draw), UserError);
}
