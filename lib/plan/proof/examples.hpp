// Two published calculations, line by line: `moemill plan --example day6|article`.
#pragma once

#include <string>
#include <vector>

#include "plan/estimate/catalog.hpp"

namespace moemill::estimate {

// DeepSeek's account of a day of its service (2025-02-28), from its totals.
struct Day6 {
  double input_tokens = 608e9, hit_tokens = 342e9, output_tokens = 168e9;  // of the day
  double node_input_tokens_per_second = 73.7e3;                            // with hits
  double node_output_tokens_per_second = 14.8e3;
  double node_gpus = 8, gpu_hour_price = 2;  // USD
  double published_nodes = 226.75;           // mean of the day

  double hit_share() const { return hit_tokens / input_tokens; }
  double prefill_nodes() const;
  double decode_nodes() const;
  double nodes() const { return prefill_nodes() + decode_nodes(); }
  double node_hour_price() const { return node_gpus * gpu_hour_price; }
  double output_price() const;    // USD per million generated tokens
  double input_price() const;     // USD per million prompt tokens, with those that hit
  double computed_price() const;  // USD per million prompt tokens that are computed
  double day_price(double nodes) const { return nodes * node_hour_price() * 24; }
};

// 72 H100 at 144 USD per hour that generate for 64 sequences a GPU, at 0.40 USD per million tokens.
struct Article {
  double gpus = 72, hour_price = 144, sequences_per_gpu = 64, million_price = 0.40;

  double tokens_per_hour() const { return hour_price / million_price * 1e6; }
  double tokens_per_second() const { return tokens_per_hour() / 3600; }
  double per_gpu() const { return tokens_per_second() / gpus; }      // tokens per second
  double per_user() const { return per_gpu() / sequences_per_gpu; }  // tokens per second
  double tokens_per_day() const { return tokens_per_hour() * 24; }
  double step_seconds() const { return 1 / per_user(); }
};

// The context at which the step model gives the article's tokens per second, with one or two micro-batches.
double article_context(const Article& article, std::uint32_t micro_batches, Catalog& catalog);

const std::vector<std::string>& example_names();
// UserError for an unknown name.
std::string example_text(const std::string& name, Catalog& catalog);

}  // namespace moemill::estimate
