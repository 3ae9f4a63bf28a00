#include "bench/attention_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "bench/report.hpp"
#include "system/files/shipped_files.hpp"

namespace moemill::bench {

namespace {

using schedule::RowKind;

constexpr std::uint64_t cache_bytes = 320'000'000;  // far larger than most caches; steps go through all of it
constexpr std::uint32_t hidden = 64;
constexpr std::uint32_t kv_heads = 4;
constexpr std::uint32_t decode_tokens = 65'536;  // cached tokens that a decode step reads at least
constexpr std::uint32_t fewest_sequences = 4, most_sequences = 256;
constexpr std::uint32_t chunk = 512;  // prompt tokens of a step
// At most in a step of prompts behind a prefix, unless one alone has more.
constexpr std::uint32_t most_rows = 2'048, most_prompts = 64;
constexpr std::uint32_t longest_prompt = 8'192;  // a step's last rows of a longer one would take many seconds
constexpr std::uint32_t usual_window = 128;      // of the heads of 64, as gpt-oss has it

// Queries come from the hidden width by one matrix, because a second one would hide what attention's own products take.
model::ModelConfig one_layer(model::ModelConfig config) {
  config.hidden = hidden;
  config.layers = 1;
  config.mla.q_lora_rank = 0;
  return config;
}

void set_rotation(model::ModelConfig& config, std::uint32_t dim) {
  config.rope.dim = dim;
  config.rope.frequencies.assign(dim / 2, 1.0f);
}

// The proportions of DeepSeek's heads: 128 + 64 values of a key and 128 of a value for a latent of 512.
model::ModelConfig latent_config(Shape shape) {
  model::ModelConfig config = one_layer({});
  config.attention = model::AttentionKind::Latent;
  model::Mla& mla = config.mla;
  mla.heads = shape.first, mla.kv_lora_rank = shape.second;
  mla.qk_nope_dim = mla.v_dim = std::max(1u, shape.second / 4);
  mla.qk_rope_dim = std::max(2u, shape.second / 16 * 2);
  mla.softmax_scale = 1.0f / std::sqrt(static_cast<float>(mla.qk_nope_dim + mla.qk_rope_dim));
  set_rotation(config, mla.qk_rope_dim);
  return config;
}

model::ModelConfig grouped_config(Shape shape, std::uint32_t window) {
  model::ModelConfig config = one_layer({});
  config.attention = model::AttentionKind::Grouped;
  config.gqa.kv_heads = kv_heads, config.gqa.heads = kv_heads * shape.first, config.gqa.head_dim = shape.second;
  config.gqa.softmax_scale = 1.0f / std::sqrt(static_cast<float>(shape.second));
  config.gqa.window = window;
  if (window) config.gqa.layer_has_window = {true};
  set_rotation(config, shape.second / 2 * 2);
  config.rope.pairs = RotaryPairs::Halves;
  return config;
}

// One for the layers that see everything, one for those with a window.
std::vector<model::ModelConfig> configs_of_model(const std::string& folder) {
  const model::ModelConfig config = model::read_config(shipped_model(folder));
  const std::uint32_t windowed = model::windowed_layers(config);
  std::vector<model::ModelConfig> out;
  for (const bool window : {false, true}) {
    if ((window ? windowed : config.layers - windowed) == 0) continue;
    out.push_back(one_layer(config));
    out.back().gqa.layer_has_window.assign(window ? 1 : 0, true);
  }
  return out;
}

std::vector<model::ModelConfig> configs_of_lists(const KernelOptions& options) {
  std::vector<model::ModelConfig> out;
  for (const Shape shape : options.shapes) out.push_back(latent_config(shape));
  for (const Shape shape : options.groups) {
    out.push_back(grouped_config(shape, 0));
    if (shape.second == 64) out.push_back(grouped_config(shape, usual_window));
  }
  return out;
}

std::vector<AttentionStep> steps_of(const model::ModelConfig& config, std::uint32_t context) {
  const std::uint32_t seen = config.gqa.layer_has_window.empty() ? context : std::min(context, config.gqa.window);
  const std::uint32_t rows = std::min(context, chunk);
  std::vector<AttentionStep> out{
      {RowKind::Generated, std::clamp(decode_tokens / seen, fewest_sequences, most_sequences), context, 1}};
  if (context <= longest_prompt) out.push_back({RowKind::Prompt, chunk / rows, context, rows});
  return out;
}

// Prompts behind a prefix: on pages of their own, then on shared ones.
std::vector<AttentionStep> steps_behind(std::uint32_t prefix, std::uint32_t context) {
  const std::uint32_t rows = context - prefix, sequences = std::clamp(most_rows / rows, 1u, most_prompts);
  const AttentionStep step{RowKind::Prompt, sequences, context, rows};
  AttentionStep shared = step;
  shared.shared = prefix;
  return {step, shared};
}

AttentionResult measure_one(cpu::Stream& stream, const KernelOptions& options, const model::ModelConfig& config,
                            AttentionLayer& layer, const AttentionStep& step) {
  AttentionResult r{config, step, needs_of(config, step), {}, 0, 0};
  layer.plan(step);
  std::vector<double> core, products;  // shares of the wall time of each call
  r.layer = measure(clock_for(options.threads), options.seconds, [&](std::size_t call) {
    const PassClock& passes = stream.passes();
    const double attention = passes.of(Pass::Attention), rest = passes.of(Pass::Projections);
    const PassScope scope(stream.passes(), Pass::Projections);
    const double start = now_seconds();
    layer.run(call);
    stream.passes().change(Pass::Projections);  // brings the running pass up to date
    const double seconds = now_seconds() - start;
    core.push_back((passes.of(Pass::Attention) - attention) / seconds);
    products.push_back((passes.of(Pass::Projections) - rest) / seconds);
  });
  const auto median = [](std::vector<double>& shares) {
    std::sort(shares.begin(), shares.end());
    return shares[shares.size() / 2];
  };
  r.core_seconds = median(core) * r.layer.median;
  r.product_seconds = median(products) * r.layer.median;
  return r;
}

double read_seconds(const AttentionResult& r, const AttentionReport& report) {
  return r.needs.bytes / report.bandwidth;
}
double compute_seconds(const AttentionResult& r, const AttentionReport& report) {
  return r.needs.operations / report.peaks.fma;
}
double share_of_bound(const AttentionResult& r, const AttentionReport& report) {
  return std::max(read_seconds(r, report), compute_seconds(r, report)) / r.core_seconds;
}
// Of the peak, by the latents' products.
double product_share(const AttentionResult& r, const AttentionReport& report) {
  return r.needs.product_operations / r.product_seconds / report.peaks.fma;
}

bool is_latent(const AttentionResult& r) { return r.config.attention == model::AttentionKind::Latent; }
std::string_view kind_of(const AttentionResult& r) {
  if (is_latent(r)) return r.step.kind == RowKind::Generated ? "absorbed" : "expanded";
  return "grouped";
}
std::uint32_t heads_of(const AttentionResult& r) { return is_latent(r) ? r.config.mla.heads : r.config.gqa.heads; }
std::uint32_t group_of(const AttentionResult& r) {
  return is_latent(r) ? r.config.mla.heads : r.config.gqa.heads / r.config.gqa.kv_heads;
}
// Values of a key and of a value.
std::pair<std::uint32_t, std::uint32_t> widths_of(const AttentionResult& r) {
  const model::Mla& mla = r.config.mla;
  if (!is_latent(r)) return {r.config.gqa.head_dim, r.config.gqa.head_dim};
  if (r.step.kind == RowKind::Generated) return {mla.kv_lora_rank + mla.qk_rope_dim, mla.kv_lora_rank};
  return {mla.qk_nope_dim + mla.qk_rope_dim, mla.v_dim};
}

void print_table(const KernelOptions& options, const AttentionReport& report) {
  print_machine(options, report.peaks, report.bandwidth);
  fmt::print(
      "A layer of attention over a cache of {} MB. A decode step has a row per sequence; a step of prompts, the last\n"
      "rows of its sequences. shared: first tokens of all sequences that are on the same pages. core: scores, exp,\n"
      "weighted sums and all that is done per tile, but no product with weights. Bound: the longer of the needed\n"
      "operations at the FMA peak and the cached values that are seen, each read once, at the rate of memory reads.\n"
      "products, %: queries into latent space and back, or keys and values from latents, and their share of the FMA\n"
      "peak. Medians of milliseconds; hidden width {}.\n\n",
      cache_bytes / 1'000'000, hidden);
  fmt::print(
      "{:<8} {:>5} {:>5} {:>9} {:>6} {:<7} {:>7} {:>6} {:>5} {:>5} | {:>8} {:>7} {:>6} {:>7} {:>7} | {:>8} {:>4}\n",
      "kind", "heads", "group", "widths", "window", "rows", "context", "shared", "seqs", "rows", "core ms", "GFLOP/s",
      "GB/s", "bound", "% bound", "products", "%");
  for (const AttentionResult& r : report.results) {
    const auto [key, value] = widths_of(r);
    const std::uint32_t window = r.config.gqa.layer_has_window.empty() ? 0 : r.config.gqa.window;
    fmt::print(
        "{:<8} {:>5} {:>5} {:>9} {:>6} {:<7} {:>7} {:>6} {:>5} {:>5} | {:>8.2f} {:>7.1f} {:>6.1f} {:>7} {:>7.0f}",
        kind_of(r), heads_of(r), group_of(r), fmt::format("{}+{}", key, value),
        window ? fmt::format("{}", window) : "-", r.step.kind == RowKind::Generated ? "decode" : "prompt",
        r.step.context, r.step.shared ? fmt::format("{}", r.step.shared) : "-", r.step.sequences, r.step.rows,
        r.core_seconds * 1e3, r.needs.operations / r.core_seconds / 1e9, r.needs.bytes / r.core_seconds / 1e9,
        read_seconds(r, report) > compute_seconds(r, report) ? "reads" : "FMA", 100 * share_of_bound(r, report));
    if (is_latent(r)) {
      fmt::print(" | {:>8.2f} {:>4.0f}\n", r.product_seconds * 1e3, 100 * product_share(r, report));
    } else {
      fmt::print(" | {:>8} {:>4}\n", "-", "-");
    }
  }
}

nlohmann::ordered_json json_of(const AttentionResult& r, const AttentionReport& report) {
  const auto [key, value] = widths_of(r);
  nlohmann::ordered_json out{{"kind", kind_of(r)},
                             {"rows_are", r.step.kind == RowKind::Generated ? "generated" : "prompt"},
                             {"heads", heads_of(r)},
                             {"group", group_of(r)},
                             {"key_width", key},
                             {"value_width", value},
                             {"window", r.config.gqa.layer_has_window.empty() ? 0 : r.config.gqa.window},
                             {"context", r.step.context},
                             {"shared_tokens", r.step.shared},
                             {"sequences", r.step.sequences},
                             {"rows_per_sequence", r.step.rows},
                             {"operations", r.needs.operations},
                             {"bytes", r.needs.bytes},
                             {"layer_seconds_median", r.layer.median},
                             {"layer_seconds_best", r.layer.best},
                             {"core_seconds_median", r.core_seconds},
                             {"core_share_of_peak", compute_seconds(r, report) / r.core_seconds},
                             {"core_share_of_reads", read_seconds(r, report) / r.core_seconds},
                             {"core_share_of_bound", share_of_bound(r, report)}};
  if (is_latent(r)) {
    out["product_operations"] = r.needs.product_operations;
    out["product_seconds_median"] = r.product_seconds;
    out["product_share_of_peak"] = product_share(r, report);
  }
  return out;
}

void print_json(const KernelOptions& options, const AttentionReport& report) {
  nlohmann::ordered_json out = machine_json(options, report.peaks, report.bandwidth);
  out["benchmark"] = "attention";
  for (const AttentionResult& r : report.results) out["results"].push_back(json_of(r, report));
  print(out);
}

}  // namespace

AttentionReport measure_attention(const KernelOptions& options) {
  cpu::Stream stream(options.isa, options.threads);
  const Clock clock = clock_for(options.threads);
  AttentionReport report{measure_peaks(options.isa, options.threads), read_bandwidth(stream, clock), {}};
  for (const model::ModelConfig& config :
       options.model.empty() ? configs_of_lists(options) : configs_of_model(options.model)) {
    AttentionLayer layer(stream, config, cache_bytes);
    for (const std::size_t context : options.rows) {
      const auto tokens = static_cast<std::uint32_t>(context);
      for (const AttentionStep& step :
           options.shared_prefix > 0 ? steps_behind(options.shared_prefix, tokens) : steps_of(config, tokens)) {
        report.results.push_back(measure_one(stream, options, config, layer, step));
      }
    }
  }
  report.peaks = higher(report.peaks, measure_peaks(options.isa, options.threads));
  report.bandwidth = std::max(report.bandwidth, read_bandwidth(stream, clock));
  return report;
}

int run_attention_bench(const std::vector<std::string>& args) {
  const auto options = parse_kernel_options(
      args, {"moemill bench attention [options]",
             {"moemill bench attention", "moemill bench attention --model configs/models/qwen3-30b-a3b --rows 4096",
              "moemill bench attention --shapes 16x512 --groups 8x128 --rows 128,1024 --json",
              "moemill bench attention --shared-prefix 512 --rows 544"},
             "latent attention: heads x width of a latent, one or more",
             "16x512,128x512",
             "tokens of context, one or more",
             "128,1024,8192,32768",
             "1x64,1x128,2x128,4x128,5x128,6x128,7x128,8x64,8x128,12x128,16x128"});
  if (!options) return 0;
  const AttentionReport report = measure_attention(*options);
  options->form == Form::Json ? print_json(*options, report) : print_table(*options, report);
  return 0;
}

}  // namespace moemill::bench
