// The step model: a toy machine on which every term is known on paper, and what must hold on every machine.
#include "plan/estimate/step.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "base/error.hpp"
#include "plan/estimate/catalog.hpp"
#include "plan/estimate/exchange.hpp"
#include "plan/estimate/memory.hpp"
#include "plan/estimate/throughput.hpp"

using namespace moemill;
using namespace moemill::estimate;

namespace {

constexpr double no_limit = 1e30;

// Two layers, the second with 4 experts of which a row picks 2. Attention: 128 weights before the core, 64 behind it,
// 32 operations per row and position. An expert has 48 weights, the shared one 48, the dense MLP 96, the head 128.
model::ModelConfig toy_model() {
  model::ModelConfig m;
  m.hidden = 8, m.layers = 2, m.vocabulary = 16, m.dense_width = 4, m.layer_is_moe = {false, true};
  m.attention = model::AttentionKind::Grouped;
  m.gqa.heads = 2, m.gqa.kv_heads = 1, m.gqa.head_dim = 4;
  m.moe.experts = 4, m.moe.picks = 2, m.moe.expert_width = 2, m.moe.shared_width = 2;
  return m;
}

Hardware toy_machine() {
  Hardware h;
  h.name = "toy", h.memory_bytes = 10'000, h.memory_bytes_per_second = no_limit, h.bf16_flops = 1000;
  h.scale_up_gpus = 2, h.scale_up_bytes_per_second = 100, h.network_bytes_per_second = 10;
  for (const std::string& name : efficiency_names()) efficiency_named(h.efficiencies, name) = 1;
  Efficiencies& e = h.efficiencies;
  e.core_prompt_row_head_ns = e.core_latent_row_us = e.core_grouped_row_us = e.kernel_us = e.small_kernels = 0;
  e.row_passes = e.network_latency_us = e.scale_up_latency_us = e.imbalance = e.imbalance_balanced = e.outside_layers =
      0;
  return h;
}

Layout on(std::uint32_t gpus, std::uint32_t micro_batches = 1) {
  Layout layout;
  layout.gpus = gpus, layout.micro_batches = micro_batches;
  return layout;
}

doctest::Approx about(double value) { return doctest::Approx(value).epsilon(1e-12); }

Catalog catalog() { return Catalog(std::string(MOEMILL_SOURCE_DIR) + "/configs"); }

constexpr Precision all_fp8{Format::Fp8, Format::Fp8, CacheFormat::Bf16};

}  // namespace

TEST_CASE("counts: three models by hand") {
  Catalog known = catalog();
  const model::LayerCounts v3 = count_layers(known.model("deepseek-v3"));
  const std::uint64_t q = 7168 * 1536 + 1536 * 128 * 192, kv_a = 7168 * 576, out = 128 * 128 * 7168;
  CHECK(v3.prompt.before == q + kv_a + 512 * 128 * 256);
  CHECK(v3.prompt.after == out);
  CHECK(v3.generated.before == q + kv_a + 512 * 128 * 128);
  CHECK(v3.generated.after == out + 512 * 128 * 128);
  CHECK(v3.prompt_core_flops == 2 * 128 * (128 + 64 + 128));
  CHECK(v3.generated_core_flops == 2 * 128 * (512 + 64 + 512));
  CHECK(v3.expert == 3 * 7168 * 2048);
  CHECK(v3.shared_expert == 3 * 7168 * 2048);
  CHECK(v3.dense_mlp == 3 * 7168 * 18432);
  CHECK(v3.moe_layers == 58);
  CHECK(v3.dense_layers == 3);
  CHECK(v3.head == 129280ull * 7168);
  const model::LayerCounts qwen = count_layers(known.model("qwen3-235b-a22b"));
  CHECK(qwen.prompt.before == 4096 * (64 + 2 * 4) * 128);
  CHECK(qwen.prompt.after == 64 * 128 * 4096);
  CHECK(qwen.generated.before == qwen.prompt.before);
  CHECK(qwen.generated_core_flops == 2 * 2 * 64 * 128);
  CHECK(qwen.expert == 3 * 4096 * 1536);
  CHECK(qwen.shared_expert == 0);
  CHECK(qwen.moe_layers == 94);
  const model::LayerCounts oss = count_layers(known.model("gpt-oss-20b"));
  CHECK(oss.prompt.before == 2880 * (64 + 2 * 8) * 64);
  CHECK(oss.prompt.after == 64 * 64 * 2880);
  CHECK(oss.cached_head_width == 64);
  CHECK(oss.expert == 3 * 2880 * 2880);
  CHECK(oss.head == 201088ull * 2880);
}

TEST_CASE("step: arithmetic alone, on paper") {
  const model::ModelConfig m = toy_model();
  const Hardware h = toy_machine();
  const StepTime t = predict_step({m, h, {}, on(1)}, {model::Pass::Generated, 10, 5});
  CHECK(t[Term::Projections] == about(2 * 2 * 192 * 10 / 1000.0));
  CHECK(t[Term::Core] == about(2 * 32 * 10 * 5 / 1000.0));
  CHECK(t[Term::SharedExpert] == about(2 * 48 * 10 / 1000.0));
  CHECK(t[Term::RoutedExperts] == about(2 * 48 * 2 * 10 / 1000.0));
  CHECK(t[Term::DenseLayers] == about(2 * 96 * 10 / 1000.0));
  CHECK(t[Term::Head] == about(2 * 128 * 10 / 1000.0));
  CHECK(t[Term::Dispatch] + t[Term::Combine] + t[Term::OutsideLayers] == 0);
  CHECK(t.seconds() == about(7.68 + 3.2 + 0.96 + 1.92 + 1.92 + 2.56));
  // Rows of prompts of 5 see half of it, and only the last of 5 rows has logits.
  const StepTime prompt = predict_step({m, h, {}, on(1)}, {model::Pass::Prompt, 10, 5});
  CHECK(prompt[Term::Core] == about(t[Term::Core] / 2));
  CHECK(prompt[Term::Head] == about(t[Term::Head] / 5));
}

TEST_CASE("step: rows of a prompt see the positions that a cache holds, on paper") {
  const model::ModelConfig m = toy_model();
  const Hardware h = toy_machine();
  const auto core = [&](double context, double cached) {
    return predict_step({m, h, {}, on(1)}, {model::Pass::Prompt, 10, context, 1, cached})[Term::Core];
  };
  // 2 layers, 10 rows, 32 operations a row and position: a prompt of 8 with 4 cached sees 6 positions on average.
  CHECK(core(8, 4) == about(2 * 10 * 32 * 6 / 1000.0));
  CHECK(core(4, 0) == about(2 * 10 * 32 * 2 / 1000.0));
  // Half of the prompt has rows, so twice as many prompts need logits.
  CHECK(predict_step({m, h, {}, on(1)}, {model::Pass::Prompt, 10, 8, 1, 4})[Term::Head] ==
        about(2 * predict_step({m, h, {}, on(1)}, {model::Pass::Prompt, 10, 8})[Term::Head]));
  model::ModelConfig windowed = m;
  windowed.gqa.window = 4, windowed.gqa.layer_has_window = {true, true};
  const auto seen = [&](double context, double cached) {
    return predict_step({windowed, h, {}, on(1)}, {model::Pass::Prompt, 10, context, 1, cached})[Term::Core] * 1000 /
           (2 * 10 * 32);
  };
  CHECK(seen(8, 4) == about(4));                      // every row sees a whole window
  CHECK(seen(8, 2) == about((2 * 3 + 4 * 4) / 6.0));  // rows 2 to 4 see 3 on average, the others 4
  CHECK(seen(8, 0) == about((4 * 2 + 4 * 4) / 8.0));
}

TEST_CASE("step: memory alone, on paper") {
  const model::ModelConfig m = toy_model();
  Hardware h = toy_machine();
  h.bf16_flops = no_limit, h.memory_bytes_per_second = 1000;
  const StepTime t = predict_step({m, h, {}, on(1)}, {model::Pass::Generated, 1, 5});
  CHECK(t[Term::Projections] == about(2 * 192 * 2 / 1000.0));
  CHECK(t[Term::Core] == about(2 * 5 * 8 * 2 / 1000.0));              // 5 positions of 8 values
  CHECK(t[Term::RoutedExperts] == about(4 * 0.5 * 48 * 2 / 1000.0));  // a row touches half of 4 experts
  CHECK(t[Term::Head] == about(128 * 2 / 1000.0));
  // Two rows of one sequence read the cache once.
  const StepTime draft = predict_step({m, h, {}, on(1)}, {model::Pass::Generated, 2, 5, 2});
  CHECK(draft[Term::Core] == about(t[Term::Core]));
  // Where both bounds meet, a kernel takes the fourth root of 2 times either.
  h.bf16_flops = 1000;
  const StepTime both = predict_step({m, h, {}, on(1)}, {model::Pass::Generated, 1, 5});
  CHECK(both[Term::Head] == about(0.256 * std::pow(2, 0.25)));
}

TEST_CASE("step: kernels, small kernels, rows of the core and the time outside the layers") {
  const model::ModelConfig m = toy_model();
  Hardware h = toy_machine();
  h.bf16_flops = no_limit;
  h.efficiencies.kernel_us = 1e6;  // a second
  CHECK(predict_step({m, h, {}, on(1)}, {model::Pass::Generated, 1, 1}).seconds() == about(2 * 3 + 2 + 2 + 2 + 1));
  h.efficiencies.small_kernels = 8;
  CHECK(predict_step({m, h, {}, on(1)}, {model::Pass::Generated, 1, 1})[Term::Projections] == about(2 * (2 + 8)));
  h.efficiencies.kernel_us = 0, h.memory_bytes_per_second = 16, h.efficiencies.row_passes = 3;
  h.efficiencies.memory_mxfp4_bf16 = 1;
  const StepTime passes = predict_step({m, h, {}, on(1)}, {model::Pass::Generated, 1, 1});
  h.efficiencies.row_passes = 0;
  const StepTime without = predict_step({m, h, {}, on(1)}, {model::Pass::Generated, 1, 1});
  CHECK(passes[Term::Projections] - without[Term::Projections] == about(2 * 3));  // a row is 16 bytes
  h.memory_bytes_per_second = no_limit, h.efficiencies.core_grouped_row_us = 5e5;
  CHECK(predict_step({m, h, {}, on(1)}, {model::Pass::Generated, 3, 1})[Term::Core] == about(2 * 1.5));
  h.efficiencies.outside_layers = 0.25;
  const StepTime outside = predict_step({m, h, {}, on(1)}, {model::Pass::Generated, 3, 1});
  CHECK(outside[Term::OutsideLayers] == about(outside.seconds() / 4));
}

TEST_CASE("step: the exchange hides the shared expert, and two micro-batches hide the exchange") {
  const model::ModelConfig m = toy_model();
  const Hardware h = toy_machine();
  const StepTime one = predict_step({m, h, {}, on(2)}, {model::Pass::Generated, 10, 5});
  // Two copies of a row, of which one leaves its GPU: 16 bytes at 100 bytes per second.
  CHECK(one[Term::Dispatch] == about(1.6));
  CHECK(one[Term::Combine] == about(1.6));
  CHECK(one.hidden_seconds == about(0.96));
  CHECK(one.seconds() == about(18.24 - 0.96 + 2 * 1.6));
  // Halves: a0 1.28, a1 1.44, s 0.48, m 0.96, d and c 0.8 each: 2 (max(1.76, 0.8) + 0.96 + max(1.44, 0.8)); the dense
  // layer takes 5.44 + 1.92, the head 2.56.
  const StepTime two = predict_step({m, h, {}, on(2, 2)}, {model::Pass::Generated, 10, 5});
  CHECK(two.seconds() == about(2 * (1.76 + 0.96 + 1.44) + 5.44 + 1.92 + 2.56));
  // A prompt's rows: a is 2.32 there, as rows see half of it.
  const StepTime prompt = predict_step({m, h, {}, on(2, 2)}, {model::Pass::Prompt, 10, 5});
  CHECK(prompt.seconds() == about((2.32 + 0.48) + 2.32 + 0.96 + (0.96 + 0.48) + 2 * 2.32 + 1.92 + 0.512));
}

TEST_CASE("exchange: copies over each link") {
  const Hardware h = toy_machine();  // domains of 2 GPUs
  Layout layout = on(4);
  const auto close = [](const estimate::Copies& copies, double scale_up, double network) {
    CHECK(copies.scale_up == about(scale_up));
    CHECK(copies.network == about(network));
  };
  close(copies_of_row(layout, h, 2), 2 * 0.25, 2 * 0.5);
  layout.exchange = Exchange::OnceAGpu;  // 2 picks fall on 1.75 of 4 GPUs
  close(copies_of_row(layout, h, 2), 1.75 * 0.25, 1.75 * 0.5);
  layout.exchange = Exchange::OnceANode;  // and on 1.5 of 2 domains
  close(copies_of_row(layout, h, 2), 1.75 * 0.5, 1.5 * 0.5);
  layout.most_nodes = 1;
  close(copies_of_row(layout, h, 2), 1.75 * 0.5, 1 * 0.5);
  layout.exchange = Exchange::AllGather;
  close(copies_of_row(layout, h, 2), 1, 2);
  CHECK(transfer_of(on(1), h, toy_model(), 100, 2).seconds() == 0);
  // 100 rows of 16 bytes, one copy each at 10 bytes per second; the load of the busiest GPU is 1 + 2 * 0.5 times the
  // mean.
  Hardware uneven = h;
  uneven.efficiencies.imbalance = 0.5, uneven.efficiencies.network_latency_us = 1e6;
  CHECK(transfer_of(on(4), uneven, toy_model(), 100, 2).seconds() == about(2 * 160 + 1));
}

TEST_CASE("memory: what a GPU holds") {
  const model::ModelConfig m = toy_model();
  const Hardware h = toy_machine();
  MemoryUse use = memory_use({m, h, {}, on(1)}, 10);
  CHECK(use.weights_bytes == 2 * (2 * 192 + 48 + 96 + 2 * 128 + 4 * 48));
  CHECK(use.sequence_bytes == 2 * 10 * 8 * 2);
  CHECK(use.usable_bytes == 10'000);
  CHECK(use.sequences() == about((10'000 - 1952) / 320.0));
  Layout two = on(2);
  two.redundant_experts = 2;
  use = memory_use({m, h, {}, two}, 10);
  CHECK(use.weights_bytes == 2 * (2 * 192 + 48 + 96 + 2 * 128 + 2 * 48));
  CHECK(use.redundant_bytes == 2 * 48);
  model::ModelConfig windowed = m;
  windowed.gqa.window = 4, windowed.gqa.layer_has_window = {true, false};
  CHECK(memory_use({windowed, h, {}, on(1)}, 10).sequence_bytes == (4 + 10) * 8 * 2);
}

TEST_CASE("throughput: queued work runs in waves, phases share GPUs or have their own") {
  const model::ModelConfig m = toy_model();
  const Hardware h = toy_machine();
  const Setting setting{m, h, {}, on(1)};
  const Rate rate = queued_rate(setting, {60, 5, 5, 100});  // room for 25 sequences of 10 tokens
  CHECK(rate.waves == 3);
  CHECK(rate.sequences == 20);
  const double prompts = 3 * predict_step(setting, {model::Pass::Prompt, 100, 5}).seconds();
  const double generated = 3 * 5 * predict_step(setting, {model::Pass::Generated, 20, 7.5}).seconds();
  CHECK(rate.tokens_per_second == about(60 * 5 / (prompts + generated)));
  CHECK_THROWS_AS(queued_rate(setting, {1, 100, 1000, 100}), UserError);  // 17,600 bytes of cache
  const Phases phases{200, 10, 100, 5};                                   // two seconds a prompt for each phase
  CHECK(prompts_per_second(phases, 8) == about(2));
  CHECK(prompts_per_second(phases, 4, 4) == about(2));
  CHECK(prompts_per_second(phases, 6, 2) == about(1));
}

TEST_CASE("step: the sum of the terms less what is hidden is the step, on every machine") {
  Catalog known = catalog();
  for (const char* name : {"H100", "H20", "GB200"}) {
    CAPTURE(name);
    for (std::uint32_t micro_batches : {1u, 2u}) {
      Layout layout = on(32, micro_batches);
      const StepTime t = predict_step({known.model("deepseek-v3"), known.hardware(name), all_fp8, layout},
                                      {model::Pass::Generated, 128, 4096});
      CHECK(t.hidden_seconds >= 0);
      CHECK(t.seconds() > 0);
      double sum = -t.hidden_seconds;
      for (double seconds : t.seconds_of) sum += seconds;
      CHECK(t.seconds() == about(sum));
    }
    const StepTime alone = predict_step({known.model("deepseek-v3"), known.hardware(name), all_fp8, on(1)},
                                        {model::Pass::Generated, 128, 4096});
    CHECK(alone[Term::Dispatch] + alone[Term::Combine] == 0);
  }
}

TEST_CASE("step: more memory, a faster link, more bandwidth and higher peaks are never slower") {
  Catalog known = catalog();
  const model::ModelConfig& m = known.model("deepseek-v3");
  const Hardware base = known.hardware("H200");
  const auto improved = [&](auto change) {
    Hardware better = base;
    change(better);
    return better;
  };
  const Hardware machines[] = {
      improved([](Hardware& h) { h.memory_bytes *= 1.2; }),
      improved([](Hardware& h) { h.memory_bytes_per_second *= 1.2; }),
      improved([](Hardware& h) { *h.network_bytes_per_second *= 1.2; }),
      improved([](Hardware& h) { h.scale_up_bytes_per_second *= 1.2; }),
      improved([](Hardware& h) { *h.fp8_flops *= 1.2; }),
      improved([](Hardware& h) { *h.bf16_flops *= 1.2; }),
  };
  for (const Hardware& better : machines)
    for (Exchange exchange : {Exchange::EveryCopy, Exchange::OnceANode, Exchange::OnceAGpu, Exchange::AllGather})
      for (std::uint32_t micro_batches : {1u, 2u}) {
        Layout layout = on(16, micro_batches);
        layout.exchange = exchange;
        const auto rates = [&](const Hardware& h) {
          const Setting s{m, h, all_fp8, layout};
          return std::array{prefill_rate(s, 8192, 2048).tokens_per_second,
                            decode_rate(s, {128, 4096}).tokens_per_second,
                            queued_rate(s, {4000, 1024, 1024, 8192}).tokens_per_second};
        };
        const auto before = rates(base), after = rates(better);
        for (std::size_t i = 0; i < before.size(); ++i) CHECK(after[i] >= before[i] * (1 - 1e-12));
      }
}
