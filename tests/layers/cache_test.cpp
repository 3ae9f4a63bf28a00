// The KV cache, the rotary table and the plan of attention by themselves.
#include <doctest/doctest.h>

#include <cmath>

#include "base/error.hpp"
#include "layers/attention_plan.hpp"
#include "layers/on_cpu.hpp"
#include "layers/rope_table.hpp"

using namespace moemill;
using namespace moemill::layers;
using schedule::page_tokens;
using schedule::RowKind;
using schedule::Step;
using test::OnCpu;

namespace {

model::ModelConfig small_config() {
  model::ModelConfig config;
  config.layers = 3;
  config.mla.kv_lora_rank = 10;
  config.mla.qk_rope_dim = 4;
  config.rope.frequencies = {1.0f, 0.01f};
  config.rope.dim = 4;
  return config;
}

void add(Step& step, RowKind kind, std::uint32_t first, std::uint32_t rows) {
  const std::uint32_t pages = (first + rows + page_tokens - 1) / page_tokens;
  step.segments.push_back({kind, step.rows(), rows, first, static_cast<std::uint32_t>(step.pages[0].size()), pages});
  for (std::uint32_t i = 0; i < pages; ++i) step.pages[0].push_back({static_cast<std::int32_t>(step.pages[0].size())});
  for (std::uint32_t i = 0; i < rows; ++i) {
    step.tokens.push_back(0);
    step.positions.push_back(first + i);
  }
}

template <class On>
void check_grouped_copies(std::uint32_t head_dim) {
  model::ModelConfig config;
  config.layers = 3;
  config.attention = model::AttentionKind::Grouped;
  config.gqa.kv_heads = 2, config.gqa.head_dim = head_dim, config.gqa.window = 8;
  config.gqa.layer_has_window = {true, false, true};
  typename On::Backend::KvCache cache(config, {2, 3});
  const std::size_t width = cache.width();
  CHECK(width == 4 * head_dim);
  CHECK(cache.bytes() == (2u + 3 + 3) * page_tokens * width * 2);
  CHECK(cache.group({1}) == schedule::PageGroup::Full);
  CHECK(cache.group({2}) == schedule::PageGroup::Window);
  const std::uint32_t tokens[] = {3 * page_tokens, 2 * page_tokens, 3 * page_tokens};
  for (std::uint32_t copied : {0u, 1u, 7u, 10u, 64u}) {
    // Values that bf16 holds, different everywhere in a layer's first pages.
    for (std::int32_t l = 0; l < 3; ++l) {
      for (std::size_t i = 0; i < tokens[l] * width; ++i) {
        cache.layer({l}).data[i] = to_bf16(static_cast<float>(i % 211) - static_cast<float>(i / 211));
      }
    }
    std::vector<std::vector<float>> before;
    std::vector<float> row(width);
    const auto read = [&](std::int32_t l, std::uint32_t slot) {
      cache.read({l}, slot, row.data());
      return row;
    };
    for (std::int32_t l = 0; l < 3; ++l) {
      for (std::uint32_t s = 0; s < tokens[l]; ++s) before.push_back(read(l, s));
    }
    const schedule::PageCopy copy{schedule::PageGroup::Window, {0}, {2}, copied};
    cache.copy({&copy, 1});
    std::size_t at = 0;
    for (std::int32_t l = 0; l < 3; ++l) {
      for (std::uint32_t s = 0; s < tokens[l]; ++s, ++at) {
        const bool taken = l != 1 && s >= 2 * page_tokens && s < 2 * page_tokens + copied;
        REQUIRE(read(l, s) == before[taken ? at - 2 * page_tokens : at]);
      }
    }
  }
  const schedule::PageCopy outside{schedule::PageGroup::Full, {0}, {2}, 5};
  CHECK_THROWS_AS(cache.copy({&outside, 1}), ContractViolation);
}

}  // namespace

TEST_CASE_TEMPLATE("a filled cache holds values from 0.5 to 1 of either sign, the same for any team of threads", On,
                   OnCpu) {
  using KvCache = typename On::Backend::KvCache;
  auto one = On::stream(1), three = On::stream(3);
  KvCache a(small_config(), {3, 0}), b(small_config(), {3, 0}), c(small_config(), {3, 0});
  a.fill(one, 1), b.fill(three, 1), c.fill(one, 2);
  std::size_t negative = 0, different = 0;
  const std::size_t values = a.bytes() / sizeof(bf16);
  for (std::size_t i = 0; i < values; ++i) {
    const float value = to_float(a.layer({0}).data[i]);
    REQUIRE(std::abs(value) >= 0.5f);
    REQUIRE(std::abs(value) < 1.0f);
    REQUIRE(a.layer({0}).data[i] == b.layer({0}).data[i]);
    negative += value < 0 ? 1 : 0;
    different += a.layer({0}).data[i] == c.layer({0}).data[i] ? 0 : 1;
  }
  CHECK(negative > values / 3);
  CHECK(negative < values * 2 / 3);
  CHECK(different > values / 2);
}

TEST_CASE_TEMPLATE("a page copy takes the first tokens, in every layer, and nothing else", On, OnCpu) {
  typename On::Backend::KvCache cache(small_config(), {4, 0});
  CHECK(cache.width() == 14);
  CHECK(cache.bytes() == 3u * 4 * page_tokens * 14 * 2);
  for (std::int32_t l = 0; l < 3; ++l) {
    for (std::size_t i = 0; i < 4 * page_tokens * 14; ++i) {
      cache.layer({l}).data[i] = {static_cast<std::uint16_t>(i + 7 * static_cast<std::size_t>(l))};
    }
  }
  const schedule::PageCopy copy{schedule::PageGroup::Full, {3}, {1}, 5};
  cache.copy({&copy, 1});
  for (std::int32_t l = 0; l < 3; ++l) {
    for (std::size_t i = 0; i < 4 * page_tokens * 14; ++i) {
      const std::size_t to = page_tokens * 14, from = 3 * page_tokens * 14;
      const std::size_t source = i >= to && i < to + 5 * 14 ? i - to + from : i;
      REQUIRE(cache.layer({l}).data[i].bits == static_cast<std::uint16_t>(source + 7 * static_cast<std::size_t>(l)));
    }
  }
  const schedule::PageCopy outside{schedule::PageGroup::Full, {4}, {1}, 5};
  CHECK_THROWS_AS(cache.copy({&outside, 1}), ContractViolation);
}

TEST_CASE_TEMPLATE(
    "a page copy of grouped attention takes the first tokens of every layer of its group and nothing else", On, OnCpu) {
  for (std::uint32_t head_dim : {6u, 7u}) check_grouped_copies<On>(head_dim);
}

TEST_CASE("rotary tables hold cosines and sines of angles rounded to fp32") {
  model::Rope rope;
  rope.frequencies = {1.0f, 0.3f, 1e-4f};
  rope.magnitude = 1.5f;
  RopeTable table(rope);
  const std::uint32_t positions[] = {5, 0, 163839, 1023, 1024};
  float cosine[5 * 3], sine[5 * 3];
  table.gather(positions, cosine, sine);
  for (std::size_t r = 0; r < 5; ++r) {
    for (std::size_t i = 0; i < 3; ++i) {
      const double angle = static_cast<float>(positions[r]) * rope.frequencies[i];
      // Two roundings: of the value and of its product with the magnitude.
      CHECK(std::abs(cosine[r * 3 + i] - 1.5 * std::cos(angle)) <= 1.5 * std::ldexp(1.0, -23));
      CHECK(std::abs(sine[r * 3 + i] - 1.5 * std::sin(angle)) <= 1.5 * std::ldexp(1.0, -23));
    }
  }
}

TEST_CASE("a plan refuses a step that contradicts itself") {
  RopeTable rope(small_config().rope);
  AttentionPlan plan;
  Step step;
  add(step, RowKind::Prompt, 0, 70);
  step.segments[0].page_count = 1;
  CHECK_THROWS_AS(plan_attention(step, step.segments, rope, plan), ContractViolation);
  step.segments[0].page_count = 2;
  plan_attention(step, step.segments, rope, plan);
  step.pages[0][1] = {-1};  // given back, though rows lie there
  CHECK_THROWS_AS(plan_attention(step, step.segments, rope, plan), ContractViolation);
  step.pages[0].clear();
  CHECK_THROWS_AS(plan_attention(step, step.segments, rope, plan), ContractViolation);
}
