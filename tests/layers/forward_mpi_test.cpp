// The forward pass over real MPI gives the bytes of one rank alone. Run with 1 to 4 ranks.
#include <doctest/doctest.h>

#include "layers/driver.hpp"
#include "layers/goldens.hpp"
#include "support/on_world.hpp"

using namespace moemill;
using namespace moemill::test;

TEST_CASE_TEMPLATE("ranks under MPI change no bit", On, OnCpu) {
  on_world([](Comm world) {
    for (const std::string model : {"deepseek_v3", "deepseek_v2_lite", "gpt_oss", "qwen2_moe"}) {
      std::vector<Text> texts;
      std::uint32_t generate = 0;
      for (auto& prompt : Goldens(model).prompts()) texts.push_back({prompt, ++generate});
      const auto expected = answer<On>(model_dir(model), texts, {});
      for (const Layout& layout : {Layout{}, Layout{.micro_batches = 2, .chunk = 45, .ranks_per_node = 1},
                                   Layout{.chunk = 45, .ranks_per_node = 3},
                                   Layout{.threads = 2, .micro_batches = 2, .sequences = 2, .ranks_per_node = 2}}) {
        std::vector<Answer> answers(texts.size());
        Player<On>(world, model_dir(model), texts, layout).play(answers);
        for (std::size_t i = 0; i < texts.size(); ++i) {
          if (static_cast<int>(i) % world.size() != world.rank()) continue;
          CAPTURE(model);
          CAPTURE(i);
          CHECK(answers[i] == expected[i]);
        }
      }
    }
  });
}
