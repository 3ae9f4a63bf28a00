#include "bench/gemm_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/aligned.hpp"
#include "base/random.hpp"
#include "bench/report.hpp"
#include "kernels/gemm.hpp"

namespace moemill::bench {

namespace {

// Copies of one matrix to go through in turn: together far larger than any cache, so each comes from memory.
constexpr std::size_t cold_bytes = 320'000'000;

void fill(bf16* values, std::size_t count, std::uint64_t key) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto r = philox(key, i);
    values[i] = to_bf16(static_cast<float>(uniform(r[0], r[1]) - 0.5));
  }
}

struct Weights {
  std::size_t count, copies;  // bf16 values of one matrix
  AlignedBuffer<bf16> values;
};

Weights make_weights(Shape shape) {
  std::vector<bf16> source(std::size_t{shape.first} * shape.second);
  fill(source.data(), source.size(), 1);
  Weights w{cpu::packed_count(shape.first, shape.second), 0, {}};
  w.copies = std::max<std::size_t>(2, cold_bytes / (w.count * sizeof(bf16)) + 1);
  bf16* first = w.values.reserve(w.count * w.copies);
  cpu::pack(first, shape.first, shape.second, source.data(), shape.first, 1, 0, shape.second);
  for (std::size_t c = 1; c < w.copies; ++c) std::memcpy(first + c * w.count, first, w.count * sizeof(bf16));
  return w;
}

double operations(const GemmResult& r) { return 2.0 * static_cast<double>(r.rows) * r.k * r.n; }

// The lower of the FMA peak and what reading the weights once allows.
double cold_bound(const GemmResult& r, const GemmReport& report) {
  const double weight_seconds = 2.0 * r.k * r.n / report.bandwidth;
  return std::min(report.peak, operations(r) / weight_seconds);
}

void print_table(const KernelOptions& options, const GemmReport& report) {
  print_machine(options, report.peak, report.bandwidth);
  fmt::print(
      "C[M, N] = A[M, K] * W[K, N], bf16 weights. Rates in GFLOP/s: median (best); %: median's share of the FMA\n"
      "peak; bound: cold median's share of the lower of FMA peak and reading W once.\n\n");
  fmt::print("{:>6} {:>6} {:>5} | {:>15} {:>4} {:>6} | {:>15} {:>4}\n", "K", "N", "M", "weights cold", "%", "bound",
             "weights warm", "%");
  for (const GemmResult& r : report.results) {
    const double flops = operations(r), cold = flops / r.cold.median, warm = flops / r.warm.median;
    fmt::print("{:>6} {:>6} {:>5} | {:>7.1f} ({:>5.1f}) {:>4.0f} {:>5.0f}% | {:>7.1f} ({:>5.1f}) {:>4.0f}\n", r.k, r.n,
               r.rows, cold / 1e9, flops / r.cold.best / 1e9, 100 * cold / report.peak,
               100 * cold / cold_bound(r, report), warm / 1e9, flops / r.warm.best / 1e9, 100 * warm / report.peak);
  }
}

void print_json(const KernelOptions& options, const GemmReport& report) {
  nlohmann::json out = machine_json(options, report.peak, report.bandwidth);
  out["benchmark"] = "gemm";
  for (const GemmResult& r : report.results) {
    const double cold = operations(r) / r.cold.median, warm = operations(r) / r.warm.median;
    out["results"].push_back({{"k", r.k},
                              {"n", r.n},
                              {"rows", r.rows},
                              {"cold_seconds_median", r.cold.median},
                              {"cold_seconds_best", r.cold.best},
                              {"cold_share_of_peak", cold / report.peak},
                              {"cold_share_of_bound", cold / cold_bound(r, report)},
                              {"warm_seconds_median", r.warm.median},
                              {"warm_seconds_best", r.warm.best},
                              {"warm_share_of_peak", warm / report.peak}});
  }
  fmt::print("{}\n", out.dump(2));
}

}  // namespace

GemmReport measure_gemm(const KernelOptions& options) {
  cpu::Stream stream(options.isa, options.threads);
  const Clock clock = clock_for(options.threads);
  GemmReport report{1e9 * measure_fma_peak(options.isa, options.threads).gflops, read_bandwidth(stream, clock), {}};
  for (Shape shape : options.shapes) {
    const Weights w = make_weights(shape);
    const std::size_t most = *std::max_element(options.rows.begin(), options.rows.end());
    std::vector<bf16> a(most * shape.first);
    fill(a.data(), a.size(), 2);
    std::vector<float> c(most * shape.second);
    for (std::size_t rows : options.rows) {
      auto product = [&](std::size_t copy) {
        const cpu::Matrix matrix{w.values.data() + copy * w.count, shape.first, shape.second};
        cpu::gemm(stream, cpu::RowsBf16{a.data(), shape.first}, rows, matrix, c.data(), shape.second);
      };
      const Timing cold = measure(clock, options.seconds, [&](std::size_t call) { product(call % w.copies); });
      const Timing warm = measure(clock, options.seconds, [&](std::size_t) { product(0); });
      report.results.push_back({shape.first, shape.second, rows, cold, warm});
    }
    // The clock may have risen since.
    report.peak = std::max(report.peak, 1e9 * measure_fma_peak(options.isa, options.threads).gflops);
  }
  return report;
}

int run_gemm_bench(const std::vector<std::string>& args) {
  const auto options = parse_kernel_options(
      args, {"moemill bench gemm [options]",
             {"moemill bench gemm", "moemill bench gemm --threads 8 --shapes 2048x1408 --rows 1,64",
              "moemill bench gemm --isa avx2 --json"},
             "K x N of the weights, one or more",
             "1024x1024,512x1024,1024x512,2048x1408,7168x2048",
             "M, one or more",
             "1,2,4,8,16,32,64,128,256,512"});
  if (!options) return 0;
  const GemmReport report = measure_gemm(*options);
  options->form == Form::Json ? print_json(*options, report) : print_table(*options, report);
  return 0;
}

}  // namespace moemill::bench
