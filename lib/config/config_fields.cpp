#include "config/config_field_kinds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/sampling_limits.hpp"

namespace moemill::mill {
namespace {

// The seconds of HH:MM:SS or of Slurm's D-HH:MM:SS. Minutes and seconds have at most two digits.
std::optional<double> clock_time(std::string_view text) {
  double days = 0;
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto value = number_in<std::uint32_t>(text.substr(0, dash));
    if (!value) return std::nullopt;
    days = *value;
    text.remove_prefix(dash + 1);
  }
  const std::size_t first = text.find(':'), second = text.find(':', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return std::nullopt;
  const std::string_view minute_text = text.substr(first + 1, second - first - 1),
                         second_text = text.substr(second + 1);
  if (minute_text.size() > 2 || second_text.size() > 2) return std::nullopt;
  const auto hours = number_in<std::uint32_t>(text.substr(0, first)), minutes = number_in<std::uint32_t>(minute_text),
             seconds = number_in<std::uint32_t>(second_text);
  if (!hours || !minutes || !seconds) return std::nullopt;
  return days * 86400.0 + *hours * 3600.0 + *minutes * 60.0 + *seconds;
}

// Accepts a number of seconds, 90s, 30m, 12h, 2d, or a clock time.
std::optional<double> duration(const yaml::Node& node) {
  if (auto seconds = number<double>(node)) return *seconds >= 0 ? seconds : std::nullopt;
  if (!node.is_scalar() || node.scalar.size() < 2) return std::nullopt;
  const std::string_view text = node.scalar, units = "smhd";
  const double factors[] = {1, 60, 3600, 86400};
  const auto unit = units.find(text.back());
  if (unit == std::string_view::npos) return clock_time(text);
  const auto value = number_in<double>(text.substr(0, text.size() - 1));
  const double seconds = value ? *value * factors[unit] : -1;
  return seconds >= 0 && std::isfinite(seconds) ? std::optional(seconds) : std::nullopt;
}
constexpr const char* duration_form = "seconds, or a time such as 90s, 30m, 12h or 23:30:00";

template <class At>
Field seconds(const char* key, At at) {
  Read read = [=](const yaml::Node& node, RunConfig& c) {
    auto x = duration(node);
    if (x) at(c) = *x;
    return x.has_value();
  };
  return {key, duration_form, Effect::Layout, read, [=](const RunConfig& c) { return number_node(at(c)); }};
}

Field max_wall_time() {
  Read read = [](const yaml::Node& node, RunConfig& c) {
    if (is_word(node, "auto")) return c.runtime.max_wall_time_seconds.reset(), true;
    auto x = duration(node);
    if (!x || *x <= 0) return false;
    c.runtime.max_wall_time_seconds = *x;
    return true;
  };
  Write write = [](const RunConfig& c) {
    return c.runtime.max_wall_time_seconds ? number_node(*c.runtime.max_wall_time_seconds) : yaml::plain("auto");
  };
  return {"runtime.max_wall_time",
          "auto, seconds, or a time such as 12h or 23:30:00; SLURM_JOB_END_TIME counts when it is earlier",
          Effect::Layout, read, write};
}

std::optional<std::string> nonempty_string(const yaml::Node& node) {
  if (!node.is_scalar() || node.scalar.empty()) return std::nullopt;
  return node.scalar;
}

Field stop_strings() {
  return {"sampling.stop", "a string or a list of strings, none of them empty", Effect::Answers,
          [](const yaml::Node& node, RunConfig& c) { return read_list(node, c.sampling.stop, nonempty_string); },
          [](const RunConfig& c) { return flow_list(c.sampling.stop); }};
}

Field stop_token_ids() {
  auto id = [](const yaml::Node& node) {
    auto x = number<std::int32_t>(node);
    return x && *x >= 0 ? x : std::nullopt;
  };
  return {"sampling.stop_token_ids", "a token id or a list of token ids", Effect::Answers,
          [=](const yaml::Node& node, RunConfig& c) { return read_list(node, c.sampling.stop_token_ids, id); },
          [](const RunConfig& c) { return flow_list(c.sampling.stop_token_ids); }};
}

// Runs from before int8 have the word exact for what is bf16 now.
Field arithmetic() {
  Read read = [](const yaml::Node& node, RunConfig& c) {
    for (const Arithmetic value : all_arithmetics)
      if (is_word(node, word_of(value))) return c.model.arithmetic = value, true;
    if (!is_word(node, "auto") && !is_word(node, "exact")) return false;
    c.model.arithmetic = Arithmetic::Bf16;
    return true;
  };
  return {"model.arithmetic",
          "bf16 (products with weights of bfloat16; also auto and exact, the same) or int8 (weights of experts and "
          "other layers rounded to int8 as they are loaded: half the memory, faster, other answers)",
          Effect::Answers, read,
          [](const RunConfig& c) { return yaml::text(std::string(word_of(c.model.arithmetic))); }};
}

const std::vector<std::pair<std::string, TooLong>> too_long_words = {{"fail_row", TooLong::FailRow},
                                                                     {"truncate_left", TooLong::TruncateLeft},
                                                                     {"truncate_right", TooLong::TruncateRight},
                                                                     {"reduce_max_tokens", TooLong::ReduceMaxTokens}};

Field too_long() {
  Read read = [](const yaml::Node& node, RunConfig& c) {
    for (auto& [word, value] : too_long_words)
      if (is_word(node, word.c_str())) return c.errors.too_long = value, true;
    return false;
  };
  Write write = [](const RunConfig& c) {
    auto it = std::find_if(too_long_words.begin(), too_long_words.end(),
                           [&](const auto& pair) { return pair.second == c.errors.too_long; });
    return yaml::plain(it->first);
  };
  return {"errors.too_long", "fail_row, truncate_left, truncate_right or reduce_max_tokens", Effect::Answers, read,
          write};
}

Field compression() {
  Read read = [](const yaml::Node& node, RunConfig& c) {
    if (is_word(node, "none") || node.is_null()) return c.output.gzip_level.reset(), true;
    if (!node.is_scalar() || !node.scalar.starts_with("gzip")) return false;
    if (node.scalar == "gzip") return c.output.gzip_level = 4, true;
    auto level = number_in<std::uint32_t>(node.scalar.substr(5));
    if (node.scalar[4] != '-' || !level || *level < 1 || *level > 9) return false;
    c.output.gzip_level = *level;
    return true;
  };
  Write write = [](const RunConfig& c) {
    return yaml::plain(c.output.gzip_level ? fmt::format("gzip-{}", *c.output.gzip_level) : "none");
  };
  return {"output.compression", "gzip-1 to gzip-9, or none", Effect::Layout, read, write};
}

// The words of output.store, besides logprobs.
struct StoreWord {
  std::string_view word;
  bool OutputSettings::*flag;
};
constexpr StoreWord store_words[] = {{"text", &OutputSettings::store_text},
                                     {"token_ids", &OutputSettings::store_token_ids},
                                     {"prompt_token_ids", &OutputSettings::store_prompt_token_ids},
                                     {"stop_reason", &OutputSettings::store_stop_reason}};

// sampling.logprobs decides whether `logprobs` is stored; the word is accepted here as well (config.cpp checks it).
Field store() {
  Read read = [](const yaml::Node& node, RunConfig& c) {
    std::vector<std::string> words;
    if (!read_list(node, words, nonempty_string)) return false;
    for (const StoreWord& known : store_words) c.output.*known.flag = false;
    for (const auto& word : words) {
      const auto* known = std::find_if(std::begin(store_words), std::end(store_words),
                                       [&](const StoreWord& w) { return w.word == word; });
      if (known != std::end(store_words)) {
        c.output.*known->flag = true;
      } else if (word != "logprobs") {
        return false;
      }
    }
    return true;
  };
  Write write = [](const RunConfig& c) {
    std::vector<std::string> words;
    for (const StoreWord& known : store_words)
      if (c.output.*known.flag) words.emplace_back(known.word);
    if (c.sampling.logprobs) words.push_back("logprobs");
    return flow_list(words);
  };
  return {"output.store",
          "a list of text, token_ids, prompt_token_ids, stop_reason and logprobs (the last with sampling.logprobs set)",
          Effect::Answers, read, write};
}

Field carry_columns() {
  Read read = [](const yaml::Node& node, RunConfig& c) {
    if (is_word(node, "all")) return c.output.carry_columns.reset(), true;
    std::vector<std::string> columns;
    if (is_word(node, "none")) return c.output.carry_columns = columns, true;
    if (!read_list(node, columns, nonempty_string)) return false;
    if (std::set(columns.begin(), columns.end()).size() != columns.size()) return false;
    c.output.carry_columns = columns;
    return true;
  };
  Write write = [](const RunConfig& c) {
    return c.output.carry_columns ? flow_list(*c.output.carry_columns) : yaml::plain("all");
  };
  return {"output.carry_columns", "all, none, or a list of column names, each once", Effect::Answers, read, write};
}

Field expert_domain() {
  Read read = [](const yaml::Node& node, RunConfig& c) {
    auto ranks = number<std::uint32_t>(node);
    const bool is_named = is_word(node, "auto") || is_word(node, "world") || is_word(node, "node");
    if (!is_named && !(ranks && *ranks > 0)) return false;
    c.parallel.expert_domain = node.scalar;
    return true;
  };
  return {
      "parallel.expert_domain",
      "auto (the fewest nodes that have room for a copy of the experts and bring each 16 rows a step), world, node, "
      "or a number of ranks that divides the world",
      Effect::Layout, read, [](const RunConfig& c) { return yaml::plain(c.parallel.expert_domain); }};
}

std::vector<Field> make_fields() {
  using u32 = std::uint32_t;
  using u64 = std::uint64_t;
  constexpr Effect Answers = Effect::Answers, Layout = Effect::Layout;
  const float above_zero = std::numeric_limits<float>::min();
  const auto model = [](auto value) { return Member{&RunConfig::model, value}; };
  const auto input = [](auto value) { return Member{&RunConfig::input, value}; };
  const auto sampling = [](auto value) { return Member{&RunConfig::sampling, value}; };
  const auto repetition = [](auto value) {
    return [=](auto& config) -> auto& { return config.sampling.repetition_detection.*value; };
  };
  const auto errors = [](auto value) { return Member{&RunConfig::errors, value}; };
  const auto output = [](auto value) { return Member{&RunConfig::output, value}; };
  const auto parallel = [](auto value) { return Member{&RunConfig::parallel, value}; };
  const auto runtime = [](auto value) { return Member{&RunConfig::runtime, value}; };
  const auto cost = [](auto value) { return Member{&RunConfig::cost, value}; };
  return {
      text("model.path", "a model folder (config.json, tokenizer.json, *.safetensors)", Layout,
           model(&ModelSettings::path)),
      one_of("model.load_format", "auto (also safetensors, the same) or dummy (random weights)", Answers,
             {"auto", "dummy"}, model(&ModelSettings::load_format), {"safetensors", "auto"}),
      one_of("model.dtype", "bfloat16 (weights of different types are rounded to it; also auto, the same)", Answers,
             {"bfloat16"}, model(&ModelSettings::dtype), {"auto", "bfloat16"}),
      arithmetic(),
      optional_word<ExpertSum>(
          "model.expert_sum",
          "auto (groups if the router keeps some of its groups of experts, else picks), picks (outputs of a row's "
          "experts are added in the order of its picks) or groups (added within each group, rounded, then group by "
          "group: less between nodes, other answers)",
          Answers, all_expert_sums, model(&ModelSettings::expert_sum)),
      optional<u32>("model.max_model_len", "auto (the model's own) or a number of tokens above 0", Answers, "auto",
                    {1, 1u << 30}, model(&ModelSettings::max_model_len)),
      one_of(
          "model.keep_quantized",
          "auto (FP8 and MXFP4 weights stay as stored in memory) or off (held as bfloat16); matrices that arithmetic "
          "int8 rounds are held in int8 in either case",
          Layout, {"auto", "off"}, model(&ModelSettings::keep_quantized), {"false", "off"}),

      text("input.path", "an HDF5 file with the prompts", Layout, input(&InputSettings::path)),
      text("input.group", "the group that holds the columns, e.g. /", Answers, input(&InputSettings::group)),
      optional<u64>("input.limit", "null (all) or a number of prompts above 0", Answers, "null", {1, u64(1) << 62},
                    input(&InputSettings::limit)),
      optional_flag("input.add_special_tokens", "auto (as prompts.h5 says, else true), true or false", Answers,
                    input(&InputSettings::add_special_tokens)),

      plain<u32>("sampling.n", "a number of samples from 1 to 65536", Answers, {1, limits::samples},
                 sampling(&SamplingParams::n)),
      plain<float>("sampling.temperature", "a number from 0 (greedy) to 100", Answers, {0, limits::temperature},
                   sampling(&SamplingParams::temperature)),
      plain<float>("sampling.top_p", "a number above 0 and at most 1", Answers, {above_zero, 1},
                   sampling(&SamplingParams::top_p)),
      plain<std::int32_t>("sampling.top_k", "0 (off; also -1) or a number of tokens up to 2^30", Answers,
                          {0, limits::top_k}, sampling(&SamplingParams::top_k), {"-1", 0}),
      plain<float>("sampling.min_p", "a number from 0 to 1", Answers, {0, 1}, sampling(&SamplingParams::min_p)),
      plain<float>("sampling.repetition_penalty", "a number above 0 and at most 100", Answers,
                   {above_zero, limits::repetition_penalty}, sampling(&SamplingParams::repetition_penalty)),
      plain<float>("sampling.presence_penalty", "a number from -100 to 100", Answers,
                   {-limits::other_penalties, limits::other_penalties}, sampling(&SamplingParams::presence_penalty)),
      plain<float>("sampling.frequency_penalty", "a number from -100 to 100", Answers,
                   {-limits::other_penalties, limits::other_penalties}, sampling(&SamplingParams::frequency_penalty)),
      plain<u32>("sampling.max_tokens", "0 (score only) or a number of tokens up to 2^30", Answers,
                 {0, limits::max_tokens}, sampling(&SamplingParams::max_tokens)),
      plain<u32>("sampling.min_tokens", "0 or a number of tokens", Answers, {0, limits::max_tokens},
                 sampling(&SamplingParams::min_tokens)),
      stop_strings(),
      stop_token_ids(),
      flag("sampling.ignore_eos", Answers, sampling(&SamplingParams::ignore_eos)),
      plain<u64>("sampling.seed", "a whole number from 0 to 2^64-1 (null is 0)", Answers, {},
                 sampling(&SamplingParams::seed), {"null", 0}),
      optional<u32>("sampling.logprobs", "null (off), 0 (of the chosen token) or k <= 1000 (also of the k best)",
                    Answers, "null", {0, limits::logprobs}, sampling(&SamplingParams::logprobs)),
      flag("sampling.prompt_logprobs", Answers, sampling(&SamplingParams::prompt_logprobs)),
      plain<u32>("sampling.repetition_detection.max_pattern_size", "0 (off) or a number of tokens up to 4096", Answers,
                 {0, 4096}, repetition(&RepetitionDetection::max_pattern_size)),
      plain<u32>("sampling.repetition_detection.min_count", "0 or a number of repeats, 2 or more where detection is on",
                 Answers, {0, 1u << 20}, repetition(&RepetitionDetection::min_count)),
      flag("sampling.from_model", Answers, sampling(&SamplingParams::from_model)),

      too_long(),
      plain<double>("errors.max_failed_fraction", "a number from 0 to 1", Layout, {0, 1},
                    errors(&ErrorSettings::max_failed_fraction)),

      text("output.dir", "a folder to write to; NAME is the input's without its ending", Layout,
           output(&OutputSettings::dir)),
      optional<u64>("output.shard_prompts", "auto or a number of prompts above 0", Layout, "auto", {1, u64(1) << 40},
                    output(&OutputSettings::shard_prompts)),
      seconds("output.journal_flush_seconds", output(&OutputSettings::journal_flush_seconds)),
      compression(),
      store(),
      flag("output.skip_special_tokens", Answers, output(&OutputSettings::skip_special_tokens)),
      carry_columns(),
      flag("output.merge", Layout, output(&OutputSettings::merge)),
      flag("output.keep_shards", Layout, output(&OutputSettings::keep_shards)),

      expert_domain(),
      optional<u32>("parallel.ranks_per_node", "auto (as MPI reports) or a number of ranks above 0", Layout, "auto",
                    {1, 1u << 20}, parallel(&ParallelSettings::ranks_per_node)),
      one_of("parallel.node_memory",
             "auto, required or off: the ranks of a node hold one copy of the weights and share the experts' work",
             Layout, {"auto", "required", "off"}, parallel(&ParallelSettings::node_memory)),
      plain<u32>(
          "parallel.redundant_experts",
          "copies of experts, a layer and expert domain, each on another node than the others of its expert; the "
          "picks of an expert are divided over its copies so that nodes have equal work",
          Layout, {0, 1u << 24}, parallel(&ParallelSettings::redundant_experts)),
      one_of("parallel.rebalance.policy",
             "none, or measured: an attempt places experts by how often earlier attempts picked them "
             "(RUN_DIR/expert_load.json, also of another run of the model); redundant experts need it to help much",
             Layout, {"none", "measured"}, parallel(&ParallelSettings::rebalance_policy)),
      plain<u32>("parallel.rebalance.interval_steps",
                 "a number of steps above 0; without effect in this version, where experts move between attempts only",
                 Layout, {1, 1u << 30}, parallel(&ParallelSettings::rebalance_interval_steps)),
      optional<u32>("parallel.micro_batches",
                    "auto (what costs less), 1 or 2: parts of a step, one of which is computed while the rows of the "
                    "other travel",
                    Layout, "auto", {1, 2}, parallel(&ParallelSettings::micro_batches)),
      one_of("parallel.prefix_cache", "auto or off: prompts that begin alike are dealt together, and compute that once",
             Layout, {"auto", "off"}, parallel(&ParallelSettings::prefix_cache)),
      plain<u32>("parallel.roles.prefill_ranks", "0 (ranks for prefill only are not in this version)", Layout, {0, 0},
                 parallel(&ParallelSettings::prefill_ranks)),
      plain<u32>("parallel.max_num_seqs", "a number of sequences per rank, from 1 to 65536", Layout, {1, 65536},
                 parallel(&ParallelSettings::max_num_seqs)),
      plain<u32>("parallel.max_num_batched_tokens", "a number of rows per step and rank, from 1 to 1048576", Layout,
                 {1, 1u << 20}, parallel(&ParallelSettings::max_num_batched_tokens)),
      optional<u64>(
          "parallel.kv_cache_tokens",
          "auto (from free memory) or a number of tokens above 0 that a rank's layers can hold, those with a window "
          "only as far as max_num_seqs windows and a step need it; a prompt that does not fit with its "
          "max_tokens ends the job",
          Layout, "auto", {1, u64(1) << 40}, parallel(&ParallelSettings::kv_cache_tokens)),
      optional<u32>("parallel.threads_per_rank",
                    "auto (the CPUs that the rank may use, shared with the ranks beside it) or a number of threads "
                    "from 1 to 1024",
                    Layout, "auto", {1, 1024}, parallel(&ParallelSettings::threads_per_rank)),

      one_of("runtime.backend", "auto, cpu or cuda (cuda only where moemill is built with it)", Layout,
             {"auto", "cpu", "cuda"}, runtime(&RuntimeSettings::backend)),
      max_wall_time(),
      seconds("runtime.drain_margin", runtime(&RuntimeSettings::drain_margin_seconds)),
      text("runtime.stop_file", "a file name; relative ones lie in the run directory", Layout,
           runtime(&RuntimeSettings::stop_file)),
      seconds("runtime.progress_interval", runtime(&RuntimeSettings::progress_interval_seconds)),
      plain<u32>("runtime.record_picks", "steps, up to 10000, whose picks go to picks.h5 (`moemill bench simulate`)",
                 Layout, {0, 10000}, runtime(&RuntimeSettings::record_picks)),
      one_of("runtime.log_level", "trace, debug, info, warning, error or off", Layout,
             {"trace", "debug", "info", "warning", "error", "off"}, runtime(&RuntimeSettings::log_level)),

      optional<double>("cost.hour_price", "null or the price of one unit for an hour", Layout, "null", {0, 1e12},
                       cost(&CostSettings::hour_price)),
      one_of("cost.unit", "what hour_price buys: auto (core on CPUs), gpu, rank, node, core or job", Layout,
             {"auto", "gpu", "rank", "node", "core", "job"}, cost(&CostSettings::unit)),
      text("cost.currency", "a currency such as USD", Layout, cost(&CostSettings::currency)),
      optional_text("cost.calibration", "null or a file of `moemill bench calibrate`, which predicts the run's time",
                    Layout, cost(&CostSettings::calibration)),
  };
}

}  // namespace

const std::vector<Field>& config_fields() {
  static const std::vector<Field> fields = make_fields();
  return fields;
}

}  // namespace moemill::mill
