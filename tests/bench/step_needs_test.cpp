// Operations and bytes that a step needs, on models small enough to count by hand.
#include "bench/step_needs.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "bench/end_to_end_bench.hpp"
#include "model/placement.hpp"
#include "weights/cpu/weights.hpp"

using namespace moemill;
using namespace moemill::bench;

namespace {

model::ModelConfig read(const char* name) {
  return model::read_config(MOEMILL_TEST_DATA "/models/" + std::string(name));
}

std::size_t moe_layers(const model::ModelConfig& config) {
  std::size_t layers = 0;
  for (bool moe : config.layer_is_moe) layers += moe ? 1 : 0;
  return layers;
}

}  // namespace

TEST_CASE("needed bytes: all picked experts and everything else is what one rank holds and reads") {
  const model::ModelConfig config = read("mixtral_window");
  const StepShape shape{Workload::Decode, 5, 20};
  const auto experts = static_cast<double>(moe_layers(config) * config.moe.experts);
  const NeededBytes bytes = needed_bytes(shape, config, 1, experts);
  const double held = static_cast<double>(model::weight_bytes(config, model::contiguous_slices(config, 1), {0}));
  const double table = 2.0 * config.vocabulary * config.hidden, rows = 2.0 * 5 * config.hidden;
  CHECK(bytes.experts + bytes.replicated == doctest::Approx(held - table + rows));
  const double seen = std::min<double>(21, config.gqa.window);
  CHECK(bytes.cache == doctest::Approx(5 * seen * config.layers * model::kv_width(config) * 2));
}

TEST_CASE("needed bytes: half of the experts are half of their bytes, and each rank reads the rest once") {
  const model::ModelConfig config = read("deepseek_v3");
  const StepShape shape{Workload::Prefill, 3, 7};
  const auto experts = static_cast<double>(moe_layers(config) * config.moe.experts);
  const NeededBytes one = needed_bytes(shape, config, 1, experts), two = needed_bytes(shape, config, 2, experts / 2);
  CHECK(two.experts == doctest::Approx(one.experts / 2));
  const double rows = 2.0 * 3 * 7 * config.hidden;
  CHECK(two.replicated - rows == doctest::Approx(2 * (one.replicated - rows)));
  CHECK(two.cache == one.cache);
}

TEST_CASE("needed bytes: weights kept in FP8 count their own bytes") {
  model::ModelConfig plain = read("deepseek_v3"), fp8 = plain;
  fp8.quantization = {model::WeightFormat::Fp8, 128, 128};
  const StepShape shape{Workload::Decode, 5, 20};
  CHECK(needed_bytes(shape, fp8, 1, 4).experts < 0.6 * needed_bytes(shape, plain, 1, 4).experts);
}

TEST_CASE(
    "the arithmetic int8 needs the same operations, most of them in int8, and about half of the bytes of experts") {
  model::ModelConfig plain = model::read_config(MOEMILL_SOURCE_DIR "/configs/bench/deepseek-0.5b"), int8 = plain;
  int8.arithmetic = Arithmetic::Int8;
  for (const StepShape& shape : {StepShape{Workload::Decode, 5, 20}, StepShape{Workload::Prefill, 3, 7}}) {
    const NeededOperations before = needed_operations(shape, plain), after = needed_operations(shape, int8);
    CHECK(before.int8 == 0);
    CHECK(after.all() == doctest::Approx(before.all()));
    CHECK(before.fp32 > after.fp32);  // the output projection
    CHECK(before.bf16 > before.fp32);
    CHECK(after.int8 ==
          doctest::Approx((shape.workload == Workload::Decode ? 5 : 21) * rounded_flops_per_token(plain)));
    CHECK(needed_bytes(shape, int8, 1, 4).experts < 0.53 * needed_bytes(shape, plain, 1, 4).experts);
    CHECK(needed_bytes(shape, int8, 1, 4).cache == needed_bytes(shape, plain, 1, 4).cache);
  }
}

TEST_CASE("picked experts are those whose counts changed") {
  const std::vector<std::uint64_t> before = {0, 5, 7, 0}, after = {0, 6, 7, 3};
  CHECK(experts_picked(before, after) == 2);
  CHECK(experts_picked(after, after) == 0);
}

TEST_CASE("a step's picked experts are the same on any number of ranks, each counted once") {
  EndToEndOptions options;
  options.workload = Workload::Prefill;  // whose picks depend on the prompts alone
  options.model = MOEMILL_TEST_DATA "/models/deepseek_v3";
  options.sequences = 2;
  options.tokens = 3;
  options.steps = 3;
  options.isa = cpu::best_isa();
  const model::ModelConfig config = read("deepseek_v3");
  double picked = 0;
  for (int ranks : {1, 2}) {
    run_loopback(ranks, [&](Comm world) {
      const EndToEndResult r = measure_end_to_end(options, world);
      if (world.rank() != 0) return;
      CHECK(r.experts == moe_layers(config) * config.moe.experts);
      CHECK(r.experts_picked >= static_cast<double>(moe_layers(config) * config.moe.picks));
      CHECK(r.experts_picked <= static_cast<double>(r.experts));
      CHECK(r.bytes_per_second * r.seconds_per_step == doctest::Approx(r.bytes.all()));
      if (picked > 0) CHECK(r.experts_picked == picked);
      picked = r.experts_picked;
    });
  }
}
