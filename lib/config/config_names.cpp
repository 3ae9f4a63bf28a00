#include "config/config_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text/edit_distance.hpp"
#include "config/config_fields.hpp"

namespace moemill::mill {
namespace {

constexpr const char* more_ranks =
    "experts are spread over MPI ranks: start more of them, mpirun -n R (parallel.expert_domain)";
constexpr const char* of_the_model = "it is read from the model folder";
constexpr const char* no_server = "there is no server: prompts are read from an HDF5 file, answers written to one";
constexpr const char* no_grammar = "answers cannot be constrained by a grammar";
constexpr const char* download = "download the model first, and give its folder as model.path";

// Names of vLLM and transformers with their replacement; "" if there is none.
constexpr std::pair<std::string_view, std::string_view> foreign_names[] = {
    {"tensor_parallel_size", more_ranks},
    {"pipeline_parallel_size", more_ranks},
    {"data_parallel_size", more_ranks},
    {"enable_expert_parallel", more_ranks},
    {"distributed_executor_backend", more_ranks},
    {"enable_eplb", ""},
    {"gpu_memory_utilization", "memory is measured; parallel.kv_cache_tokens overrides it"},
    {"kv_cache_memory_bytes", "memory is measured; parallel.kv_cache_tokens overrides it"},
    {"swap_space", ""},
    {"cpu_offload_gb", ""},
    {"block_size", "the cache's pages have one size"},
    {"kv_cache_dtype", "keys and values are kept in bf16"},
    {"enforce_eager", ""},
    {"compilation_config", ""},
    {"enable_prefix_caching", "the samples of a prompt share its computation always, prompts do not"},
    {"enable_chunked_prefill", "prompts are always computed in pieces (parallel.max_num_batched_tokens)"},
    {"max_num_partial_prefills", "prompts are always computed in pieces (parallel.max_num_batched_tokens)"},
    {"max_seq_len_to_capture", ""},
    {"device", "runtime.backend"},
    {"tokenizer", of_the_model},
    {"tokenizer_mode", of_the_model},
    {"hf_config_path", of_the_model},
    {"quantization", "it is read from the model folder; model.arithmetic: int8 rounds any model"},
    {"rope_scaling", of_the_model},
    {"rope_theta", of_the_model},
    {"generation_config", of_the_model},
    {"trust_remote_code", "no code of a model folder is ever run"},
    {"revision", download},
    {"tokenizer_revision", download},
    {"download_dir", download},
    {"chat_template", "scripts/prompts.py renders chats before the job"},
    {"chat_template_kwargs", "scripts/prompts.py renders chats before the job"},
    {"host", no_server},
    {"port", no_server},
    {"api_key", no_server},
    {"served_model_name", no_server},
    {"disable_log_requests", no_server},
    {"enable_lora", ""},
    {"lora_modules", ""},
    {"speculative_config", ""},
    {"speculative_model", ""},
    {"best_of", "sampling.n, and scripts/outputs.py picks the best"},
    {"use_beam_search", "sampling.n draws several answers"},
    {"num_beams", "sampling.n draws several answers"},
    {"do_sample", "sampling.temperature: 0 is greedy"},
    {"length_penalty", ""},
    {"early_stopping", ""},
    {"logit_bias", ""},
    {"logits_processors", ""},
    {"bad_words", ""},
    {"allowed_token_ids", ""},
    {"no_repeat_ngram_size", "sampling.repetition_detection ends an answer that repeats itself"},
    {"guided_json", no_grammar},
    {"guided_regex", no_grammar},
    {"guided_choice", no_grammar},
    {"guided_grammar", no_grammar},
    {"guided_decoding", no_grammar},
    {"structured_outputs", no_grammar},
    {"response_format", no_grammar},
    {"include_stop_str_in_output", "the text ends before the stop string"},
    {"spaces_between_special_tokens", ""},
    {"detokenize", "output.store: [token_ids]"},
    {"truncate_prompt_tokens", "errors.too_long: truncate_left, with model.max_model_len"},
    {"max_logprobs", "sampling.logprobs"},
    {"max_new_tokens", "sampling.max_tokens"},
    {"max_completion_tokens", "sampling.max_tokens"},
    {"max_length", "sampling.max_tokens, which counts only the answer"},
    {"min_new_tokens", "sampling.min_tokens"},
    {"num_return_sequences", "sampling.n"},
    {"stop_strings", "sampling.stop"},
    {"random_seed", "sampling.seed"},
    {"torch_dtype", "model.dtype"},
    {"nnodes", "Slurm or mpirun places the ranks"},
};

std::string_view last_part(std::string_view key) { return key.substr(key.rfind('.') + 1); }  // npos + 1 is 0

// Flags are written with dashes, keys with underscores.
std::string as_key(std::string_view name) {
  std::string key(name.substr(std::min(name.find_first_not_of('-'), name.size())));
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

std::string_view section_of(std::string_view key) { return key.substr(0, key.size() - last_part(key).size()); }

std::vector<std::string> all_sections() {
  std::vector<std::string> sections;
  for (const Field& field : config_fields())
    for (std::string_view rest = section_of(field.key); !rest.empty();
         rest = section_of(rest.substr(0, rest.size() - 1)))
      if (std::find(sections.begin(), sections.end(), rest) == sections.end()) sections.emplace_back(rest);
  return sections;
}

// The names that a section ("sampling.", or "" for the top) may hold: its keys and the sections within it.
std::vector<std::string> names_in(std::string_view section) {
  std::vector<std::string> names;
  if (section.empty()) names.push_back("schema_version");
  for (const Field& field : config_fields()) {
    if (!field.key.starts_with(section)) continue;
    const std::string name = field.key.substr(section.size(), field.key.find('.', section.size()) - section.size());
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

// A key of another section is suggested only if the name is nearly right, or a prefix of it.
std::string key_elsewhere(std::string_view written) {
  std::vector<std::string> names;
  for (const Field& field : config_fields()) names.emplace_back(last_part(field.key));
  const std::string likely = likely_name(written, names);
  if (likely.empty()) return "";
  const bool is_part = likely.starts_with(written) || written.starts_with(likely);
  if (!is_part && edit_distance(written, likely) * 5 > likely.size()) return "";
  return config_fields()[static_cast<std::size_t>(std::find(names.begin(), names.end(), likely) - names.begin())].key;
}

}  // namespace

std::string advice_for_foreign(std::string_view name) {
  const std::string key = as_key(last_part(name));
  for (const auto& [foreign, instead] : foreign_names)
    if (key == foreign)
      return fmt::format("moemill does not support it{}{}", instead.empty() ? "" : "; instead: ", instead);
  return "";
}

std::string advice_for_key(std::string_view key) {
  if (const std::string advice = advice_for_foreign(key); !advice.empty()) return ": " + advice;
  if (const std::string near = nearest_key(key); !near.empty() && near != key)
    return fmt::format("; the nearest known key is '{}'", near);
  return "; configs/README.md and moemill help run.yaml list all keys";
}

std::string key_of_flag(std::string_view flag) {
  const std::string name = as_key(flag);
  for (const Field& field : config_fields())
    if (name == last_part(field.key) || name == field.key) return field.key;
  return "";
}

std::string nearest_key(std::string_view name) {
  const std::string key = as_key(name);
  const std::string_view written = section_of(key);
  const std::string section = written.empty() ? "" : likely_name(written, all_sections());
  if (section.empty() == written.empty())
    if (const std::string here = likely_name(last_part(key), names_in(section)); !here.empty()) return section + here;
  return key_elsewhere(last_part(key));
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  const auto bare = [](std::string_view word) {
    return word.substr(std::min(word.find_first_not_of('-'), word.size()));
  };
  std::vector<std::string> names;
  for (const std::string& one : known) names.emplace_back(bare(one));
  const std::string likely = likely_name(bare(name), names);
  const auto found = std::find(names.begin(), names.end(), likely);
  return found == names.end() ? "" : known[static_cast<std::size_t>(found - names.begin())];
}

}  // namespace moemill::mill
