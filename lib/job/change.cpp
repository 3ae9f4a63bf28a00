#include "job/change.hpp"

#include <algorithm>
#include <filesystem>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/log.hpp"
#include "base/text/format.hpp"
#include "config/config.hpp"
#include "dataset/reopen/reopen.hpp"
#include "dataset/seal.hpp"
#include "job/wanted_rows.hpp"
#include "mill/summary.hpp"

namespace moemill::mill {
namespace {

using dataset::Completion;
using dataset::ErrorCode;
using dataset::Fate;
using dataset::RowStatus;
using dataset::RunChange;
using dataset::RunManifest;
using dataset::RunPaths;

constexpr std::string_view retries = "retry_failed", extends = "extend";

// False if the key is a fingerprint.
bool is_setting(const std::string& key) { return key.find('.') != std::string::npos; }

bool does(const RunChange& change, std::string_view what) { return change.what.find(what) != std::string::npos; }

// Failures that the prompt alone causes repeat with any settings.
Fate fate_of_failed(const RunChange& change, ErrorCode code) {
  const bool new_settings = !change.values.empty();
  if (code == ErrorCode::TooLong) return new_settings ? Fate::Again : Fate::Keep;  // its message names the limits
  return code == ErrorCode::Internal && does(change, retries) ? Fate::Again : Fate::Keep;
}

Fate fate_of(const RunChange& change, WantedRows& wanted, const Completion& row) {
  const bool failed = row.status == RowStatus::Failed;
  const ErrorCode code = row.error ? row.error->code : ErrorCode::Internal;
  if (change.values.empty())  // only failed rows can have changed, and no prompt needs to be read
    return failed ? fate_of_failed(change, code) : Fate::Keep;
  const Fate fate = wanted.fate_of(row);
  if (failed) return fate_of_failed(change, code);
  if (change.values.contains("errors.too_long") && row.num_prompt_tokens < wanted.of(row.prompt_index).full_length)
    user_error(
        "prompt {}: its answer is that of a prompt cut to {} of {} tokens, and a different errors.too_long would cut "
        "it differently: leave errors.too_long as it was, or start a separate run; nothing was changed",
        row.prompt_index, row.num_prompt_tokens, wanted.of(row.prompt_index).full_length);
  if (fate != Fate::Keep && !does(change, extends))
    user_error(
        "prompt {}: its answer was ended by its length, and with these settings it would continue: add --extend, "
        "or leave model.max_model_len as it was; nothing was changed",
        row.prompt_index);
  return fate;
}

// The settings before the change.
RunConfig config_before(RunConfig config, const RunChange& change, const std::string& origin) {
  for (const auto& [key, both] : change.values)
    if (is_setting(key)) config = with_value(std::move(config), key, both.first, origin);
  return config;
}

WantedRows wanted_rows(const RunConfig& config, const RunChange& change, const RunPaths& paths,
                       const ModelFolder& model, const dataset::PromptFile& prompts) {
  const bool changed = change.values.contains("input_sha256");
  return {config, config_before(config, change, paths.manifest()),
          changed ? WantedRows::Columns::Changed : WantedRows::Columns::Same, model, prompts};
}

dataset::Verdicts verdicts_of(const RunChange& change, const RunConfig& config, WantedRows& wanted,
                              const dataset::PromptFile& prompts) {
  return {[&](const Completion& row) { return fate_of(change, wanted, row); },
          [&](std::uint64_t prompt) { return change.values.empty() ? 0 : wanted.of(prompt).sampling.n; },
          [&](const Completion& row) { return wanted.ends_after_all(row); },
          [&](std::uint64_t prompt) { return change.values.empty() || wanted.begins_as_before(prompt); },
          [&](const dataset::PartialSample& partial) { return change.values.empty() || wanted.is_beginning(partial); },
          change.values.empty() ? nullptr : &prompts,
          change.values.empty() ? dataset::OutputLayout{} : dataset::layout_of(config, prompts)};
}

void hash_number(Sha256& sha, double value) { sha.update(fmt::format("{:a},", value)); }

void hash_text(Sha256& sha, std::string_view text) {
  sha.update(fmt::format("{}:", text.size()));
  sha.update(text);
}

// Hashes a prompt and its columns, without n and max_tokens.
void hash_prompt(Sha256& sha, const dataset::Prompt& prompt) {
  const SamplingParams& s = prompt.sampling;
  hash_text(sha, dataset::to_text(prompt.id));
  hash_text(sha, prompt.text);
  hash_text(sha, std::string_view(reinterpret_cast<const char*>(prompt.token_ids.data()),
                                  prompt.token_ids.size() * sizeof(TokenId)));
  hash_text(sha, prompt.fault ? prompt.fault->message : "");
  for (double value : {static_cast<double>(s.temperature), static_cast<double>(s.top_p), static_cast<double>(s.min_p),
                       static_cast<double>(s.repetition_penalty), static_cast<double>(s.presence_penalty),
                       static_cast<double>(s.frequency_penalty)})
    hash_number(sha, value);
  sha.update(fmt::format("{},{},{},{},{},{},{};", s.top_k, s.min_tokens, s.seed, s.ignore_eos,
                         s.logprobs ? static_cast<std::int64_t>(*s.logprobs) : -1, s.prompt_logprobs,
                         fmt::join(s.stop_token_ids, " ")));
  for (const std::string& stop : s.stop) hash_text(sha, stop);
  // Nothing is hashed if special tokens are added, so that the hashes of most existing runs stay valid.
  if (!prompt.add_special_tokens) sha.update(std::string_view("no special tokens;"));
}

// Writes config.yaml with the values of the change and the input that it needs; the rest follows when the job has
// begun.
void keep_changed_config(const RunPaths& paths, const RunManifest& manifest, const std::string& input) {
  RunConfig config = config_of_run(paths, manifest);
  config.input.path = std::filesystem::absolute(input).lexically_normal().string();
  files::write_atomically(paths.config(), dataset::with_checksum_line(to_yaml(config)));
}

void carry_through(const RunPaths& paths, RunManifest& manifest, const RunConfig& config,
                   const std::vector<ShardId>& shards, const dataset::Verdicts& verdicts) {
  const RunChange& change = manifest.history.back();
  const bool same_rows =
      shards.empty() && change.prompts == change.prompts_before && change.completions == change.completions_before;
  if (!same_rows || !dataset::has_all_rows(paths, manifest, manifest.completions))
    dataset::reopen(paths, manifest, change.prompts_before, change.completions_before, shards, config.output.gzip_level,
                    verdicts);
  manifest.reopening = false;
  dataset::write_manifest(paths, manifest);
}

// What --retry-failed and --extend change in the manifest besides the rows.
RunChange change_for(const RunRequest& request, const RunPaths& paths, const RunManifest& manifest,
                     const ModelFolder& model, const dataset::PromptFile& prompts, const Fingerprints& fingerprints) {
  RunChange change;
  change.time_utc = utc_now();
  if (request.failed_rows == FailedRows::Retry) change.what = retries;
  if (request.growth == Growth::Allowed) change.what += (change.what.empty() ? "" : "+") + std::string(extends);
  change.after_attempt = manifest.attempts;
  const RunConfig old_config = config_of_run(paths, manifest);
  for (const std::string& key : differing_keys(old_config, request.config))
    change.values[key] = {value_of(old_config, key), value_of(request.config, key)};
  if (!changed_columns(manifest, fingerprints.input, request.config.input.path).empty()) {
    const auto keep = [&](const char* name, const std::string& now) {
      const auto before = manifest.fingerprints.find(name);
      change.values[name] = {before == manifest.fingerprints.end() ? "" : before->second, now};
    };
    keep("input_sha256", fingerprints.input.sha256);
    keep("input_columns", fingerprints.input.columns);
  }
  change.prompts_before = manifest.prompts;
  change.completions_before = manifest.completions;
  change.prompts = prompts.size();
  change.completions = change.values.empty() ? manifest.completions
                                             : prompts.check_columns(request.config.sampling, model.config.vocabulary);
  return change;
}

// Reports which failures can change and which cannot.
bool retry_is_worth_it(const RunChange& change, const dataset::RunCounts& counts) {
  std::map<std::string, std::uint64_t> again, stay;
  for (const auto& [name, count] : counts.failed_by_code) {
    const auto code = dataset::parse_error_code(name);
    (code && fate_of_failed(change, *code) == Fate::Again ? again : stay)[name] += count;
  }
  if (!stay.empty())
    log::warning("--retry-failed: {} cannot change and stay{}", codes_text(stay),
                 stay.contains("too_long")
                     ? ": with a different errors.too_long or model.max_model_len the too_long rows are generated again"
                     : ": they come from the prompts themselves");
  if (!again.empty()) log::info("--retry-failed: {} are generated again", codes_text(again));
  if (counts.rows_failed == 0) log::info("--retry-failed: no row has failed");
  return !again.empty();
}

// Settings that apply only to failed rows must not change if no row is generated again, because config.yaml documents
// how the rows were made.
void refuse_unused_settings(const RunRequest& request, const RunChange& change) {
  std::vector<std::string> idle;
  for (const auto& [key, both] : change.values) {
    const bool for_growth = request.growth == Growth::Allowed && key != "errors.too_long";
    if (is_setting(key) && !for_growth) idle.push_back(fmt::format("{} {} -> {}", key, both.first, both.second));
  }
  if (!idle.empty())
    user_error(
        "--retry-failed: there is no row to generate again, and the settings differ ({}): leave them as they were; "
        "nothing was changed",
        fmt::join(idle, ", "));
}

// A run that was small has small shards, which would be too many for a large run. If only outputs.h5 has the rows, they
// are cut from it again, with the shard size of a run that had these prompts from the start. Existing shards keep their
// size.
std::uint64_t shard_prompts_for(const RunRequest& request, const RunManifest& manifest, const RunChange& change) {
  if (!manifest.shards_removed) return manifest.shard_prompts;
  return request.config.output.shard_prompts.value_or(dataset::auto_shard_prompts(change.prompts));
}

void report_growth(const RunChange& change, std::size_t shards) {
  if (!does(change, extends)) return;
  std::vector<std::string> parts;
  for (const auto& [key, both] : change.values)
    if (is_setting(key)) parts.push_back(fmt::format("{} {} -> {}", key, both.first, both.second));
  log::info("--extend: {} -> {} prompts, {} -> {} rows{}{}; {} of the run's shards are continued",
            thousands(change.prompts_before), thousands(change.prompts), thousands(change.completions_before),
            thousands(change.completions), parts.empty() ? "" : ", ", fmt::join(parts, ", "), shards);
}

}  // namespace

std::vector<std::string> changeable_keys(const RunRequest& request) {
  std::vector<std::string> keys;
  if (request.failed_rows == FailedRows::Retry) keys = {"errors.too_long", "model.max_model_len"};
  if (request.growth == Growth::Allowed)
    keys.insert(keys.end(), {"sampling.n", "sampling.max_tokens", "input.limit", "model.max_model_len"});
  return keys;
}

std::string hash_prompts(const RunConfig& config, const dataset::PromptFile& prompts, std::uint64_t count) {
  constexpr std::uint64_t block = 4096;
  Sha256 sha;
  for (std::uint64_t first = 0; first < count; first += block)
    for (const auto& prompt : prompts.read(first, std::min(block, count - first), config.sampling))
      hash_prompt(sha, prompt);
  return sha.hex();
}

bool begins_with_the_same(const RunManifest& manifest, const RunConfig& config, const dataset::PromptFile& prompts) {
  const auto known = manifest.fingerprints.find(prompts_fingerprint);
  return known != manifest.fingerprints.end() && prompts.size() >= manifest.prompts &&
         known->second == hash_prompts(config, prompts, manifest.prompts);
}

RunConfig config_of_run(const RunPaths& paths, const RunManifest& manifest) {
  const auto text = files::read_text(paths.config());
  const auto broken = dataset::broken_checksum_line(text.value_or(""));
  if (broken)
    user_error("{}: {}, and it has the settings of this run: restore it, or start again with --overwrite",
               paths.config(), text ? "is damaged (" + *broken + ")" : "is missing");
  std::vector<Override> overrides;
  if (manifest.reopening)
    for (const auto& [key, both] : manifest.history.back().values)
      if (is_setting(key)) overrides.push_back({key, both.second, paths.manifest(), Override::Form::Yaml});
  RunConfig config = parse_resolved(*text, paths.config(), overrides);
  config.model.expert_sum = expert_sum_of_run(manifest);  // a config.yaml from before the key does not have it
  return config;
}

void finish_change(const RunPaths& paths, RunManifest& manifest, const ModelFolder& model,
                   const dataset::PromptFile& prompts) {
  if (!manifest.reopening) return;
  const RunConfig config = config_of_run(paths, manifest);
  const RunChange change = manifest.history.back();
  log::info("a change of this run ({}) was interrupted: it is completed first", change.what);
  keep_changed_config(paths, manifest, prompts.path());
  WantedRows wanted = wanted_rows(config, change, paths, model, prompts);
  const dataset::Verdicts verdicts = verdicts_of(change, config, wanted, prompts);
  carry_through(paths, manifest, config,
                dataset::shards_to_reopen(paths, manifest, change.prompts_before, change.completions_before, verdicts),
                verdicts);
}

void change_run(const RunRequest& request, const RunPaths& paths, RunManifest& manifest, const ModelFolder& model,
                const dataset::PromptFile& prompts, const Fingerprints& fingerprints, const dataset::RunCounts& counts,
                ChangeStep step) {
  if (request.failed_rows == FailedRows::Keep && request.growth == Growth::Forbidden) return;
  const RunChange change = change_for(request, paths, manifest, model, prompts, fingerprints);
  const bool again = request.failed_rows == FailedRows::Retry && retry_is_worth_it(change, counts);
  if (request.failed_rows == FailedRows::Retry && !again) refuse_unused_settings(request, change);
  if (change.values.empty() && !again) {
    if (request.growth == Growth::Allowed) log::info("--extend: the run has these prompts and settings already");
    return;
  }
  RunManifest changed = manifest;
  changed.prompts = change.prompts;
  changed.completions = change.completions;
  if (!change.values.empty()) {
    prompts.check_ids();
    changed.fingerprints["input_sha256"] = fingerprints.input.sha256;
    changed.fingerprints["input_columns"] = fingerprints.input.columns;
    changed.fingerprints[prompts_fingerprint] = hash_prompts(request.config, prompts, prompts.size());
  }
  if (change.prompts > change.prompts_before && step == ChangeStep::Make) {
    changed.shard_prompts = shard_prompts_for(request, manifest, change);
    if (manifest.shards_removed)  // shards that a kill left behind would be taken for new ones
      dataset::remove_merged_shards(paths, manifest, [] {});
  }
  changed.history.push_back(change);
  changed.reopening = true;
  changed.exit_code.reset();
  dataset::check_numbers(paths, changed);
  WantedRows wanted = wanted_rows(request.config, change, paths, model, prompts);
  const dataset::Verdicts verdicts = verdicts_of(change, request.config, wanted, prompts);
  const auto shards =
      dataset::shards_to_reopen(paths, changed, change.prompts_before, change.completions_before, verdicts);
  report_growth(change, shards.size());
  if (step == ChangeStep::Ask) return;
  dataset::write_manifest(paths, changed);  // from here on any later job completes the change
  manifest = changed;
  keep_changed_config(paths, manifest, prompts.path());
  carry_through(paths, manifest, request.config, shards, verdicts);
}

std::string codes_text(const std::map<std::string, std::uint64_t>& failed_by_code) {
  std::vector<std::string> parts;
  for (const auto& [code, count] : failed_by_code) parts.push_back(fmt::format("{} {}", thousands(count), code));
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace moemill::mill
