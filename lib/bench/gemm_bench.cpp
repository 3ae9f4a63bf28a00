#include "bench/gemm_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/buffer.hpp"
#include "base/error.hpp"
#include "base/numbers/random.hpp"
#include "base/numbers/rounding.hpp"
#include "base/numbers/small_floats.hpp"
#include "bench/report.hpp"
#include "kernels/gemm.hpp"
#include "system/files/mapped_file.hpp"

namespace moemill::bench {

namespace {

// Bytes of all copies of one matrix. Products use them in turn, and together they are far larger than any cache, so
// each comes from memory.
constexpr std::size_t cold_bytes = 320'000'000;

void fill(bf16* values, std::size_t count, std::uint64_t key) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto r = philox(key, i);
    values[i] = to_bf16(static_cast<float>(uniform(r[0], r[1]) - 0.5));
  }
}

constexpr std::uint32_t fp8_block = 128;  // rows and inputs that share a scale, as DeepSeek publishes them

std::byte any_byte(std::size_t i) { return static_cast<std::byte>(philox(1, i)[0]); }

void pack_values(std::byte* to, const cpu::Matrix& w) {
  std::vector<bf16> source(std::size_t{w.k} * w.n);
  fill(source.data(), source.size(), 1);
  cpu::pack(reinterpret_cast<bf16*>(to), w, {0, w.k, 0, w.n}, source.data(), w.k, 1);
}

void pack_fp8(std::byte* to, const cpu::Matrix& w) {
  std::vector<std::byte> codes(std::size_t{w.k} * w.n);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = any_byte(i) & std::byte{0xf7};  // no code is NaN
  const std::size_t width = divide_up<std::size_t>(w.k, fp8_block);
  const std::vector<float> scales(divide_up<std::size_t>(w.n, fp8_block) * width, 0.001f);
  cpu::pack(to, w, cpu::Fp8Columns{0, w.n, codes.data(), scales.data(), width, 0, fp8_block});
}

void pack_mxfp4(std::byte* to, const cpu::Matrix& w) {
  std::vector<std::byte> blocks(std::size_t{w.k} * w.n / 2);
  for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = any_byte(i);
  const std::vector<std::byte> scales(blocks.size() / mxfp4_block_bytes, std::byte{120});
  cpu::pack(to, w, cpu::Mxfp4Columns{0, w.n, blocks.data(), scales.data(), 1});
}

void pack_quantized(std::byte* to, const cpu::Matrix& w) {
  std::vector<bf16> source(std::size_t{w.k} * w.n);
  fill(source.data(), source.size(), 1);
  cpu::pack_int8(to, w, {0, w.k, 0, w.n}, source.data(), w.k, 1);
}

struct Weights {
  cpu::Matrix shape;
  std::size_t bytes, copies;  // of one matrix, rounded up to whole cache lines
  MappedMemory memory;        // as a model's weights lie

  cpu::Matrix copy(std::size_t index) const {
    cpu::Matrix w = shape;
    w.data = memory.data() + index * bytes;
    return w;
  }
};

Weights make_weights(Shape shape, cpu::Format format, cpu::PairOrder order) {
  Weights w{{nullptr, shape.first, shape.second, format, 0, 0, order}, 0, 0, {}};
  if (format == cpu::Format::Fp8) w.shape.scale_inputs = fp8_block, w.shape.scale_columns = 1;
  if (format == cpu::Format::Mxfp4 && shape.first % mxfp4_block != 0) {
    user_error("bench: K {} is no multiple of {}, a block of MXFP4", shape.first, mxfp4_block);
  }
  w.bytes = round_up(cpu::packed_bytes(w.shape), std::size_t{64});
  w.copies = std::max<std::size_t>(2, cold_bytes / w.bytes + 1);
  w.memory = MappedMemory(w.bytes * w.copies, "weights");
  std::byte* first = w.memory.data();
  switch (format) {
    case cpu::Format::Bf16: pack_values(first, w.shape); break;
    case cpu::Format::Fp8: pack_fp8(first, w.shape); break;
    case cpu::Format::Mxfp4: pack_mxfp4(first, w.shape); break;
    case cpu::Format::Int8: pack_quantized(first, w.shape); break;
  }
  for (std::size_t c = 1; c < w.copies; ++c) std::memcpy(first + c * w.bytes, first, w.bytes);
  return w;
}

double operations(const GemmResult& r) { return 2.0 * static_cast<double>(r.rows) * r.k * r.n; }

// The peak of the dot products that the weights' format can use; 0 if the processor has none.
double dot_peak(const GemmResult& r, const Peaks& peaks) {
  return r.weights == cpu::Format::Int8 ? peaks.int8_dot : peaks.bf16_dot;
}

// The lower of what the processor's products of the format reach (bf16 by FMA or dot, whichever is faster) and the rate
// at which the weights can be read once.
double cold_bound(const GemmResult& r, const GemmReport& report) {
  const double weight_seconds = static_cast<double>(r.weight_bytes) / report.bandwidth;
  const double peak =
      std::max(r.weights == cpu::Format::Int8 ? report.peaks.fma : report.peaks.bf16(), dot_peak(r, report.peaks));
  return std::min(peak, operations(r) / weight_seconds);
}

bool has_int8(const KernelOptions& options) {
  return std::find(options.weights.begin(), options.weights.end(), cpu::Format::Int8) != options.weights.end();
}

void print_table(const KernelOptions& options, const GemmReport& report) {
  print_machine(options, report.peaks, report.bandwidth);
  fmt::print(
      "C[M, N] = A[M, K] * W[K, N]. Rates in GFLOP/s, for int8 in GOP/s: median (best); %: median's share of the FMA\n"
      "peak; dot: of the dot peak, for int8 of that of int8; bound: cold median's share of the lower of the higher "
      "peak\n"
      "and reading W once.\n");
  if (has_int8(options)) fmt::print("int8 products by {}.\n", cpu::name(cpu::best_int8_unit(options.isa)));
  fmt::print("\n");
  fmt::print("{:>6} {:>6} {:>5} {:>6} | {:>15} {:>4} {:>4} {:>6} | {:>15} {:>4} {:>4}\n", "K", "N", "M", "W",
             "weights cold", "%", "dot", "bound", "weights warm", "%", "dot");
  for (const GemmResult& r : report.results) {
    const double flops = operations(r), cold = flops / r.cold.median, warm = flops / r.warm.median;
    const Peaks& peaks = report.peaks;
    const double dot = dot_peak(r, peaks);
    const auto of_dot = [&](double rate) {
      return dot > 0 ? fmt::format("{:.0f}", 100 * rate / dot) : std::string("-");
    };
    fmt::print(
        "{:>6} {:>6} {:>5} {:>6} | {:>7.1f} ({:>5.1f}) {:>4.0f} {:>4} {:>5.0f}% | {:>7.1f} ({:>5.1f}) {:>4.0f} {:>4}\n",
        r.k, r.n, r.rows, format_name(r.weights), cold / 1e9, flops / r.cold.best / 1e9, 100 * cold / peaks.fma,
        of_dot(cold), 100 * cold / cold_bound(r, report), warm / 1e9, flops / r.warm.best / 1e9, 100 * warm / peaks.fma,
        of_dot(warm));
  }
}

void print_json(const KernelOptions& options, const GemmReport& report) {
  nlohmann::ordered_json out = machine_json(options, report.peaks, report.bandwidth);
  out["benchmark"] = "gemm";
  if (has_int8(options)) out["int8_unit"] = cpu::name(cpu::best_int8_unit(options.isa));
  for (const GemmResult& r : report.results) {
    const double cold = operations(r) / r.cold.median, warm = operations(r) / r.warm.median;
    out["results"].push_back({{"k", r.k},
                              {"n", r.n},
                              {"rows", r.rows},
                              {"weights", format_name(r.weights)},
                              {"cold_seconds_median", r.cold.median},
                              {"cold_seconds_best", r.cold.best},
                              {"cold_share_of_peak", cold / report.peaks.fma},
                              {"cold_share_of_bound", cold / cold_bound(r, report)},
                              {"warm_seconds_median", r.warm.median},
                              {"warm_seconds_best", r.warm.best},
                              {"warm_share_of_peak", warm / report.peaks.fma}});
    const double dot = dot_peak(r, report.peaks);
    if (dot == 0) continue;
    out["results"].back()["cold_share_of_dot_peak"] = cold / dot;
    out["results"].back()["warm_share_of_dot_peak"] = warm / dot;
  }
  print(out);
}

}  // namespace

GemmReport measure_gemm(const KernelOptions& options) {
  cpu::Stream stream(options.isa, options.threads);
  const Clock clock = clock_for(options.threads);
  GemmReport report{measure_peaks(options.isa, options.threads), read_bandwidth(stream, clock), {}};
  for (Shape shape : options.shapes) {
    std::vector<Weights> weights;
    for (cpu::Format format : options.weights) weights.push_back(make_weights(shape, format, stream.order()));
    const std::size_t most = *std::max_element(options.rows.begin(), options.rows.end());
    std::vector<bf16> a(most * shape.first);
    fill(a.data(), a.size(), 2);
    std::vector<float> c(most * shape.second);
    for (std::size_t rows : options.rows) {
      for (const Weights& w : weights) {
        auto product = [&](std::size_t copy) {
          cpu::gemm(stream, Rows<const bf16>{a.data(), rows, shape.first}, w.copy(copy),
                    {c.data(), rows, shape.second});
        };
        const Timing cold = measure(clock, options.seconds, [&](std::size_t call) { product(call % w.copies); });
        const Timing warm = measure(clock, options.seconds, [&](std::size_t) { product(0); });
        report.results.push_back({shape.first, shape.second, rows, w.shape.format, w.bytes, cold, warm});
      }
    }
    report.peaks = higher(report.peaks, measure_peaks(options.isa, options.threads));
  }
  return report;
}

int run_gemm_bench(const std::vector<std::string>& args) {
  const auto options = parse_kernel_options(
      args, {"moemill bench gemm [options]",
             {"moemill bench gemm", "moemill bench gemm --threads 8 --shapes 2048x1408 --rows 1,64",
              "moemill bench gemm --isa avx2 --json", "moemill bench gemm --weights bf16,fp8,mxfp4,int8"},
             "K x N of the weights, one or more",
             "1024x1024,512x1024,1024x512,2048x1408,7168x2048",
             "M, one or more",
             "1,2,4,8,16,32,64,128,256,512",
             nullptr,
             "bf16"});
  if (!options) return 0;
  const GemmReport report = measure_gemm(*options);
  options->form == Form::Json ? print_json(*options, report) : print_table(*options, report);
  return 0;
}

}  // namespace moemill::bench
