#include "mill/validate.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "mill/engine.hpp"
#include "mill/loaded_model.hpp"
#include "mill/memory.hpp"
#include "mill/prompt_survey.hpp"
#include "mill/ranks.hpp"
#include "mill/summary.hpp"

namespace moemill::mill {
namespace {

void tell_prompts(const dataset::PromptFile& prompts, const PromptSurvey& s) {
  fmt::print("prompts  {}: {} of {}, {} completions\n", prompts.path(), thousands(s.prompts),
             prompts.form() == dataset::PromptForm::Text ? "text" : "token ids", thousands(s.completions));
  fmt::print("tokens   {} in prompts, longest {}; at most {} to generate\n", thousands(s.tokens), thousands(s.longest),
             thousands(s.most_new_tokens));
  fmt::print("lengths\n{}", histogram_text(s));
  const double share = s.tokens > 0 ? 100.0 * static_cast<double>(s.shared_tokens) / static_cast<double>(s.tokens) : 0;
  fmt::print(
      "repeats  {} prompts equal an earlier one; {:.1f} % of prompt tokens repeat an earlier prompt's start, in whole "
      "blocks of {}\n",
      thousands(s.duplicates), share, schedule::page_tokens);
  if (s.cut > 0) fmt::print("cut      {} prompts are truncated by errors.too_long\n", thousands(s.cut));
  if (!prompts.carried().empty()) {
    std::string names;
    for (const auto& column : prompts.carried()) names += (names.empty() ? "" : ", ") + column.name;
    fmt::print("carried  {}\n", names);
  }
  for (const auto& [code, count] : s.failing) fmt::print("failing  {} prompts: {}\n", thousands(count), code);
  for (const auto& example : s.examples) fmt::print("         {}\n", example);
}

// The rank that holds most, and whether that fits this machine (which may not be the job's).
void tell_memory(const ValidateRequest& request, const ModelFolder& model, const PromptSurvey& s, int domain_ranks) {
  const ParallelSettings& parallel = request.run.config.parallel;
  const model::Placement placement{model.config.moe.experts, static_cast<std::uint32_t>(domain_ranks)};
  std::uint64_t weights = 0;
  for (int r = 0; r < domain_ranks; ++r) weights = std::max(weights, model::weight_bytes(model.config, placement, {r}));
  const std::uint64_t most_sequences = std::min<std::uint64_t>(parallel.max_num_seqs, s.completions);
  const std::uint64_t sequence_pages = schedule::pages_for(s.longest_sequence);
  const std::uint64_t pages =
      parallel.kv_cache_tokens ? schedule::pages_for(*parallel.kv_cache_tokens) : sequence_pages * most_sequences;
  const std::uint64_t kv = pages * layers::page_bytes(model.config, schedule::PageGroup::Full);
  const std::uint64_t ranks_here = request.ranks_per_node.value_or(static_cast<std::uint32_t>(request.ranks));
  const std::uint64_t available = available_memory_bytes();
  fmt::print(
      "memory   a rank of {}: {} of weights, up to {} of KV cache ({} bytes a token, {} sequences of up to {} "
      "tokens)\n",
      request.ranks, gib(weights), gib(kv), model::kv_bytes_per_token(model.config), most_sequences,
      s.longest_sequence);
  fmt::print("         {} ranks on a machine: {}; free here now: {}\n", ranks_here, gib((weights + kv) * ranks_here),
             gib(available));
  if (parallel.kv_cache_tokens && pages < sequence_pages)
    user_error("parallel.kv_cache_tokens: {} is too little for the longest sequence, {} tokens; raise it",
               *parallel.kv_cache_tokens, s.longest_sequence);
  if (weights * ranks_here > available)
    fmt::print("warning: the weights alone are more than this machine's free memory\n");
}

// What the run would find in the way of its directory.
void check_run_dir(const RunRequest& request, const ModelFolder& model, const dataset::PromptFile& prompts) {
  const RunConfig& config = request.config;
  const dataset::RunPaths paths{config.output.dir};
  std::filesystem::path folder = std::filesystem::absolute(paths.dir);
  while (!std::filesystem::exists(folder)) folder = folder.parent_path();  // the run makes what is missing
  if (!std::filesystem::is_directory(folder))
    user_error("output.dir: {}: {} is not a folder; choose another one", paths.dir, folder.string());
  if (access(folder.c_str(), W_OK | X_OK) != 0)
    user_error("output.dir: {}: {} cannot be written to: {}", paths.dir, folder.string(), std::strerror(errno));
  if (const auto found = find_run(request)) {
    check_same_run(paths, *found, config, fingerprints_of(config, model, prompts));
    fmt::print("run      {}: is there already, after attempt {}; the job goes on with it\n", paths.dir,
               found->attempts);
  } else {
    plan_new_run(paths, config, prompts, {});
  }
}

}  // namespace

ExitCode validate(const ValidateRequest& request) {
  const RunConfig& config = request.run.config;
  if (request.ranks < 1) user_error("--ranks {}: must be 1 or more", request.ranks);
  const ModelFolder model = open_model(config.model);
  model::check_model_files(config.model.path, model.config, config.model.load_format);
  const auto counts = model::count_parameters(model.config);
  fmt::print("model    {}: {}, {} parameters, {} active a token, context {}\n", config.model.path,
             model.config.model_type, thousands(counts.total), thousands(counts.active), model.max_model_len);
  const dataset::PromptFile prompts = open_prompts(config);
  check_model_can(model, config, prompts);
  for (const auto& warning : warnings_of(model, config, prompts.form())) fmt::print("warning: {}\n", warning);
  check_run_dir(request.run, model, prompts);
  const PromptSurvey s = survey(prompts, config.sampling, model.tokenizer_or_null(), prepare_rules(config, model));
  tell_prompts(prompts, s);

  // Domains are whole ranges of ranks; the smallest holds most experts a rank.
  const int ranks_per_node =
      static_cast<int>(request.ranks_per_node.value_or(static_cast<std::uint32_t>(request.ranks)));
  std::vector<int> domain_sizes(static_cast<std::size_t>(request.ranks));
  for (int r = 0; r < request.ranks; ++r)
    ++domain_sizes[static_cast<std::size_t>(
        domain_of(config.parallel.expert_domain, r, request.ranks, r / std::max(ranks_per_node, 1)))];
  std::erase(domain_sizes, 0);
  tell_memory(request, model, s, *std::min_element(domain_sizes.begin(), domain_sizes.end()));

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
  fmt::print("the job can work\n");
  return ExitCode::Done;
}

}  // namespace moemill::mill
