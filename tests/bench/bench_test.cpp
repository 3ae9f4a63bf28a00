#include "bench/bench.hpp"

#include <doctest/doctest.h>

#include "base/error.hpp"
#include "bench/attention_bench.hpp"
#include "bench/gemm_bench.hpp"

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
}

TEST_CASE("bench: what cannot be run is the user's error") {
  CHECK_THROWS_AS(bench::run_bench({"gemmm"}), UserError);
  CHECK_THROWS_AS(bench::run_bench({"gemm", "--shape", "1x1"}), UserError);
  CHECK_THROWS_AS(bench::run_bench({"gemm", "--isa", "neon"}), UserError);
  CHECK_THROWS_AS(bench::run_bench({"gemm", "--threads", "0"}), UserError);
  CHECK_THROWS_AS(bench::run_bench({"attention", "--seconds", "0"}), UserError);
  CHECK_THROWS_AS(bench::run_bench({"attention", "extra"}), UserError);
  CHECK(bench::run_bench({"--help"}) == 0);
  CHECK(bench::run_bench({"gemm", "--help"}) == 0);
  CHECK(bench::run_bench({}) == 2);
}

TEST_CASE("bench: numbers are positive and no kernel beats the peak it is compared with") {
  bench::KernelOptions options;
  options.shapes = {{96, 64}};
  options.rows = {3};
  options.seconds = 0.01;
  const auto gemm = bench::measure_gemm(options);
  REQUIRE(gemm.results.size() == 1);
  CHECK(gemm.bandwidth > 0);
  CHECK(gemm.results[0].cold.best > 0);
  CHECK(gemm.results[0].cold.best <= gemm.results[0].cold.median);
  CHECK(2.0 * 3 * 96 * 64 / gemm.results[0].warm.median < 1.1 * gemm.peak);

  const auto attention = bench::measure_attention(options);
  REQUIRE(attention.results.size() == 2);
  for (const auto& r : attention.results) {
    const double operations = 2.0 * static_cast<double>(r.lanes * r.tokens) * (r.key_width + r.value_width);
    CHECK(operations / r.block.median < 1.1 * attention.peak);
    CHECK(r.pages.best > 0);
  }
}
