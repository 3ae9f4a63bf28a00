#include "plan/proof/examples.hpp"

#include <fmt/format.h>

#include <cmath>

#include "base/error.hpp"
#include "base/text/edit_distance.hpp"
#include "plan/estimate/number_text.hpp"
#include "plan/estimate/throughput.hpp"

namespace moemill::estimate {
namespace {

constexpr double day_seconds = 86400, hour_seconds = 3600;

double per_million(double hour_price, double tokens_per_second) {
  return hour_price / (tokens_per_second * hour_seconds) * 1e6;
}

std::string model_lines(Catalog& catalog) {
  const model::ModelConfig& config = catalog.model("deepseek-v3");
  const model::ParameterCounts counts = model::count_parameters(config);
  return fmt::format(
      "model: deepseek-v3\n"
      "  parameters:              {:.2f} billion, {:.1f} billion active per token\n"
      "  cache of a token:        {} layers * {} values * 2 B = {} B\n",
      static_cast<double>(counts.total) / 1e9, static_cast<double>(counts.active) / 1e9, config.layers,
      kv_width(config), thousands(kv_bytes_per_token(config)));
}

std::string day6_text(Catalog& catalog) {
  const Day6 d;
  const double computed = d.input_tokens - d.hit_tokens;
  std::string text = model_lines(catalog) + "DeepSeek, open-infra day 6 (2025-02-28): totals of a day\n";
  text += fmt::format("  prompt tokens:           {} G, of them hits {} G: {:.2f} %; computed {} G\n",
                      d.input_tokens / 1e9, d.hit_tokens / 1e9, 100 * d.hit_share(), computed / 1e9);
  text += fmt::format("  generated tokens:        {} G\n", d.output_tokens / 1e9);
  text += fmt::format("  a node of {} GPUs:        {}k prompt tokens/s (with hits), {}k generated tokens/s\nnodes\n",
                      d.node_gpus, d.node_input_tokens_per_second / 1e3, d.node_output_tokens_per_second / 1e3);
  text += fmt::format("  prefill:                 {} G / ({}k/s * 86,400 s) = {:.2f}\n", d.input_tokens / 1e9,
                      d.node_input_tokens_per_second / 1e3, d.prefill_nodes());
  text += fmt::format("  decode:                  {} G / ({}k/s * 86,400 s) = {:.2f}\n", d.output_tokens / 1e9,
                      d.node_output_tokens_per_second / 1e3, d.decode_nodes());
  text += fmt::format("  together:                {:.1f} (published {}: {:+.2f} %, the rates are rounded)\n", d.nodes(),
                      d.published_nodes, 100 * (d.nodes() / d.published_nodes - 1));
  const double node_hour = d.node_hour_price();
  text += fmt::format("cost at {} USD per GPU-hour, {} USD per node-hour\n", d.gpu_hour_price, node_hour);
  text += fmt::format("  generated:               {} / ({}k/s * 3,600 s) = {:.3f} USD per million tokens\n", node_hour,
                      d.node_output_tokens_per_second / 1e3, d.output_price());
  text += fmt::format("  prompt, with hits:       {} / ({}k/s * 3,600 s) = {:.3f} USD per million tokens\n", node_hour,
                      d.node_input_tokens_per_second / 1e3, d.input_price());
  text += fmt::format("  prompt, computed:        {:.4f} * {} / {} = {:.3f} USD per million tokens\n", d.input_price(),
                      d.input_tokens / 1e9, computed / 1e9, d.computed_price());
  text += fmt::format("  a day:                   {} nodes * {} USD * 24 h = {} USD\n", d.published_nodes, node_hour,
                      whole(d.day_price(d.published_nodes)));
  return text;
}

Rate article_rate(const Article& article, double context, std::uint32_t micro_batches, Catalog& catalog) {
  Layout layout;
  layout.gpus = static_cast<std::uint32_t>(article.gpus);
  layout.micro_batches = micro_batches;
  layout.balance = Balance::Balanced;
  layout.redundant_experts = 32;
  const Setting setting{
      catalog.model("deepseek-v3"), catalog.hardware("H100"), {Format::Fp8, Format::Fp8, CacheFormat::Bf16}, layout};
  return decode_rate(setting, {article.sequences_per_gpu, context});
}

std::string article_text(Catalog& catalog) {
  const Article a;
  const std::string hourly = whole(a.tokens_per_hour()), gpu = whole(a.per_gpu());
  std::string text =
      fmt::format("{} H100 at {} USD per hour, {} sequences per GPU, {:.2f} USD per million generated tokens\n", a.gpus,
                  a.hour_price, a.sequences_per_gpu, a.million_price);
  text += fmt::format("  tokens per hour:         {} USD / {:.2f} USD * 1,000,000 = {}\n", a.hour_price,
                      a.million_price, hourly);
  text += fmt::format("  tokens per second:       {} / 3,600 = {}\n", hourly, whole(a.tokens_per_second()));
  text += fmt::format("  per GPU:                 {} / {} = {} tokens/s\n", whole(a.tokens_per_second()), a.gpus, gpu);
  text += fmt::format("  per user:                {} / {} = {:.1f} tokens/s, a step of {:.1f} ms\n", gpu,
                      a.sequences_per_gpu, a.per_user(), 1e3 * a.step_seconds());
  text += fmt::format("  a day:                   {} * 24 = {:.1f} G tokens\n", hourly, a.tokens_per_day() / 1e9);
  text += "the step model (deepseek-v3 in fp8, experts over 72 GPUs, 32 redundant) says so of one context:\n";
  for (std::uint32_t micro_batches : {1u, 2u}) {
    const double context = article_context(a, micro_batches, catalog);
    const Rate rate = article_rate(a, context, micro_batches, catalog);
    text += fmt::format("  {}       {} positions: {:.3f} USD per million (memory has room for {:.0f} such sequences)\n",
                        micro_batches == 1 ? "one micro-batch:  " : "two micro-batches:", whole(context),
                        per_million(a.hour_price, rate.tokens_per_second * a.gpus), std::floor(rate.room));
  }
  return text;
}

}  // namespace

double Day6::prefill_nodes() const { return input_tokens / (node_input_tokens_per_second * day_seconds); }
double Day6::decode_nodes() const { return output_tokens / (node_output_tokens_per_second * day_seconds); }
double Day6::output_price() const { return per_million(node_hour_price(), node_output_tokens_per_second); }
double Day6::input_price() const { return per_million(node_hour_price(), node_input_tokens_per_second); }
double Day6::computed_price() const { return input_price() * input_tokens / (input_tokens - hit_tokens); }

// A longer context is always slower: bisection, to less than a thousandth of a position.
double article_context(const Article& article, std::uint32_t micro_batches, Catalog& catalog) {
  double low = 1, high = 1 << 20;
  while (high - low > 1e-3) {
    const double middle = (low + high) / 2;
    const bool faster = article_rate(article, middle, micro_batches, catalog).tokens_per_second > article.per_gpu();
    (faster ? low : high) = middle;
  }
  return low;
}

const std::vector<std::string>& example_names() {
  static const std::vector<std::string> names = {"day6", "article"};
  return names;
}

std::string example_text(const std::string& name, Catalog& catalog) {
  if (name == "day6") return day6_text(catalog);
  if (name == "article") return article_text(catalog);
  const std::string near = likely_name(name, example_names());
  user_error("--example {}: is no example{}; there are day6 and article", name,
             near.empty() ? "" : fmt::format(", did you mean '{}'?", near));
}

}  // namespace moemill::estimate
