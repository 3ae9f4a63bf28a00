#include "job/run_setup.hpp"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/arithmetic.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/log.hpp"
#include "config/config.hpp"
#include "dataset/reopen/reopen.hpp"
#include "dataset/seal.hpp"
#include "job/change.hpp"
#include "job/growth.hpp"
#include "system/comm/agree.hpp"
#include "weights/stored_model.hpp"

namespace moemill::mill {
namespace {

using dataset::RunManifest;
using dataset::RunPaths;

std::map<std::string, std::string> as_map(const Fingerprints& f) {
  return {{"input_sha256", f.input.sha256},
          {"input_columns", f.input.columns},
          {"model_sha256", f.model},
          {"tokenizer_sha256", f.tokenizer},
          {"arithmetic", std::string(definition_of(f.arithmetic, f.expert_sum))}};
}

}  // namespace

Fingerprints fingerprints_of(const RunConfig& config, const ModelFolder& model, const dataset::PromptFile& prompts) {
  return {prompts.contents(),       model::model_fingerprint(config.model.path, config.model.load_format),
          model.tokenizer_sha256(), prompts.size(),
          config.model.arithmetic,  model.config.expert_sum};
}

std::optional<RunManifest> find_run(const RunRequest& request) {
  const RunPaths paths{request.config.output.dir};
  if (request.existing == Existing::Overwrite) return std::nullopt;
  std::optional<RunManifest> found = dataset::read_manifest(paths);
  if (found && request.resume == Resume::Never)
    user_error(
        "{} holds a run already and --resume never forbids to resume it; choose another output.dir, or start "
        "over with --overwrite",
        paths.dir);
  if (!found && request.resume == Resume::Always)
    user_error("{} holds no run to resume, as --resume always asks; check output.dir, or leave the option out",
               paths.dir);
  return found;
}

namespace {

[[noreturn]] void refuse(const RunPaths& paths, const std::string& differences, const std::string& advice = "") {
  user_error(
      "{} holds a run that differs in:{}\nUndo the change to resume it, choose another output.dir, or start over "
      "with --overwrite.{}",
      paths.dir, differences, advice);
}

std::string difference(const std::string& what, const std::string& name, const std::string& there,
                       const std::string& now) {
  return fmt::format("\n  {} ({} {}... there, {}... now)", what, name, there.substr(0, 12), now.substr(0, 12));
}

}  // namespace

std::string changed_columns(const RunManifest& manifest, const dataset::InputContents& now,
                            const std::string& input_path) {
  const auto& prints = manifest.fingerprints;
  const auto before = prints.find("input_sha256");
  if (before == prints.end() || before->second == now.sha256) return "";
  const auto columns = prints.find("input_columns");
  if (columns == prints.end())
    return before->second == sha256_file(input_path) ? "" : "any byte of it, which counts in a run of an older moemill";
  const std::vector<std::string> changed = dataset::changed_columns(columns->second, now.columns);
  return fmt::format("{} {}", changed.size() == 1 ? "column" : "columns", fmt::join(changed, ", "));
}

namespace {

// How --extend describes an input that has changed, or "" if prompts were only added.
std::string how_prompts_differ(const RunManifest& manifest, const RunConfig& config,
                               const dataset::PromptFile& prompts) {
  if (!manifest.fingerprints.contains(prompts_fingerprint))
    return "\n  the prompts, and the run is of an older moemill: run.json has no prompts_sha256, so it is "
           "unknown whether the first prompts are the same (with the input as it was, n and max_tokens can grow)";
  if (begins_with_the_same(manifest, config, prompts)) return "";
  return fmt::format(
      "\n  the first {} prompts{} (--extend takes more prompts at the end of the file; existing prompts must "
      "stay as they are, except for n and max_tokens)",
      manifest.prompts, differing_prompts(manifest, prompts));
}

std::string model_differences(const RunManifest& manifest, const Fingerprints& fingerprints) {
  const std::map<std::string, std::string> contents = {{"model_sha256", "the contents of model.path"},
                                                       {"tokenizer_sha256", "the tokenizer in model.path"}};
  const auto prints = as_map(fingerprints);
  std::string differences;
  for (const auto& [name, what] : contents) {
    auto old_value = manifest.fingerprints.find(name);
    if (old_value != manifest.fingerprints.end() && old_value->second != prints.at(name))
      differences += difference(what, name, old_value->second, prints.at(name));
  }
  return differences;
}

}  // namespace

namespace {

// By which the run was begun.
std::string arithmetic_of(const RunManifest& manifest) {
  const auto found = manifest.fingerprints.find("arithmetic");
  return std::string(found == manifest.fingerprints.end() ? first_arithmetic_definition : found->second);
}

}  // namespace

ExpertSum expert_sum_of_run(const RunManifest& manifest) { return expert_sum_of(arithmetic_of(manifest)); }

std::optional<ExpertSum> expert_sum_there(const RunRequest& request) {
  if (request.existing == Existing::Overwrite) return std::nullopt;
  const auto found = dataset::read_manifest(RunPaths{request.config.output.dir});
  return found ? std::optional(expert_sum_of_run(*found)) : std::nullopt;
}

std::optional<ExpertSum> agree_on_expert_sum(const Comm& world, const RunRequest& request) {
  std::string word;
  run_on_rank_zero(world, [&] {
    if (const auto there = expert_sum_there(request)) word = word_of(*there);
  });
  word = broadcast_text(world, word, 0);
  for (const ExpertSum sum : all_expert_sums)
    if (word == word_of(sum)) return sum;
  return std::nullopt;
}

std::string differing_arithmetic(const RunManifest& manifest) {
  const std::string begun = arithmetic_of(manifest);
  if (is_computed_here(begun)) return "";
  std::vector<std::string_view> ours;
  for (const ExpertSum sum : all_expert_sums)
    for (const Arithmetic arithmetic : all_arithmetics) ours.push_back(definition_of(arithmetic, sum));
  return fmt::format("its answers are of the arithmetic {}, this moemill computes {}, whose answers differ", begun,
                     fmt::join(ours, ", "));
}

namespace {

// A run that has all its rows is accepted with any arithmetic.
void check_arithmetic(const RunPaths& paths, const RunManifest& manifest, const RunRequest& request) {
  const std::string differs = differing_arithmetic(manifest);
  if (differs.empty()) return;
  const bool changes = request.failed_rows == FailedRows::Retry || request.growth == Growth::Allowed;
  if (!changes && is_merged(paths, manifest)) return;
  user_error(
      "{} holds a run that this program cannot finish: {}\nFinish it with the moemill that began it, choose another "
      "output.dir, or start over with --overwrite.",
      paths.dir, differs);
}

}  // namespace

void check_same_run(const RunPaths& paths, const RunManifest& manifest, const RunRequest& request,
                    const dataset::PromptFile& prompts, const Fingerprints& fingerprints) {
  check_arithmetic(paths, manifest, request);
  const RunConfig& config = request.config;
  const RunConfig old_config = config_of_run(paths, manifest);
  const std::vector<std::string> changeable = changeable_keys(request);
  std::string differences;
  std::vector<std::string> changed_keys;
  const bool same_prompts = manifest.prompts == fingerprints.prompts;
  for (const auto& key : differing_keys(old_config, config)) {
    if (key == "input.limit" && same_prompts) continue;  // no limit, or a limit of all prompts: the same prompts
    if (std::find(changeable.begin(), changeable.end(), key) != changeable.end()) continue;
    changed_keys.push_back(key);
    differences += fmt::format("\n  {}: {} there, {} now", key, value_of(old_config, key), value_of(config, key));
  }
  const std::string columns = changed_columns(manifest, fingerprints.input, config.input.path);
  if (!columns.empty() && request.growth == Growth::Forbidden)
    differences += difference("the contents of input.path: " + columns, "input_sha256",
                              manifest.fingerprints.at("input_sha256"), fingerprints.input.sha256);
  const bool same_input = same_prompts && columns.empty();
  const std::string other_model = model_differences(manifest, fingerprints);
  differences += other_model;
  std::string advice;
  if (request.growth == Growth::Forbidden && same_prompts && other_model.empty())
    advice = growth_advice(old_config, config, changed_keys, columns);
  if (request.growth == Growth::Forbidden && !same_prompts) {
    differences += fmt::format("\n  the number of prompts: {} there, {} now", manifest.prompts, fingerprints.prompts);
    if (manifest.prompts < fingerprints.prompts)
      advice =
          " Prompts that were added at the end of the file are taken into the run with --extend; or they have a run of "
          "their own: a file with only them and another output.dir.";
  }
  if (request.growth == Growth::Allowed && !same_input) differences += how_prompts_differ(manifest, config, prompts);
  if (!differences.empty()) refuse(paths, differences, advice);
}

void check_same_weights(RunPlan& plan, const std::string& weights_digest) {
  if (weights_digest.empty()) return;
  const auto [known, is_first] = plan.manifest.fingerprints.emplace(weights_fingerprint, weights_digest);
  if (is_first) return dataset::write_manifest(plan.paths, plan.manifest);
  if (known->second != weights_digest)
    refuse(plan.paths, difference("the weights in model.path", weights_fingerprint, known->second, weights_digest));
}

RunManifest plan_new_run(const RunPaths& paths, const RunConfig& config, const ModelFolder& model,
                         const dataset::PromptFile& prompts, const Fingerprints& fingerprints) {
  prompts.check_ids();
  RunManifest manifest;
  manifest.run_id = dataset::new_run_id();
  manifest.created_utc = utc_now();
  manifest.prompts = prompts.size();
  manifest.completions = prompts.check_columns(config.sampling, model.config.vocabulary);
  manifest.shard_prompts = config.output.shard_prompts.value_or(dataset::auto_shard_prompts(prompts.size()));
  manifest.fingerprints = as_map(fingerprints);
  dataset::check_numbers(paths, manifest);
  return manifest;
}

bool is_merged(const RunPaths& paths, const RunManifest& manifest) {
  if (manifest.shards_removed && !files::exists(paths.outputs()))
    user_error(
        "{}: is missing, and the run's shards were removed when it was whole (output.keep_shards: false), so its rows "
        "are lost here: restore it from a copy, or make all rows again with --overwrite",
        paths.outputs());
  return !manifest.reopening && dataset::has_all_rows(paths, manifest, manifest.completions);
}

namespace {

// The text of config.yaml, with absolute paths, so that verify and status find model and prompts from any folder.
std::string resolved(RunConfig config) {
  for (std::string* path : {&config.model.path, &config.input.path})
    *path = std::filesystem::absolute(*path).lexically_normal().string();
  if (auto& file = config.cost.calibration) *file = std::filesystem::absolute(*file).lexically_normal().string();
  return dataset::with_checksum_line(to_yaml(config));
}

}  // namespace

void check_nothing_in_the_way(const RunPaths& paths, const RunConfig& config) {
  dataset::check_no_foreign_files(paths, resolved(config));
}

dataset::SampleCounts sample_counts(const RunConfig& config, const dataset::PromptFile& prompts) {
  return
      [&](dataset::ShardRange range) { return prompts.read_sample_counts(range.first, range.count, config.sampling); };
}

namespace {

// Resumes an existing run, with the change that the request asks for.
void resume_run(RunPlan& plan, const RunRequest& request, const ModelFolder& model, const dataset::PromptFile& prompts,
                const Fingerprints& fingerprints, dataset::RunCounter& counter) {
  is_merged(plan.paths,
            plan.manifest);  // throws for a run that has lost its rows, which only --overwrite generates again
  dataset::make_folders(plan.paths);
  dataset::remove_leftovers(plan.paths);
  finish_change(plan.paths, plan.manifest, model, prompts);
  if (request.failed_rows == FailedRows::Retry || request.growth == Growth::Allowed) {
    const dataset::RunCounts counts = counter.count(plan.paths, plan.manifest, sample_counts(request.config, prompts));
    change_run(request, plan.paths, plan.manifest, model, prompts, fingerprints, counts, ChangeStep::Make);
  }
  if (const auto wanted = request.config.output.shard_prompts; wanted && *wanted != plan.manifest.shard_prompts)
    log::info("output.shard_prompts: the run began with {} prompts per shard and keeps that",
              plan.manifest.shard_prompts);
  if (files::exists(plan.paths.outputs_before()) && !files::exists(plan.paths.outputs()))
    log::info("{}: the rows as they were before, until all are done", plan.paths.outputs_before());
}

}  // namespace

RunPlan open_run(const RunRequest& request, const ModelFolder& model, const dataset::PromptFile& prompts,
                 const Fingerprints& fingerprints, dataset::RunCounter& counter) {
  RunPaths paths{request.config.output.dir};
  const std::optional<RunManifest> found = find_run(request);
  RunPlan plan{paths, {}, {}, {}};
  if (found) {
    check_same_run(paths, *found, request, prompts, fingerprints);
    plan.manifest = *found;
    resume_run(plan, request, model, prompts, fingerprints, counter);
  } else {
    plan.manifest = plan_new_run(paths, request.config, model, prompts, fingerprints);
    plan.manifest.fingerprints[prompts_fingerprint] = hash_prompts(request.config, prompts, prompts.size());
    if (request.existing == Existing::Overwrite) dataset::clear_run(paths);
    dataset::create_run(paths, plan.manifest, resolved(request.config));
    dataset::remove_leftovers(paths);
  }
  plan.before = counter.count(paths, plan.manifest, sample_counts(request.config, prompts));
  if (is_merged(paths, plan.manifest)) return plan;
  const dataset::RunListing listing = dataset::list_run(paths, plan.manifest);
  for (std::uint32_t s = 0; s < plan.manifest.shard_count(); ++s) {
    ShardId shard{static_cast<std::int32_t>(s)};
    if (!std::binary_search(listing.finished.begin(), listing.finished.end(), shard)) plan.unfinished.push_back(shard);
  }
  return plan;
}

void keep_config(const RunPlan& plan, const RunConfig& config) {
  files::write_atomically(plan.paths.config(), resolved(config));
}

RunPlan share(const Comm& world, const RunPlan& plan) {
  nlohmann::ordered_json j;
  if (world.rank() == 0) {
    std::vector<std::int32_t> unfinished;
    for (ShardId shard : plan.unfinished) unfinished.push_back(shard.value);
    j = {{"dir", plan.paths.dir}, {"manifest", plan.manifest}, {"unfinished", unfinished}, {"before", plan.before}};
  }
  j = nlohmann::ordered_json::parse(broadcast_text(world, j.dump(), 0));
  RunPlan out;
  j["dir"].get_to(out.paths.dir);
  j["manifest"].get_to(out.manifest);
  j["before"].get_to(out.before);
  for (auto shard : j["unfinished"].get<std::vector<std::int32_t>>()) out.unfinished.push_back({shard});
  return out;
}

}  // namespace moemill::mill
