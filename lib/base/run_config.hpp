// run.yaml as plain values (CONTRACT.md section 2). Read by mill/config, used by every part; no YAML in here.
// Defaults below are the contract's. `auto` is an empty optional.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moemill {

struct ModelSettings {
  std::string path;
  std::string load_format = "auto";  // auto | dummy
  std::string dtype = "bfloat16";
  std::optional<std::uint32_t> max_model_len;  // auto: max_position_embeddings
};

struct InputSettings {
  std::string path;
  std::string group = "/";
  std::optional<std::uint64_t> limit;
  // auto: what prompts.h5 says of itself (an attribute add_special_tokens), else true. A column goes over all of it.
  std::optional<bool> add_special_tokens;
};

struct RepetitionDetection {
  std::uint32_t max_pattern_size = 0;  // 0: off
  std::uint32_t min_count = 0;
};

// The run's defaults, and after the per-prompt columns are merged in, one prompt's own.
struct SamplingParams {
  std::uint32_t n = 1;
  float temperature = 1.0f;  // 0: greedy
  float top_p = 1.0f;
  std::int32_t top_k = 0;  // 0: off
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::uint32_t max_tokens = 256;
  std::uint32_t min_tokens = 0;
  std::vector<std::string> stop;
  std::vector<std::int32_t> stop_token_ids;
  bool ignore_eos = false;
  std::uint64_t seed = 0;
  std::optional<std::uint32_t> logprobs;  // null: off; k: the sampled token's and the k best
  bool prompt_logprobs = false;
  RepetitionDetection repetition_detection;
  bool from_model = false;  // take what generation_config.json recommends where the run says nothing
};

enum class TooLong { FailRow, TruncateLeft, TruncateRight, ReduceMaxTokens };

struct ErrorSettings {
  TooLong too_long = TooLong::FailRow;
  double max_failed_fraction = 0.05;
};

struct OutputSettings {
  std::string dir;  // not given: runs/ and the input's name
  std::optional<std::uint64_t> shard_prompts;
  double journal_flush_seconds = 5;
  std::optional<std::uint32_t> gzip_level = 4;  // compression: gzip-4; `none` is empty
  bool store_text = true;
  bool store_token_ids = true;
  bool store_prompt_token_ids = false;
  bool store_stop_reason = false;
  bool skip_special_tokens = true;
  std::optional<std::vector<std::string>> carry_columns;  // empty optional: all
  bool merge = true;
  bool keep_shards = false;  // beside a whole outputs.h5
};

struct ParallelSettings {
  std::string expert_domain = "world";  // world | node | a number of ranks
  std::optional<std::uint32_t> ranks_per_node;
  std::uint32_t redundant_experts = 0;
  std::string rebalance_policy = "none";
  std::uint32_t rebalance_interval_steps = 512;
  std::optional<std::uint32_t> micro_batches;
  std::uint32_t prefill_ranks = 0;
  std::uint32_t max_num_seqs = 256;               // a rank
  std::uint32_t max_num_batched_tokens = 2048;    // a rank and step
  std::optional<std::uint64_t> kv_cache_tokens;   // a rank; auto: from free memory
  std::optional<std::uint32_t> threads_per_rank;  // auto: the CPUs it may use
};

struct RuntimeSettings {
  std::string backend = "auto";
  std::optional<double> max_wall_time_seconds;  // auto: SLURM_JOB_END_TIME when present
  double drain_margin_seconds = 60;
  std::string stop_file = "stop";
  double progress_interval_seconds = 10;
  std::string log_level = "info";
};

struct CostSettings {
  std::optional<double> hour_price;
  std::string unit = "auto";  // core on the CPU backend
  std::string currency = "USD";
};

struct RunConfig {
  ModelSettings model;
  InputSettings input;
  SamplingParams sampling;
  ErrorSettings errors;
  OutputSettings output;
  ParallelSettings parallel;
  RuntimeSettings runtime;
  CostSettings cost;
};

}  // namespace moemill
