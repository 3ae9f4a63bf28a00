#include "commands/validate.hpp"

#include "base/text/format.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "commands/expert_sum_text.hpp"
#include "commands/print_fit.hpp"
#include "commands/prompt_survey.hpp"
#include "commands/run_estimate.hpp"
#include "generate/backend/backend.hpp"
#include "generate/model_folder.hpp"
#include "job/change.hpp"
#include "mill/summary.hpp"
#include "plan/cores.hpp"
#include "plan/expert_domain.hpp"
#include "plan/fit.hpp"
#include "system/files/shipped_files.hpp"
#include "weights/cpu/weights.hpp"
#include "weights/stored_model.hpp"

namespace moemill::mill {
namespace {

void print_prompts(const dataset::PromptFile& prompts, const PromptSurvey& s) {
  fmt::print("prompts  {}: {} of {}, {} completions\n", prompts.path(), thousands(s.prompts),
             prompts.form() == dataset::PromptForm::Text ? "text" : "token ids", thousands(s.completions));
  fmt::print("tokens   {} in prompts, longest {}; at most {} to generate\n", thousands(s.tokens), thousands(s.longest),
             thousands(s.most_new_tokens));
  fmt::print("lengths\n{}", histogram_text(s));
  const double share = s.tokens > 0 ? 100.0 * static_cast<double>(s.shared_tokens) / static_cast<double>(s.tokens) : 0;
  fmt::print(
      "repeats  {} prompts equal an earlier one; {:.1f} % of prompt tokens repeat an earlier prompt's start in whole "
      "blocks of {} (a run shares to the token, from 16 on: parallel.prefix_cache)\n",
      thousands(s.duplicates), share, schedule::page_tokens);
  if (s.cut > 0) fmt::print("cut      {} prompts are truncated by errors.too_long\n", thousands(s.cut));
  if (const std::string columns = columns_text(prompts); !columns.empty()) fmt::print("columns  {}\n", columns);
  for (const auto& [code, count] : s.failing) fmt::print("failing  {} prompts: {}\n", thousands(count), code);
  for (const auto& example : s.examples) fmt::print("         {}\n", example);
}

// Makes all checks of open_run() on an existing run, without writing anything.
void check_run_there(const RunRequest& request, const dataset::RunPaths& paths, dataset::RunManifest found,
                     const ModelFolder& model, const dataset::PromptFile& prompts) {
  const Fingerprints fingerprints = fingerprints_of(request.config, model, prompts);
  check_same_run(paths, found, request, prompts, fingerprints);
  is_merged(paths, found);
  if (request.failed_rows == FailedRows::Keep && request.growth == Growth::Forbidden) return;
  if (found.reopening)  // until the change is completed, the files disagree about the run's rows
    return fmt::print("change   an earlier change of this run was interrupted: the job completes it first\n");
  dataset::RunCounter counter;
  const dataset::RunCounts counts = counter.count(paths, found, sample_counts(request.config, prompts));
  change_run(request, paths, found, model, prompts, fingerprints, counts, ChangeStep::Ask);
}

// Rows of an existing run that the job does not make again.
std::uint64_t rows_kept(const RunRequest& request, const dataset::RunPaths& paths, const dataset::RunManifest& found,
                        const dataset::PromptFile& prompts) {
  if (found.reopening) return 0;  // the files disagree about the run's rows
  dataset::RunCounter counter;
  const dataset::RunCounts counts = counter.count(paths, found, sample_counts(request.config, prompts));
  return counts.rows - (request.failed_rows == FailedRows::Keep ? 0 : counts.rows_failed);
}

// Checks the run directory for obstacles that the run would meet. Returns the rows that are there already, which are
// counted only for a job whose time is predicted.
std::uint64_t check_run_dir(const RunRequest& asked, const ModelFolder& model, const dataset::PromptFile& prompts) {
  RunRequest request = asked;
  request.config = with_settings_of(asked.config, model, prompts);
  const RunConfig& config = request.config;
  const dataset::RunPaths paths{config.output.dir};
  std::filesystem::path folder = std::filesystem::absolute(paths.dir);
  while (!std::filesystem::exists(folder)) folder = folder.parent_path();  // the run creates missing folders
  if (!std::filesystem::is_directory(folder))
    user_error("output.dir: {}: {} is not a folder; choose another one", paths.dir, folder.string());
  if (access(folder.c_str(), W_OK | X_OK) != 0)
    user_error("output.dir: {}: {} cannot be written to: {}", paths.dir, folder.string(), std::strerror(errno));
  if (const auto found = find_run(request)) {
    check_run_there(request, paths, *found, model, prompts);
    fmt::print("run      {}: is there already, after attempt {}; the job resumes it\n", paths.dir, found->attempts);
    return config.cost.calibration ? rows_kept(request, paths, *found, prompts) : 0;
  }
  plan_new_run(paths, config, model, prompts, {});
  check_nothing_in_the_way(paths, config);
  return 0;
}

// SizesOnly means a model folder without weights; its config.json still has the sizes.
enum class Files { Whole, SizesOnly };

Files files_of(const ValidateRequest& request) {
  const RunConfig& config = request.run.config;
  if (!config.input.path.empty() || request.input == ValidateRequest::Input::Needed) return Files::Whole;
  if (model::has_weights(config.model.path)) return Files::Whole;
  return config.model.load_format == "auto" ? Files::SizesOnly : Files::Whole;
}

// Prints the bytes of one copy of the model by the format in which ranks hold it.
void print_formats(const model::HeldWeights& held) {
  std::string text;
  for (const auto& [name, bytes] : {std::pair("int8", held.int8_bytes),
                                    {"FP8", held.fp8_bytes},
                                    {"MXFP4", held.mxfp4_bytes},
                                    {"bf16", held.bf16_bytes}}) {
    if (bytes > 0) text += fmt::format("{}{} in {}", text.empty() ? "" : " and ", gib(bytes), name);
  }
  fmt::print("weights  a copy of the model takes {}\n", text);
  if (held.widened_matrices > 0) {
    fmt::print(
        "         {} stored in FP8 are held in bf16: their scales are too small, or cover an odd number of inputs\n",
        counted(held.widened_matrices, "matrix", "matrices"));
  }
}

// Says why model.keep_quantized has no effect where it has none.
void print_rounding(const model::ModelConfig& config) {
  if (config.arithmetic != Arithmetic::Int8 || config.quantization.format == model::WeightFormat::Plain) return;
  fmt::print(
      "         model.arithmetic int8: what the files store in {} is decoded and rounded to int8, so "
      "model.keep_quantized does not apply to it\n",
      config.quantization.format == model::WeightFormat::Fp8 ? "FP8" : "MXFP4");
}

ModelFolder open_and_print_model(const ValidateRequest& request) {
  const RunConfig& config = request.run.config;
  const Files files = files_of(request);
  backend_name(config.runtime.backend, config.model.arithmetic);  // refuses what this program was built without
  ModelSettings settings = config.model;
  if (files == Files::SizesOnly) settings.load_format = "dummy";
  ModelFolder model = open_model(settings, expert_sum_there(request.run));
  const auto warnings = model::check_model_files(settings.path, model.config, settings.load_format);
  if (files == Files::Whole) {
    model.config = model::stored_config(settings.path, model.config, settings.load_format);
  }
  const auto counts = model::count_parameters(model.config);
  fmt::print("model    {}: {}, {} parameters, {} active per token, context {}\n", settings.path,
             model.config.model_type, thousands(counts.total), thousands(counts.active),
             thousands(model.max_model_len));
  if (files == Files::SizesOnly)
    fmt::print("weights  none in this folder: sizes are those of config.json; `run` would need the files\n");
  print_formats(model::held_weights(model.config));
  print_rounding(model.config);
  fmt::print("{}", expert_sum_text(model.config));
  for (const auto& warning : warnings) fmt::print("warning: {}\n", warning);
  return model;
}

// The question whether the job fits into memory, with the domains that it would have.
FitQuestion fit_question(const ValidateRequest& request, const ModelFolder& model, std::uint64_t sequences,
                         std::uint64_t sequence_tokens) {
  ParallelSettings parallel = request.run.config.parallel;
  const std::vector<int> nodes =
      nodes_in_a_row(request.ranks, request.ranks_per_node.value_or(parallel.ranks_per_node.value_or(request.ranks)));
  const std::uint64_t process = process_bytes();
  const DomainChoice choice =
      choose_domain({model.config, parallel, nodes, sequences, sequence_tokens, request.node_bytes, process});
  if (request.ranks > 1) print_domain(parallel.expert_domain, choice);
  if (parallel.expert_domain == "auto") parallel.expert_domain = choice.setting;
  return {model.config,
          request.run.config.parallel,
          shape_of(parallel, nodes),
          sequences,
          sequence_tokens,
          request.node_bytes,
          process};
}

Fit::Shortage answer_fit(const FitQuestion& question) {
  const Fit answer = fit(question);
  print_fit(question, answer);
  return answer.shortage;
}

constexpr const char* does_not_fit = "the job cannot work: it does not fit into memory\n";

// Validates without prompts, for as many sequences as a rank may hold, each as long as the model allows.
ExitCode validate_sizes(const ValidateRequest& request, const ModelFolder& model) {
  for (const auto& warning : model.config.warnings) fmt::print("warning: {}\n", warning);
  if (!model.tokenizer) fmt::print("warning: {}\n", model.why_no_tokenizer);
  fmt::print(
      "prompts  none given: sequences are taken to be as long as model.max_model_len; say -i FILE for the real ones\n");
  const std::uint64_t sequences = std::uint64_t{request.ranks} * request.run.config.parallel.max_num_seqs;
  if (answer_fit(fit_question(request, model, sequences, model.max_model_len)) == Fit::Shortage::None)
    return ExitCode::Done;
  fmt::print(does_not_fit);
  return ExitCode::Usage;
}

// The time that the job will take at most, if it has a calibration. `kept` rows are there already.
void print_time(const RunConfig& config, const FitQuestion& question, const WorkLengths& work, std::uint64_t kept) {
  if (!config.cost.calibration) return;
  if (kept >= question.sequences)
    return fmt::print("time     nothing is left to compute: all {} rows are there\n", thousands(question.sequences));
  const RunEstimate estimate = estimate_run(*config.cost.calibration, config, question, fit(question), work);
  fmt::print("time     {}, if all answers reach max_tokens{}\n{}", clock_text(estimate.parts.wall()),
             kept == 0 ? ""
                       : fmt::format("; of all {} rows, {} of which are there already", thousands(question.sequences),
                                     thousands(kept)),
             details(estimate, config.cost));
}

// Replaces threads_per_rank: auto by its value on machines like this one.
ValidateRequest with_threads(ValidateRequest request) {
  ParallelSettings& parallel = request.run.config.parallel;
  const std::uint32_t a_node = request.ranks_per_node.value_or(parallel.ranks_per_node.value_or(request.ranks));
  parallel.threads_per_rank = threads_here(parallel, std::min(request.ranks, a_node));
  return request;
}

}  // namespace

ExitCode validate(const ValidateRequest& asked) {
  if (asked.ranks < 1) user_error("--ranks {}: must be 1 or more", asked.ranks);
  if (asked.ranks_per_node == 0u) user_error("--ranks-per-node 0: must be 1 or more");
  ValidateRequest request = with_threads(asked);
  if (asked.run.config.input.path.empty()) request.run.config.model.path = shipped_model(asked.run.config.model.path);
  const RunConfig& config = request.run.config;
  const ModelFolder model = open_and_print_model(request);
  if (config.input.path.empty() && request.input == ValidateRequest::Input::Optional)
    return validate_sizes(request, model);
  const dataset::PromptFile prompts = open_prompts(config);
  check_model_can(model, config, prompts);
  for (const auto& warning : warnings_of(model, config, prompts)) fmt::print("warning: {}\n", warning);
  for (const auto& warning : prompts.warnings()) fmt::print("warning: {}\n", warning);
  const std::uint64_t kept = check_run_dir(request.run, model, prompts);
  WorkLengths work;
  work.sampling = config.sampling;
  const PromptSurvey s = survey(prompts, config.sampling, model.tokenizer_or_null(), prepare_rules(config, model),
                                [&](const PreparedPrompt& prompt) {
                                  if (config.cost.calibration) add_prompt(work, prompt, {});
                                });
  print_prompts(prompts, s);
  if (s.doubled > 0)
    fmt::print("warning: {}\n", FrontTokens(model.tokenizer_or_null()).warning(s.doubled, prompts.size()));
  const FitQuestion question = fit_question(request, model, s.completions, s.longest_sequence);
  const Fit::Shortage shortage = answer_fit(question);

  const double failed = static_cast<double>(s.failed_rows) / static_cast<double>(s.completions);
  if (s.failed_rows == s.completions) {
    fmt::print("the job cannot work: every prompt fails\n");
    return ExitCode::Usage;
  }
  if (failed > config.errors.max_failed_fraction)
    fmt::print(
        "warning: {:.1f} % of the rows fail, more than errors.max_failed_fraction; the run would end with exit code "
        "3\n",
        100 * failed);
  if (shortage != Fit::Shortage::None) {
    fmt::print(does_not_fit);
    return ExitCode::Usage;
  }
  print_time(config, question, work, kept);
  fmt::print("the job can work\n");
  return ExitCode::Done;
}

}  // namespace moemill::mill
