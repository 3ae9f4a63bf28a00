#include "bench/grouped_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/buffer.hpp"
#include "base/numbers/rounding.hpp"
#include "base/page_tokens.hpp"
#include "bench/random_values.hpp"
#include "kernels/cpu/attention_pages.hpp"

namespace moemill::bench {

namespace {

constexpr std::size_t cold_bytes = 320'000'000;  // of all pages: far larger than any cache
constexpr std::size_t prompt_rows = 112;         // per tile, as in the layers
constexpr std::size_t tokens_per_call = 4096;    // reading the clock takes as long as a page does

// Consecutive pages of a key-value head: so many that none is still in a cache when its turn comes.
struct Pages {
  std::size_t values, count;  // values per page, number of pages
  Buffer<bf16> memory;

  explicit Pages(std::size_t head_dim) : values(2 * page_tokens * head_dim) {
    count = cold_bytes / (values * sizeof(bf16)) + 1;
    bf16* to = memory.reserve(count * values);
    for (std::size_t i = 0; i < values; ++i) to[i] = to_bf16(value_at(4, i));
    for (std::size_t p = 1; p < count; ++p) std::copy_n(to, values, to + p * values);
  }
  const bf16* page(std::size_t index) const { return memory.data() + index % count * values; }
};

// One thread's rows: the last `queries` positions of the context, times the heads of a group.
struct Rows {
  Buffer<float> query, maximum, sum, output;
  std::vector<std::uint32_t> first, last;
  cpu::AttentionRows tile{};
  std::size_t begin, end;  // pages of the context that at least one row sees
  double pairs = 0;        // pairs of a row and a position that it sees

  Rows(GroupedShape shape, std::size_t queries, std::size_t tokens) {
    const std::size_t rows = queries * shape.group, stride = round_up<std::size_t>(shape.head_dim, 16);
    const std::size_t query_floats = cpu::attention_query_floats(rows, shape.head_dim);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t position = tokens - queries + r / shape.group;
      last.push_back(static_cast<std::uint32_t>(position));
      const std::size_t from = shape.window && position >= shape.window ? position - shape.window + 1 : 0;
      first.push_back(static_cast<std::uint32_t>(from));
      pairs += static_cast<double>(last[r] - first[r] + 1);
    }
    begin = first.front() / page_tokens, end = divide_up<std::size_t>(tokens, page_tokens);
    tile = {rows,
            shape.head_dim,
            stride,
            query.reserve(query_floats),
            first.data(),
            last.data(),
            maximum.reserve(rows),
            sum.reserve(rows),
            output.reserve(rows * stride)};
    for (std::size_t i = 0; i < query_floats; ++i) query[i] = 0.1f * value_at(1, i);
  }
  // page_at(p) is page p of the context.
  template <class PageAt>
  void walk(cpu::Stream& stream, PageAt page_at) {
    cpu::attention_begin(stream, tile, {});
    for (std::size_t p = begin; p < end; ++p) {
      cpu::attention_page(stream, tile, page_at(p), static_cast<std::uint32_t>(p * page_tokens), page_at(p + 1));
    }
    cpu::attention_end(stream, tile);
  }
};

GroupedResult measure_one(cpu::Stream& stream, const KernelOptions& options, GroupedShape shape, const Pages& pages,
                          std::size_t tokens) {
  const Clock clock = clock_for(options.threads);
  const auto threads = static_cast<std::size_t>(options.threads);
  const std::size_t queries = std::clamp<std::size_t>(prompt_rows / shape.group, 1, tokens);
  std::vector<Rows> generated, prompt;
  for (std::size_t t = 0; t < threads; ++t) {
    generated.emplace_back(shape, 1, tokens);
    prompt.emplace_back(shape, queries, tokens);
  }
  const auto of_threads = [&](auto body) {
    stream.team().parallel_for(threads, 1, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t t = begin; t < end; ++t) body(t);
    });
  };
  GroupedResult r{shape, tokens, generated[0].last[0] - generated[0].first[0] + 1u, 0, 0, 0, {}, {}};
  const double per_pair = 4.0 * shape.head_dim * static_cast<double>(threads);
  r.bytes = per_pair * static_cast<double>(r.seen);  // keys and values of two bytes
  r.operations = per_pair * generated[0].pairs;
  r.prompt_operations = per_pair * prompt[0].pairs;
  // Contexts follow each other in memory, so the last page of one prefetches the first page of the next.
  const std::size_t walked = generated[0].end - generated[0].begin;
  const std::size_t contexts = std::max<std::size_t>(1, tokens_per_call / tokens);
  r.generated = measure(clock, options.seconds, [&](std::size_t call) {
    of_threads([&](std::size_t t) {
      for (std::size_t c = 0; c < contexts; ++c) {
        const std::size_t at = (t * pages.count / threads) + (call * contexts + c) * walked;
        generated[t].walk(stream, [&](std::size_t p) { return pages.page(at + p - generated[t].begin); });
      }
    });
  });
  r.generated.best /= static_cast<double>(contexts), r.generated.median /= static_cast<double>(contexts);
  r.prompt = measure(clock, options.seconds, [&](std::size_t) {
    of_threads(
        [&](std::size_t t) { prompt[t].walk(stream, [&](std::size_t p) { return pages.page(t * 64 + p % 64); }); });
  });
  return r;
}

double rate(double amount, const Timing& t) { return amount / t.median; }

double share_of_bound(const GroupedResult& r, double peak, double bandwidth) {
  return std::max(r.bytes / bandwidth, r.operations / peak) / r.generated.median;
}

}  // namespace

std::vector<GroupedShape> grouped_shapes(const model::ModelConfig& config) {
  const model::Gqa& gqa = config.gqa;
  std::vector<GroupedShape> out;
  if (config.attention != model::AttentionKind::Grouped) return out;
  const std::uint32_t group = gqa.heads / gqa.kv_heads, windowed = model::windowed_layers(config);
  if (windowed < config.layers) out.push_back({group, gqa.head_dim, 0});
  if (windowed > 0) out.push_back({group, gqa.head_dim, gqa.window});
  return out;
}

std::vector<GroupedResult> measure_grouped(cpu::Stream& stream, const KernelOptions& options,
                                           const std::vector<GroupedShape>& shapes) {
  std::vector<GroupedResult> out;
  for (GroupedShape shape : shapes) {
    const Pages pages(shape.head_dim);
    for (std::size_t tokens : options.rows) {
      out.push_back(measure_one(stream, options, shape, pages, tokens));
    }
  }
  return out;
}

void print_grouped(const std::vector<GroupedResult>& results, double peak, double bandwidth) {
  fmt::print(
      "\nGrouped queries: a generated token's heads of one key-value head over bf16 pages cold in memory, and a tile\n"
      "of about {} prompt rows over pages in cache. Medians. GB/s: keys and values that the token sees; % bound: of\n"
      "the rate that the machine's reads or FMA peak would allow, whichever is less; % peak: of the FMA peak.\n\n",
      prompt_rows);
  fmt::print("{:>6} {:>8} {:>6} {:>7} | {:>9} {:>5} {:>9} {:>7} | {:>9} {:>6}\n", "group", "head_dim", "window",
             "tokens", "GB/s", "%", "GFLOP/s", "% bound", "GFLOP/s", "% peak");
  for (const GroupedResult& r : results) {
    fmt::print("{:>6} {:>8} {:>6} {:>7} | {:>9.1f} {:>5.0f} {:>9.1f} {:>7.0f} | {:>9.1f} {:>6.0f}\n", r.shape.group,
               r.shape.head_dim, r.shape.window ? fmt::format("{}", r.shape.window) : "-", r.tokens,
               rate(r.bytes, r.generated) / 1e9, 100 * rate(r.bytes, r.generated) / bandwidth,
               rate(r.operations, r.generated) / 1e9, 100 * share_of_bound(r, peak, bandwidth),
               rate(r.prompt_operations, r.prompt) / 1e9, 100 * rate(r.prompt_operations, r.prompt) / peak);
  }
}

nlohmann::json grouped_json(const std::vector<GroupedResult>& results, double peak, double bandwidth) {
  nlohmann::json out = nlohmann::json::array();
  for (const GroupedResult& r : results) {
    out.push_back({{"group", r.shape.group},
                   {"head_dim", r.shape.head_dim},
                   {"window", r.shape.window},
                   {"tokens", r.tokens},
                   {"seen", r.seen},
                   {"generated_seconds_median", r.generated.median},
                   {"generated_seconds_best", r.generated.best},
                   {"generated_bytes", r.bytes},
                   {"generated_operations", r.operations},
                   {"generated_share_of_bandwidth", rate(r.bytes, r.generated) / bandwidth},
                   {"generated_share_of_bound", share_of_bound(r, peak, bandwidth)},
                   {"prompt_seconds_median", r.prompt.median},
                   {"prompt_seconds_best", r.prompt.best},
                   {"prompt_operations", r.prompt_operations},
                   {"prompt_share_of_peak", rate(r.prompt_operations, r.prompt) / peak}});
  }
  return out;
}

}  // namespace moemill::bench
