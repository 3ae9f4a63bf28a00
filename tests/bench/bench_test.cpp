#include "bench/bench.hpp"

#include <doctest/doctest.h>

#include "base/error.hpp"
#include "bench/attention_bench.hpp"
#include "bench/calibrate.hpp"

#include "bench/end_to_end_bench.hpp"
#include "bench/gemm_bench.hpp"
#include "bench/machine_rates.hpp"

using namespace moemill;

TEST_CASE("bench: lists of shapes and counts") {
  auto shapes = bench::parse_shapes("1024x512,7x9");
  REQUIRE(shapes.size() == 2);
  CHECK(shapes[0].first == 1024);
  CHECK(shapes[1].second == 9);
  CHECK(bench::parse_counts("1,32") == std::vector<std::size_t>{1, 32});
  for (const char* wrong : {"", "12", "12x", "x12", "1x2x3", "0x4", "1x2,", "ax2", "1x-2", "1x99999999999"}) {
    CHECK_THROWS_AS(bench::parse_shapes(wrong), UserError);
  }
  for (const char* wrong : {"", "0", "1,,2", "1;2", "-1", "1.5"})
    CHECK_THROWS_AS(bench::parse_counts(wrong), UserError);
  CHECK(bench::parse_formats("fp8,bf16") == std::vector{cpu::Format::Fp8, cpu::Format::Bf16});
  CHECK(bench::parse_formats("int8") == std::vector{cpu::Format::Int8});
  for (const char* wrong : {"", "fp4", "bf16,", "bf16,int4"}) CHECK_THROWS_AS(bench::parse_formats(wrong), UserError);
}

TEST_CASE("bench: what cannot be run is the user's error") {
  CHECK_THROWS_AS(bench::run_bench({"gemmm"}, Comm::alone()), UserError);
  CHECK_THROWS_AS(bench::run_bench({"gemm", "--shape", "1x1"}, Comm::alone()), UserError);
  CHECK_THROWS_AS(bench::run_bench({"gemm", "--isa", "neon"}, Comm::alone()), UserError);
  CHECK_THROWS_AS(bench::run_bench({"gemm", "--threads", "0"}, Comm::alone()), UserError);
  CHECK_THROWS_AS(bench::run_bench({"attention", "--seconds", "0"}, Comm::alone()), UserError);
  CHECK_THROWS_AS(bench::run_bench({"attention", "extra"}, Comm::alone()), UserError);
  CHECK_THROWS_AS(bench::run_bench({"attention", "--shared-prefix", "100"}, Comm::alone()), UserError);
  CHECK_THROWS_AS(bench::run_bench({"attention", "--shared-prefix", "128", "--rows", "64"}, Comm::alone()), UserError);
  CHECK(bench::run_bench({"--help"}, Comm::alone()) == 0);
  CHECK(bench::run_bench({"gemm", "--help"}, Comm::alone()) == 0);
  CHECK(bench::run_bench({}, Comm::alone()) == 2);
}

TEST_CASE("bench: peaks of each instruction set that the CPU has") {
  for (cpu::Isa isa : {cpu::Isa::Plain, cpu::Isa::Avx2, cpu::Isa::Avx512}) {
    if (!cpu::available(isa)) continue;
    const bench::Peaks peaks = bench::measure_peaks(isa, 1);
    CHECK(peaks.fma > 0);
    CHECK(peaks.bf16() >= peaks.fma);
    CHECK((peaks.int8_dot > 0) == (isa != cpu::Isa::Plain));
    if (isa != cpu::Isa::Avx512) CHECK(peaks.bf16_dot == 0);
  }
}

TEST_CASE("bench: calibrate measures what the ranks of the launch can see") {
  for (int ranks : {1, 2}) {
    run_loopback(ranks, [&](Comm world) {
      const mill::Machine m = bench::measure_machine(world, cpu::best_isa(), 1).machine;
      CHECK(m.nodes == 1);
      CHECK(m.ranks_per_node == static_cast<std::uint32_t>(ranks));
      CHECK(m.core.fma_flops > 0);
      CHECK(m.node.read_bytes_per_second > 0);
      CHECK(m.within_node.has_value() == (ranks > 1));
      if (m.within_node) CHECK(m.within_node->bytes_per_second > 0);
      CHECK_FALSE(m.between_nodes);
    });
  }
}

TEST_CASE("bench: every number asked for is measured") {
  bench::KernelOptions options;
  options.shapes = {{96, 64}};
  options.rows = {3};
  options.seconds = 0.01;
  options.weights = {cpu::Format::Bf16, cpu::Format::Fp8, cpu::Format::Mxfp4, cpu::Format::Int8};
  const auto gemm = bench::measure_gemm(options);
  REQUIRE(gemm.results.size() == 4);
  CHECK(gemm.results[0].weight_bytes == 96 * 64 * 2);
  CHECK(gemm.results[1].weight_bytes < gemm.results[0].weight_bytes * 11 / 20);
  CHECK(gemm.results[2].weight_bytes < gemm.results[0].weight_bytes * 6 / 20);
  CHECK(gemm.results[3].weight_bytes == gemm.results[0].weight_bytes * 128 / 96 * 33 / 64);  // K is padded to 128
  CHECK(gemm.bandwidth > 0);
  CHECK(gemm.results[0].cold.best > 0);
  CHECK(gemm.results[0].cold.best <= gemm.results[0].cold.median);
  CHECK(gemm.results[0].warm.median > 0);
  CHECK(gemm.peaks.fma > 0);
}

TEST_CASE("bench: attention of both kinds and both forms, with what it needs") {
  bench::KernelOptions options;
  options.shapes = {{3, 32}};
  options.groups = {{3, 20}};
  options.rows = {3, 100};
  options.seconds = 0.01;
  const auto report = bench::measure_attention(options);
  REQUIRE(report.results.size() == 8);
  for (const auto& r : report.results) {
    CHECK(r.layer.best > 0);
    CHECK(r.layer.best <= r.layer.median);
    CHECK(r.core_seconds > 0);
    CHECK(r.product_seconds > 0);
    CHECK(r.core_seconds < r.layer.median);
    const bool latent = r.config.attention == model::AttentionKind::Latent;
    CHECK((r.needs.product_operations > 0) == latent);
    const double width = latent ? 32 + 4 : 4 * 2 * 20;
    CHECK(r.needs.bytes == 2 * width * r.step.context * r.step.sequences);
  }
  const auto& absorbed = report.results[2];  // a context of 100
  CHECK(absorbed.step.rows == 1);
  CHECK(absorbed.needs.operations == 100.0 * absorbed.step.sequences * 2 * 3 * (32 + 4 + 32));
  CHECK(absorbed.needs.product_operations == absorbed.step.sequences * 2.0 * 3 * 32 * (8 + 8));
  const auto& prompt = report.results[7];
  CHECK(prompt.step.rows == 100);
  CHECK(prompt.needs.operations == 100 * 101 / 2 * prompt.step.sequences * 4.0 * 12 * 20);
}

TEST_CASE("bench: prompts behind a shared prefix need its keys and values once") {
  bench::KernelOptions options;
  options.shapes = {{3, 32}};
  options.groups = {{3, 20}};
  options.rows = {160};
  options.shared_prefix = 128;
  options.seconds = 0.01;
  const auto report = bench::measure_attention(options);
  REQUIRE(report.results.size() == 4);
  for (std::size_t i = 0; i < 4; i += 2) {
    const auto &alone = report.results[i], &shared = report.results[i + 1];
    CHECK(alone.step.shared == 0);
    CHECK(shared.step.shared == 128);
    CHECK(shared.step.sequences == 64);
    CHECK(shared.needs.operations == alone.needs.operations);
    CHECK(shared.needs.bytes * (64 * 160) == alone.needs.bytes * (128 + 64 * 32));
  }
  CHECK(report.results[1].needs.product_operations == (128 + 64 * 32) * 2.0 * 3 * 32 * (8 + 8));
}

TEST_CASE("bench: with a model, attention is measured with its shapes, and a window bounds what is seen") {
  bench::KernelOptions options;
  options.model = MOEMILL_TEST_DATA "/models/gpt_oss";  // layers with and without a window of 16
  options.rows = {100};
  options.seconds = 0.01;
  const auto report = bench::measure_attention(options);
  REQUIRE(report.results.size() == 4);
  const auto& all = report.results[0];
  const auto& windowed = report.results[2];
  CHECK(windowed.needs.bytes * 100 == all.needs.bytes * 16);
  CHECK(windowed.needs.operations * 100 == all.needs.operations * 16);
}

TEST_CASE("bench: attention of a model whose queries go through a low rank") {
  bench::KernelOptions options;
  options.model = MOEMILL_TEST_DATA "/models/deepseek_v3";
  options.rows = {70};
  options.seconds = 0.01;
  const auto report = bench::measure_attention(options);
  REQUIRE(report.results.size() == 2);
  for (const auto& r : report.results) CHECK(r.product_seconds > 0);
}

TEST_CASE("bench: whole steps on any number of ranks count the same operations") {
  for (auto [workload, model] : {std::pair(bench::Workload::Decode, "deepseek_v3"),
                                 {bench::Workload::Prefill, "deepseek_v3"},
                                 {bench::Workload::Decode, "gpt_oss"},
                                 {bench::Workload::Prefill, "mixtral_window"}}) {
    bench::EndToEndOptions options;
    options.workload = workload;
    options.model = MOEMILL_TEST_DATA "/models/" + std::string(model);
    options.sequences = 5;
    options.tokens = 70;
    options.steps = 2;
    options.isa = cpu::best_isa();
    double operations = 0;
    for (int ranks : {1, 3}) {
      run_loopback(ranks, [&](Comm world) {
        const bench::EndToEndResult r = bench::measure_end_to_end(options, world);
        if (world.rank() != 0) return;
        CHECK(r.ranks == static_cast<std::uint32_t>(ranks));
        CHECK(r.peaks.fma > 0);
        CHECK(r.peak_bandwidth > 0);
        CHECK(r.bytes_per_second > 0);
        double shares = 0;
        for (double share : r.passes) {
          CHECK(share >= 0);
          shares += share;
        }
        CHECK(shares == doctest::Approx(1));
        CHECK(r.passes[static_cast<std::size_t>(Pass::Products)] > 0);
        CHECK(r.tokens_per_second * r.seconds_per_step ==
              doctest::Approx(options.workload == bench::Workload::Decode ? 5 : 5 * 70));
        const double this_many = r.needed_gflops * r.seconds_per_step;
        if (operations > 0) CHECK(this_many == doctest::Approx(operations));
        operations = this_many;
      });
    }
  }
}
