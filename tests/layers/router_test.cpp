#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "base/numbers/random.hpp"
#include "layers/on_cpu.hpp"

using namespace moemill;
using test::OnCpu;

namespace {

struct Routed {
  std::vector<std::int32_t> picks;  // [rows, picks]
  std::vector<float> weights;       // [rows, picks]
};

template <class Stream>
Routed route_rows(Stream& stream, const model::Moe& moe, const std::vector<float>& bias, std::vector<float> logits) {
  std::size_t rows = logits.size() / moe.experts;
  std::vector<GlobalExpert> picks(rows * moe.picks);
  Routed out;
  out.weights.resize(picks.size());
  route(stream, moe, bias.empty() ? Vector<const float>() : Vector(bias.data(), bias.size()),
        {logits.data(), rows, moe.experts}, {picks.data(), rows, moe.picks}, {out.weights.data(), rows, moe.picks});
  for (GlobalExpert e : picks) out.picks.push_back(e.value);
  return out;
}

template <class On>
Routed route_rows(const model::Moe& moe, const std::vector<float>& bias, std::vector<float> logits) {
  auto stream = On::stream();
  return route_rows(stream, moe, bias, std::move(logits));
}

// The rules again in double, by sorting: one row. `margin` is how far the nearest decision was.
struct NaiveRow {
  std::vector<std::int32_t> picks;
  std::vector<double> weights;
  double margin = std::numeric_limits<double>::infinity();
};

// Indices of the `wanted` largest, best first.
std::vector<std::int32_t> best_of(const std::vector<double>& values, std::size_t wanted, double& margin) {
  std::vector<std::int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  auto at = [&](std::size_t i) { return values[static_cast<std::size_t>(order[i])]; };
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)];
  });
  for (std::size_t i = 0; i < wanted && i + 1 < order.size(); ++i) margin = std::min(margin, at(i) - at(i + 1));
  order.resize(wanted);
  return order;
}

NaiveRow naive_route(const model::Moe& moe, const std::vector<float>& bias, const float* logits) {
  std::vector<double> score(logits, logits + moe.experts);
  const bool over_picks = moe.score == model::RouterScore::SoftmaxOfPicks;
  if (moe.score == model::RouterScore::Sigmoid) {
    for (double& s : score) s = 1 / (1 + std::exp(-s));
  } else if (!over_picks) {
    double top = *std::max_element(score.begin(), score.end()), sum = 0;
    for (double& s : score) sum += s = std::exp(s - top);
    for (double& s : score) s /= sum;
  }
  std::vector<double> choice = score;
  for (std::size_t e = 0; e < bias.size(); ++e) choice[e] += static_cast<double>(bias[e]);
  NaiveRow row;
  if (moe.groups_kept < moe.groups) {
    std::size_t width = moe.experts / moe.groups;
    std::vector<double> values;
    for (std::size_t g = 0; g < moe.groups; ++g) {
      std::vector<double> group(choice.begin() + static_cast<std::ptrdiff_t>(g * width),
                                choice.begin() + static_cast<std::ptrdiff_t>((g + 1) * width));
      std::sort(group.rbegin(), group.rend());
      values.push_back(moe.group_score == model::GroupScore::Largest ? group[0] : group[0] + group[1]);
    }
    auto kept = best_of(values, moe.groups_kept, row.margin);
    for (std::size_t e = 0; e < moe.experts; ++e)
      if (std::find(kept.begin(), kept.end(), static_cast<std::int32_t>(e / width)) == kept.end()) choice[e] = -1e300;
  }
  row.picks = best_of(choice, moe.picks, row.margin);
  if (over_picks) {
    double sum = 0;
    for (auto p : row.picks) sum += std::exp(score[static_cast<std::size_t>(p)]);
    for (auto p : row.picks) row.weights.push_back(std::exp(score[static_cast<std::size_t>(p)]) / sum);
    return row;
  }
  double sum = static_cast<double>(moe.normalize_eps);
  for (auto p : row.picks) sum += score[static_cast<std::size_t>(p)];
  for (auto p : row.picks)
    row.weights.push_back(score[static_cast<std::size_t>(p)] / (moe.normalize ? sum : 1.0) *
                          static_cast<double>(moe.scale));
  return row;
}

model::Moe make_moe(std::uint32_t experts, std::uint32_t picks, model::RouterScore score) {
  model::Moe moe;
  moe.experts = experts, moe.picks = picks, moe.score = score;
  return moe;
}

std::vector<float> random_values(std::uint64_t key, std::size_t count, float scale) {
  std::vector<float> v(count);
  for (std::size_t i = 0; i < count; ++i) v[i] = scale * (static_cast<float>(philox(key, i)[0]) * 0x1p-31f - 1.0f);
  return v;
}

// Scores carry a few fp32 roundings (exp, a sum of up to `experts` terms in a 16-lane tree, a division), weights one
// sum of `picks` terms and two more.
double relative_tolerance(const model::Moe& moe) { return (moe.experts / 16.0 + moe.picks + 16) * FLT_EPSILON; }

template <class On>
void check_against_naive(const model::Moe& moe, const std::vector<float>& bias, std::uint64_t key) {
  constexpr std::size_t rows = 60;
  auto logits = random_values(key, rows * moe.experts, 4.0f);
  Routed routed = route_rows<On>(moe, bias, logits);
  double bias_size = 0;
  for (float b : bias) bias_size = std::max(bias_size, std::abs(static_cast<double>(b)));
  std::size_t close = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    NaiveRow naive = naive_route(moe, bias, &logits[r * moe.experts]);
    if (naive.margin < 2 * (1 + bias_size) * relative_tolerance(moe)) {  // fp32 may rightly decide otherwise
      ++close;
      continue;
    }
    for (std::size_t p = 0; p < moe.picks; ++p) {
      CHECK(routed.picks[r * moe.picks + p] == naive.picks[p]);
      CHECK(routed.weights[r * moe.picks + p] ==
            doctest::Approx(naive.weights[p]).epsilon(2 * relative_tolerance(moe)).scale(0));
    }
  }
  CHECK(close < rows / 3);
}

}  // namespace

TEST_CASE_TEMPLATE("every routing agrees with a plain double computation", On, OnCpu) {
  std::uint64_t key = 1;
  for (auto score : {model::RouterScore::Softmax, model::RouterScore::Sigmoid})
    for (const auto& shape : {std::array{8u, 2u, 1u, 1u}, std::array{64u, 6u, 1u, 1u}, std::array{12u, 3u, 4u, 2u},
                              std::array{32u, 6u, 8u, 3u}, std::array{7u, 7u, 1u, 1u}, std::array{1u, 1u, 1u, 1u}})
      for (auto group_score : {model::GroupScore::Largest, model::GroupScore::SumOfTwoLargest})
        for (bool normalize : {false, true})
          for (float bias_scale : {0.0f, 0.5f}) {
            const std::uint32_t experts = shape[0], groups = shape[2];
            model::Moe moe = make_moe(experts, shape[1], score);
            moe.groups = groups, moe.groups_kept = shape[3], moe.group_score = group_score;
            moe.normalize = normalize, moe.normalize_eps = 1e-20f, moe.scale = 2.5f;
            CAPTURE(experts);
            CAPTURE(groups);
            CAPTURE(bias_scale);
            CAPTURE(key);
            // A negative mean makes every choice of many groups negative.
            auto bias = bias_scale == 0 ? std::vector<float>{} : random_values(1000 + key, experts, bias_scale);
            for (float& b : bias) b -= 0.8f;
            check_against_naive<On>(moe, bias, key++);
          }
}

TEST_CASE_TEMPLATE("picks and weights are those of transformers on the reference models' traces", On, OnCpu) {
  std::ifstream file(std::string(MOEMILL_TEST_DATA) + "/layers/route.json");
  auto golden = nlohmann::json::parse(file);
  CHECK(golden["cases"].size() >= 10);
  for (const auto& c : golden["cases"]) {
    model::Moe moe = make_moe(c["experts"], c["picks"],
                              c["score"] == "sigmoid" ? model::RouterScore::Sigmoid : model::RouterScore::Softmax);
    moe.groups = c["groups"], moe.groups_kept = c["groups_kept"];
    moe.group_score = c["group_score"] == "largest" ? model::GroupScore::Largest : model::GroupScore::SumOfTwoLargest;
    moe.normalize = c["normalize"], moe.normalize_eps = c["normalize_eps"], moe.scale = c["scale"];
    auto bias = c["bias"].is_null() ? std::vector<float>{} : c["bias"].get<std::vector<float>>();
    CAPTURE(c["model"].get<std::string>());
    CAPTURE(c["layer"].get<int>());
    Routed routed = route_rows<On>(moe, bias, c["logits"].get<std::vector<float>>());
    CHECK(routed.picks == c["picks_of_rows"].get<std::vector<std::int32_t>>());
    auto weights = c["weights"].get<std::vector<float>>();
    REQUIRE(weights.size() == routed.weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i)
      CHECK(routed.weights[i] == doctest::Approx(weights[i]).epsilon(2 * relative_tolerance(moe)).scale(0));
  }
}

TEST_CASE_TEMPLATE("the softmax over the picks agrees with a plain double computation", On, OnCpu) {
  std::uint64_t key = 500;
  for (const auto& shape : {std::array{8u, 2u}, std::array{32u, 4u}, std::array{7u, 7u}, std::array{1u, 1u}}) {
    const std::uint32_t experts = shape[0], picks = shape[1];
    CAPTURE(experts);
    check_against_naive<On>(make_moe(experts, picks, model::RouterScore::SoftmaxOfPicks), {}, key++);
  }
}

TEST_CASE_TEMPLATE("ties go to the lowest id", On, OnCpu) {
  model::Moe moe = make_moe(6, 3, model::RouterScore::Sigmoid);
  CHECK(route_rows<On>(moe, {}, {1, 2, 2, 1, 2, 2}).picks == std::vector<std::int32_t>{1, 2, 4});
  CHECK(route_rows<On>(moe, {}, {0, 0, 0, 0, 0, 0}).picks == std::vector<std::int32_t>{0, 1, 2});
  moe.groups = 3, moe.groups_kept = 2;
  for (auto kind : {model::GroupScore::Largest, model::GroupScore::SumOfTwoLargest}) {
    moe.group_score = kind;
    CHECK(route_rows<On>(moe, {}, {0, 0, 0, 0, 0, 0}).picks == std::vector<std::int32_t>{0, 1, 2});
    CHECK(route_rows<On>(moe, {}, {0, 0, 1, 1, 0, 0}).picks == std::vector<std::int32_t>{2, 3, 0});
  }
}

TEST_CASE_TEMPLATE("experts of dropped groups are out even where all kept values are negative", On, OnCpu) {
  model::Moe moe = make_moe(6, 3, model::RouterScore::Sigmoid);
  moe.groups = 3, moe.groups_kept = 2, moe.group_score = model::GroupScore::SumOfTwoLargest;
  // sigmoid(0) = 0.5 everywhere. Group sums: -1.5 + -1.6, -1.1 + -4, -1.7 + -1.8: groups 0 and 2 stay, although
  // expert 2 of the dropped group has the largest value of all.
  std::vector<float> bias{-2.0f, -2.1f, -1.6f, -4.5f, -2.2f, -2.3f};
  CHECK(route_rows<On>(moe, bias, std::vector<float>(6, 0.0f)).picks == std::vector<std::int32_t>{0, 1, 4});
}

TEST_CASE_TEMPLATE("the bias chooses and never weighs", On, OnCpu) {
  model::Moe moe = make_moe(4, 2, model::RouterScore::Sigmoid);
  Routed routed = route_rows<On>(moe, {0, 0, 5, 4}, {3, 2, 0, 0});
  CHECK(routed.picks == std::vector<std::int32_t>{2, 3});
  CHECK(routed.weights == std::vector<float>{0.5f, 0.5f});
}

TEST_CASE_TEMPLATE("what is not a number loses and stays in range", On, OnCpu) {
  float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  model::Moe moe = make_moe(6, 4, model::RouterScore::Sigmoid);
  CHECK(route_rows<On>(moe, {}, {nan, 1, nan, 2, 3, nan}).picks == std::vector<std::int32_t>{4, 3, 1, 0});
  CHECK(route_rows<On>(moe, {}, std::vector<float>(6, nan)).picks == std::vector<std::int32_t>{0, 1, 2, 3});
  CHECK(route_rows<On>(moe, {}, {-inf, inf, 0, -inf, 0, 0}).picks == std::vector<std::int32_t>{1, 2, 4, 5});
  CHECK(route_rows<On>(moe, {0, nan, 0, 0, 0, 0}, std::vector<float>(6, 0.0f)).picks ==
        std::vector<std::int32_t>{0, 2, 3, 4});
  for (auto score : {model::RouterScore::Softmax, model::RouterScore::Sigmoid, model::RouterScore::SoftmaxOfPicks})
    for (auto kind : {model::GroupScore::Largest, model::GroupScore::SumOfTwoLargest})
      for (float bad : {nan, inf, -inf}) {
        model::Moe grouped = make_moe(6, 4, score);
        grouped.groups = 3, grouped.groups_kept = 2, grouped.group_score = kind;
        for (std::vector<float> logits : {std::vector<float>(6, bad), std::vector<float>{bad, 0, bad, bad, 0, 1}}) {
          auto picks = route_rows<On>(grouped, std::vector<float>(6, bad), logits).picks;
          std::sort(picks.begin(), picks.end());
          CHECK(std::adjacent_find(picks.begin(), picks.end()) == picks.end());
          CHECK(picks.front() >= 0);
          CHECK(picks.back() < 6);
        }
      }
}

namespace {

template <class On>
void check_same_bits(const model::Moe& moe, const std::vector<float>& bias) {
  auto logits = random_values(6, 50 * 256, 4.0f);
  const auto streams = On::streams();
  const Routed reference = route_rows(*streams.front(), moe, bias, logits);
  for (const auto& stream : streams) {
    const Routed routed = route_rows(*stream, moe, bias, logits);
    CHECK(routed.picks == reference.picks);
    CHECK(routed.weights == reference.weights);
    for (std::size_t r = 0; r < 50; ++r) {
      std::vector<float> row(logits.begin() + static_cast<std::ptrdiff_t>(r * 256),
                             logits.begin() + static_cast<std::ptrdiff_t>((r + 1) * 256));
      const Routed alone = route_rows(*stream, moe, bias, row);
      CHECK(std::equal(alone.picks.begin(), alone.picks.end(),
                       reference.picks.begin() + static_cast<std::ptrdiff_t>(r * 8)));
      CHECK(std::equal(alone.weights.begin(), alone.weights.end(),
                       reference.weights.begin() + static_cast<std::ptrdiff_t>(r * 8)));
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("routing gives the same bits for any threads, instruction set and batch", On, OnCpu) {
  model::Moe moe = make_moe(256, 8, model::RouterScore::Sigmoid);
  moe.groups = 8, moe.groups_kept = 4, moe.group_score = model::GroupScore::SumOfTwoLargest;
  moe.normalize = true, moe.normalize_eps = 1e-20f, moe.scale = 2.5f;
  check_same_bits<On>(moe, random_values(5, 256, 0.1f));
  check_same_bits<On>(make_moe(256, 8, model::RouterScore::SoftmaxOfPicks), {});
}

TEST_CASE_TEMPLATE("picks are counted by layer and expert", On, OnCpu) {
  model::ModelConfig config;
  config.hidden = 1;
  config.moe = make_moe(4, 1, model::RouterScore::Sigmoid);
  config.layer_is_moe = {true, false, true};
  auto stream = On::stream();
  typename On::Backend::Router router(stream, config);
  // A matrix of one input: the logits of a row x are x times the experts' values.
  const std::vector<bf16> experts{to_bf16(1), to_bf16(3), to_bf16(2), to_bf16(-1)};
  const typename On::Packed packed(1, 4, experts);
  model::MoeWeightsOf<typename On::Backend::Matrix> weights;
  weights.router = packed.view();
  const std::vector<float> rows{1, -1, 2};
  std::vector<GlobalExpert> picks(3);
  std::vector<float> pick_weights(3);
  for (std::int32_t layer : {0, 2, 2}) {
    router.run_logits(weights, {rows.data(), 3, 1});
    CHECK(router.scores().row(2)[1] == 6);
    router.route(weights, {layer}, {picks.data(), 3, 1}, {pick_weights.data(), 3, 1});
  }
  CHECK(picks == std::vector<GlobalExpert>{{1}, {3}, {1}});
  const auto counts = router.counts();
  CHECK(std::vector<std::uint64_t>(counts.begin(), counts.end()) == std::vector<std::uint64_t>{0, 2, 0, 1, 0, 4, 0, 2});
}
