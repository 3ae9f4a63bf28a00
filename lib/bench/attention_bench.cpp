#include "bench/attention_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/buffer.hpp"
#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "base/page_tokens.hpp"
#include "bench/random_values.hpp"
#include "bench/report.hpp"
#include "kernels/cpu/attention_lanes.hpp"
#include "system/files/shipped_files.hpp"

namespace moemill::bench {

namespace {

constexpr std::size_t cold_bytes = 320'000'000;  // of all pages: far larger than any cache

// The tile and the blocks of one thread.
struct Work {
  Buffer<float> query, maximum, sum, output, keys, values;
  std::vector<std::uint32_t> first, last;
  cpu::AttentionTile tile{};

  Work(Shape shape, std::size_t lanes) : first(lanes, 0), last(lanes, std::numeric_limits<std::int32_t>::max()) {
    const std::size_t dk = shape.first, dv = shape.second;
    tile = {lanes,
            dk,
            dv,
            query.reserve(dk * lanes),
            first.data(),
            last.data(),
            maximum.reserve(lanes),
            sum.reserve(lanes),
            output.reserve(dv * lanes)};
    keys.reserve(page_tokens * dk);
    values.reserve(page_tokens * dv);
    for (std::size_t i = 0; i < dk * lanes; ++i) query[i] = 0.1f * value_at(1, i);
    for (std::size_t i = 0; i < page_tokens * dk; ++i) keys[i] = value_at(2, i);
    for (std::size_t i = 0; i < page_tokens * dv; ++i) values[i] = value_at(3, i);
  }
};

// bf16 pages, each [tokens][key_width + value_width]: so many that none is still in a cache when its turn comes.
struct Pages {
  std::size_t width, count;
  Buffer<bf16> values;

  explicit Pages(Shape shape) : width(std::size_t{shape.first} + shape.second) {
    const std::size_t page = page_tokens * width;
    count = cold_bytes / (page * sizeof(bf16)) + 1;
    bf16* to = values.reserve(count * page);
    for (std::size_t i = 0; i < page; ++i) to[i] = to_bf16(value_at(4, i));
    for (std::size_t p = 1; p < count; ++p) std::copy_n(to, page, to + p * page);
  }
  const bf16* page(std::size_t index) const { return values.data() + index % count * page_tokens * width; }
};

double operations(const AttentionResult& r, int threads) {
  return 2.0 * static_cast<double>(r.lanes * r.tokens * threads) * (r.key_width + r.value_width);
}

// Each thread of the team processes its own context of `tokens`.
AttentionResult measure_one(cpu::Stream& stream, const KernelOptions& options, Shape shape, const Pages& pages,
                            std::size_t lanes, std::size_t tokens) {
  const Clock clock = clock_for(options.threads);
  const auto threads = static_cast<std::size_t>(options.threads);
  std::vector<Work> works;
  for (std::size_t t = 0; t < threads; ++t) works.emplace_back(shape, lanes);
  auto context = [&](auto before_block) {
    stream.team().parallel_for(threads, 1, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t w = begin; w < end; ++w) {
        Work& work = works[w];
        cpu::attention_begin(stream, work.tile);
        for (std::size_t at = 0; at < tokens; at += page_tokens) {
          const std::size_t count = std::min<std::size_t>(page_tokens, tokens - at);
          before_block(work, w, at / page_tokens, count);
          cpu::attention_block(stream, work.tile, {work.keys.data(), count, shape.first},
                               {work.values.data(), count, shape.second}, static_cast<std::uint32_t>(at));
        }
        cpu::attention_end(stream, work.tile);
      }
    });
  };
  AttentionResult r{shape.first, shape.second, lanes, tokens, {}, {}};
  r.block = measure(clock, options.seconds,
                    [&](std::size_t) { context([](Work&, std::size_t, std::size_t, std::size_t) {}); });
  const std::size_t pages_a_context = divide_up<std::size_t>(tokens, page_tokens);
  r.pages = measure(clock, options.seconds, [&](std::size_t call) {
    context([&](Work& work, std::size_t w, std::size_t block, std::size_t count) {
      const bf16* page = pages.page((call * threads + w) * pages_a_context + block);
      const Rows<const bf16> both(page, count, pages.width);
      cpu::widen_rows(stream, both.columns(0, shape.first), {work.keys.data(), count, shape.first});
      cpu::widen_rows(stream, both.columns(shape.first, shape.second), {work.values.data(), count, shape.second});
    });
  });
  return r;
}

void print_tiles(const KernelOptions& options, const AttentionReport& report) {
  fmt::print(
      "A tile of lanes (queries x heads) against a context in blocks of 64 tokens. Rates in GFLOP/s: median\n"
      "(best); %: median's share of the FMA peak. pages: bf16 keys and values cold in memory, widened for one\n"
      "tile alone (a model shares one widening among the tiles of a token).\n\n");
  fmt::print("{:>6} {:>6} {:>6} {:>7} | {:>15} {:>4} | {:>15} {:>4}\n", "dk", "dv", "lanes", "tokens", "fp32 blocks",
             "%", "bf16 pages", "%");
  for (const AttentionResult& r : report.results) {
    const double flops = operations(r, options.threads), block = flops / r.block.median, pages = flops / r.pages.median;
    fmt::print("{:>6} {:>6} {:>6} {:>7} | {:>7.1f} ({:>5.1f}) {:>4.0f} | {:>7.1f} ({:>5.1f}) {:>4.0f}\n", r.key_width,
               r.value_width, r.lanes, r.tokens, block / 1e9, flops / r.block.best / 1e9,
               100 * block / report.peaks.fma, pages / 1e9, flops / r.pages.best / 1e9, 100 * pages / report.peaks.fma);
  }
}

void print_table(const KernelOptions& options, const AttentionReport& report) {
  print_machine(options, report.peaks, report.bandwidth);
  if (!report.results.empty()) print_tiles(options, report);
  if (!report.grouped.empty()) print_grouped(report.grouped, report.peaks.fma, report.bandwidth);
}

void print_json(const KernelOptions& options, const AttentionReport& report) {
  nlohmann::ordered_json out = machine_json(options, report.peaks, report.bandwidth);
  out["benchmark"] = "attention";
  for (const AttentionResult& r : report.results) {
    const double flops = operations(r, options.threads);
    out["results"].push_back({{"key_width", r.key_width},
                              {"value_width", r.value_width},
                              {"lanes", r.lanes},
                              {"tokens", r.tokens},
                              {"block_seconds_median", r.block.median},
                              {"block_seconds_best", r.block.best},
                              {"block_share_of_peak", flops / r.block.median / report.peaks.fma},
                              {"pages_seconds_median", r.pages.median},
                              {"pages_seconds_best", r.pages.best},
                              {"pages_share_of_peak", flops / r.pages.median / report.peaks.fma}});
  }
  out["grouped"] = grouped_json(report.grouped, report.peaks.fma, report.bandwidth);
  print(out);
}

// The tiles of the model's latent attention, in its absorbed and its expanded form.
std::vector<Shape> latent_shapes(const model::ModelConfig& config) {
  const model::Mla& mla = config.mla;
  if (config.attention != model::AttentionKind::Latent) return {};
  return {{mla.kv_lora_rank + mla.qk_rope_dim, mla.kv_lora_rank}, {mla.qk_nope_dim + mla.qk_rope_dim, mla.v_dim}};
}

}  // namespace

AttentionReport measure_attention(const KernelOptions& options) {
  std::vector<Shape> tiles = options.shapes;
  std::vector<GroupedShape> groups;
  for (Shape s : options.groups) groups.push_back({s.first, s.second, 0});
  if (!options.model.empty()) {
    const model::ModelConfig config = model::read_config(shipped_path(options.model));
    tiles = latent_shapes(config), groups = grouped_shapes(config);
  }
  cpu::Stream stream(options.isa, options.threads);
  const Clock clock = clock_for(options.threads);
  AttentionReport report{measure_peaks(options.isa, options.threads), read_bandwidth(stream, clock), {}, {}};
  for (Shape shape : tiles) {
    const Pages pages(shape);
    for (std::size_t lanes : {std::size_t{32}, std::size_t{16}}) {
      for (std::size_t tokens : options.rows) {
        report.results.push_back(measure_one(stream, options, shape, pages, lanes, tokens));
      }
    }
  }
  report.grouped = measure_grouped(stream, options, groups);
  report.peaks = higher(report.peaks, measure_peaks(options.isa, options.threads));
  return report;
}

int run_attention_bench(const std::vector<std::string>& args) {
  const auto options = parse_kernel_options(
      args, {"moemill bench attention [options]",
             {"moemill bench attention", "moemill bench attention --model configs/models/qwen3-30b-a3b --rows 4096",
              "moemill bench attention --shapes 576x512 --rows 64,1024 --json"},
             "key width x value width, one or more",
             "576x512,192x128",
             "tokens of context, one or more",
             "64,256,1024",
             "1x128,4x128,8x64,8x128,16x128"});
  if (!options) return 0;
  const AttentionReport report = measure_attention(*options);
  options->form == Form::Json ? print_json(*options, report) : print_table(*options, report);
  return 0;
}

}  // namespace moemill::bench
