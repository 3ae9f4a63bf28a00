// run.yaml as plain values, with its defaults. Filled by config/, used by every part; there is no YAML here. The word
// `auto` is an empty optional. configs/README.md lists the keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/arithmetic.hpp"

namespace moemill {

struct ModelSettings {
  std::string path;
  std::string load_format = "auto";  // auto | dummy
  std::string dtype = "bfloat16";
  Arithmetic arithmetic = Arithmetic::Bf16;
  std::optional<ExpertSum> expert_sum;         // auto: by groups if the model keeps fewer than it has
  std::optional<std::uint32_t> max_model_len;  // auto: max_position_embeddings
  std::string keep_quantized =
      "auto";  // auto | off: FP8 and MXFP4 weights stay in their codes in memory; int8 has codes of its own
};

struct InputSettings {
  std::string path;
  std::string group = "/";
  std::optional<std::uint64_t> limit;
  // auto: the attribute add_special_tokens of prompts.h5, else true. A column takes precedence over everything.
  std::optional<bool> add_special_tokens;
};

struct RepetitionDetection {
  std::uint32_t max_pattern_size = 0;  // 0: off
  std::uint32_t min_count = 0;
};

// The run's defaults or, once the per-prompt columns are merged in, the settings of one prompt.
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
  std::optional<std::uint32_t> logprobs;  // null: off; k: the sampled token and the k best
  bool prompt_logprobs = false;
  RepetitionDetection repetition_detection;
  bool from_model = false;  // use generation_config.json for settings that the run does not set
};

enum class TooLong { FailRow, TruncateLeft, TruncateRight, ReduceMaxTokens };

struct ErrorSettings {
  TooLong too_long = TooLong::FailRow;
  double max_failed_fraction = 0.05;
};

struct OutputSettings {
  std::string dir;  // "": runs/ and the input's name
  std::optional<std::uint64_t> shard_prompts;
  double journal_flush_seconds = 5;
  std::optional<std::uint32_t> gzip_level = 4;  // gzip-4; `compression: none` is empty
  bool store_text = true;
  bool store_token_ids = true;
  bool store_prompt_token_ids = false;
  bool store_stop_reason = false;
  bool skip_special_tokens = true;
  std::optional<std::vector<std::string>> carry_columns;  // empty optional: all
  bool merge = true;
  bool keep_shards = false;  // next to a complete outputs.h5
};

struct ParallelSettings {
  std::string expert_domain = "auto";  // auto | world | node | a number of ranks
  std::optional<std::uint32_t> ranks_per_node;
  std::string node_memory = "auto";  // auto | required | off: whether a node's ranks hold one copy of the weights
  std::uint32_t redundant_experts = 0;
  std::string rebalance_policy = "none";
  std::uint32_t rebalance_interval_steps = 512;
  std::optional<std::uint32_t> micro_batches;
  std::string prefix_cache = "auto";  // auto | off: prompts that begin alike compute that once
  std::uint32_t prefill_ranks = 0;
  std::uint32_t max_num_seqs = 256;               // per rank
  std::uint32_t max_num_batched_tokens = 2048;    // per rank and step
  std::optional<std::uint64_t> kv_cache_tokens;   // per rank; auto: from free memory
  std::optional<std::uint32_t> threads_per_rank;  // auto: the CPUs that the rank may use
};

struct RuntimeSettings {
  std::string backend = "auto";
  std::optional<double> max_wall_time_seconds;  // auto: SLURM_JOB_END_TIME if set
  double drain_margin_seconds = 60;
  std::string stop_file = "stop";
  double progress_interval_seconds = 10;
  std::uint32_t record_picks = 0;  // steps whose picks go to picks.h5
  std::string log_level = "info";
};

struct CostSettings {
  std::optional<double> hour_price;
  std::string unit = "auto";  // core on the CPU backend
  std::string currency = "USD";
  std::optional<std::string> calibration;  // a file of `moemill bench calibrate`; empty: nothing is predicted
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
