// MLA's two forms are two ways to compute the same numbers, a copied page is as good as the page, and so is a shared
// one.
#include <doctest/doctest.h>

#include "layers/driver.hpp"
#include "layers/goldens.hpp"
#include "model/config.hpp"

using namespace moemill;
using namespace moemill::test;
using schedule::RowKind;
using schedule::Step;

namespace {

constexpr std::uint32_t pages = 32;

// One rank, one forward pass at a time, by hand.
template <class On>
struct Single {
  explicit Single(const std::string& name, std::uint32_t micro_batches = 1)
      : config(model::read_config(model_dir(name))),
        placement(model::contiguous_slices(config, 1)),
        weights(On::weights(model_dir(name), config, placement, {0}, model::NodeExperts(placement, {0}))),
        settings{.max_rows = 512, .pages = pages, .micro_batches = micro_batches, .trace = &trace},
        forward(stream, config, weights, placement, layers::join_alone(layers::exchange_shape(config, settings)),
                settings) {}

  void add(Step& step, RowKind kind, std::span<const TokenId> tokens, std::uint32_t first_position,
           const std::vector<PageId>& on) {
    step.segments.push_back({kind, step.rows(), static_cast<std::uint32_t>(tokens.size()), first_position,
                             static_cast<std::uint32_t>(step.pages[0].size()), static_cast<std::uint32_t>(on.size())});
    step.pages[0].insert(step.pages[0].end(), on.begin(), on.end());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      step.logit_rows.push_back(step.rows());
      step.positions.push_back(first_position + static_cast<std::uint32_t>(i));
      step.tokens.push_back(tokens[i]);
    }
  }
  std::vector<float> run(const Step& step) {
    forward.run(step);
    return trace.logits;
  }

  model::ModelConfig config;
  model::Placement placement;
  typename layers::Forward<typename On::Backend>::Weights weights;
  typename On::Backend::Stream stream = On::stream();
  layers::Trace trace;
  layers::ForwardSettings settings;
  layers::Forward<typename On::Backend> forward;
};

}  // namespace

TEST_CASE_TEMPLATE("absorbed and expanded form agree", On, OnCpu) {
  for (const std::string name : {"deepseek_v3", "deepseek_v2_lite"}) {
    Single<On> single(name);
    const auto prompt = Goldens(name).prompts().back();  // 150 tokens, three pages
    const std::vector<PageId> on{{0}, {1}, {2}};
    Step expanded, absorbed;
    single.add(expanded, RowKind::Prompt, prompt, 0, on);
    single.add(absorbed, RowKind::Generated, prompt, 0, on);
    single.run(expanded);
    const auto first = single.trace;
    single.run(absorbed);
    // In the first layer both start from the same rows and round nothing: they differ by fp32 sums alone, here of some
    // hundred terms. Afterwards what is rounded to bf16 may fall on either side.
    const auto& a = first.layers[0].attention_out;
    const auto& b = single.trace.layers[0].attention_out;
    const double relative = rms_difference(a, b) / rms(a);
    CHECK(first.layers[0].cache == single.trace.layers[0].cache);
    CHECK(relative > 0);
    CHECK(relative < 100 * std::ldexp(1.0, -24));
    const auto& last = first.layers.back().attention_out;
    CHECK(rms_difference(last, single.trace.layers.back().attention_out) / rms(last) < 1.0 / 64);
  }
}

TEST_CASE_TEMPLATE("a copied page is as good as the page", On, OnCpu) {
  const std::string name = "deepseek_v3";
  const auto prompt = Goldens(name).prompts()[7];
  const std::span<const TokenId> head(prompt.data(), 70), tail(prompt.data() + 70, 20);
  Single<On> single(name);
  Step start, same, copied;
  single.add(start, RowKind::Prompt, head, 0, {{0}, {1}});
  single.run(start);
  // The full page is shared, the partial one copied; both go on alike.
  copied.copies.push_back({schedule::PageGroup::Full, {1}, {5}, 6});
  single.add(copied, RowKind::Generated, tail, 70, {{0}, {5}});
  const auto b = single.run(copied);
  single.add(same, RowKind::Generated, tail, 70, {{0}, {1}});
  const auto a = single.run(same);
  CHECK(a == b);
  // Without the copy page 6 holds nothing, and that shows.
  Step blank;
  single.add(blank, RowKind::Generated, tail, 70, {{0}, {6}});
  CHECK(single.run(blank) != a);
}

TEST_CASE_TEMPLATE("prompts behind shared pages get the logits that they get alone, in both micro-batches", On, OnCpu) {
  const std::string name = "deepseek_v3";
  const auto text = Goldens(name).prompts().back();  // 150 tokens
  for (std::uint32_t micro_batches : {1u, 2u}) {
    Single<On> single(name, micro_batches);
    Step together;
    together.micro_batches = micro_batches;
    const std::vector<TokenId> prefix(text.begin(), text.begin() + 128);
    // The prefix is computed in the same step.
    single.add(together, RowKind::Prompt, prefix, 0, {{0}, {1}});
    std::vector<float> expected;
    for (std::int32_t i = 0; i < 8; ++i) {
      const auto first = static_cast<std::size_t>(i);
      const std::span own = std::span(text).subspan(first, 1 + 5 * first);
      single.add(together, RowKind::Prompt, own, 128, {{0}, {1}, {2 + i}});
      std::vector<TokenId> whole = prefix;
      whole.insert(whole.end(), own.begin(), own.end());
      Step alone;
      single.add(alone, RowKind::Prompt, whole, 0, {{10}, {11}, {12}});
      const std::vector<float> logits = single.run(alone);
      const std::size_t skipped = i == 0 ? 0 : 128 * (logits.size() / whole.size());
      expected.insert(expected.end(), logits.begin() + static_cast<std::ptrdiff_t>(skipped), logits.end());
    }
    CHECK(single.run(together) == expected);
  }
}

TEST_CASE_TEMPLATE("a step with zero rows is a step", On, OnCpu) {
  Single<On> single("deepseek_v3");
  CHECK(single.run(Step{}).empty());
}
