// The forward pass gives every row the same bytes in every layout: ranks, threads, chunks, batches, micro-batches,
// instruction sets, pages, replay.
#include <doctest/doctest.h>

#include "layers/driver.hpp"
#include "layers/goldens.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

const char* const models[] = {"deepseek_v3", "deepseek_v2_lite", "gpt_oss", "mixtral_window", "qwen2_moe"};

std::vector<Text> job(const std::string& model) {
  std::vector<Text> texts;
  std::uint32_t generate = 1;
  for (auto& prompt : Goldens(model).prompts()) texts.push_back({prompt, generate += 2});
  return texts;
}

template <class On>
void check_layouts(const std::vector<Layout>& layouts) {
  for (const std::string model : models) {
    const auto texts = job(model);
    const auto expected = answer<On>(model_dir(model), texts, {});
    for (std::size_t i = 0; i < layouts.size(); ++i) {
      CAPTURE(model);
      CAPTURE(i);
      CHECK(answer<On>(model_dir(model), texts, layouts[i]) == expected);
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("chunks of a prompt change no bit", On, OnCpu) {
  check_layouts<On>({{.chunk = 1}, {.chunk = 7}, {.chunk = 64}, {.chunk = 100}});
}

TEST_CASE_TEMPLATE("neighbours in the batch and page numbers change no bit", On, OnCpu) {
  check_layouts<On>({{.sequences = 1}, {.sequences = 3}, {.chunk = 33, .sequences = 5}, {.page_stride = 77}});
}

TEST_CASE_TEMPLATE("threads change no bit", On, OnCpu) {
  check_layouts<On>({{.threads = 2}, {.threads = 3, .chunk = 48}, {.threads = 2, .sequences = 1}});
}

TEST_CASE_TEMPLATE("ranks change no bit", On, OnCpu) {
  check_layouts<On>({{.ranks = 2}, {.ranks = 3}, {.ranks = 4, .chunk = 40}, {.ranks = 16, .sequences = 2}});
}

TEST_CASE_TEMPLATE("which ranks share memory changes no bit", On, OnCpu) {
  check_layouts<On>({{.ranks = 2, .ranks_per_node = 1},
                     {.ranks = 4, .micro_batches = 2, .ranks_per_node = 2},
                     {.ranks = 4, .ranks_per_node = 3},
                     {.ranks = 9, .sequences = 1, .experts = Spread::SomeTwice, .ranks_per_node = 1}});
}

TEST_CASE_TEMPLATE("the placement of experts changes no bit", On, OnCpu) {
  for (const Spread experts : {Spread::Shuffled, Spread::SomeTwice}) {
    check_layouts<On>({{.ranks = 1, .experts = experts},
                       {.ranks = 2, .micro_batches = 2, .experts = experts},
                       {.ranks = 3, .experts = experts}});
  }
}

TEST_CASE_TEMPLATE("micro-batches change no bit", On, OnCpu) {
  check_layouts<On>({{.micro_batches = 2},
                     {.micro_batches = 2, .chunk = 50, .sequences = 3},
                     {.micro_batches = 2, .sequences = 1},
                     {.ranks = 2, .threads = 2, .micro_batches = 2},
                     {.ranks = 3, .micro_batches = 2, .chunk = 31}});
}

TEST_CASE("instruction sets change no bit") {
  std::vector<Layout> layouts;
  for (const cpu::Isa isa : cpu::all_isas) {
    if (cpu::available(isa)) {
      layouts.push_back({.isa = isa});
    } else {
      MESSAGE("this CPU has no ", cpu::name(isa), ": not compared");
    }
  }
  check_layouts<OnCpu>(layouts);
}

TEST_CASE_TEMPLATE("generated tokens computed again, several in a step, have the same bytes", On, OnCpu) {
  for (const std::string model : models) {
    auto texts = job(model);
    const auto expected = answer<On>(model_dir(model), texts, {});
    for (std::size_t i = 0; i < texts.size(); ++i) {
      // All of them, half of them, none of them.
      const std::size_t known = expected[i].generated.size() * (i % 3) / 2;
      texts[i].replayed.assign(expected[i].generated.begin(),
                               expected[i].generated.begin() + static_cast<std::ptrdiff_t>(known));
    }
    for (const Layout& layout : {Layout{.replay_chunk = 64}, Layout{.replay_chunk = 4, .sequences = 2},
                                 Layout{.ranks = 2, .micro_batches = 2, .replay_chunk = 64}}) {
      CAPTURE(model);
      CHECK(answer<On>(model_dir(model), texts, layout) == expected);
    }
  }
}

TEST_CASE_TEMPLATE("the comparison of answers can fail", On, OnCpu) {
  const auto texts = job("deepseek_v3");
  const auto expected = answer<On>(model_dir("deepseek_v3"), texts, {});
  auto other = expected;
  other[3].logits[5] = std::nextafter(other[3].logits[5], 1e9f);
  CHECK_FALSE(other == expected);
}
