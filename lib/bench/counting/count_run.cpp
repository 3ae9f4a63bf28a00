#include "bench/counting/count_run.hpp"

#include <algorithm>

#include "dataset/run_dir/run_dir.hpp"
#include "schedule/pages.hpp"

namespace moemill::bench {

CountedRun count_run(const mill::WorkLengths& work, const RunLimits& limits) {
  CountedRun out;
  for (const std::uint32_t answer : work.answers) out.least_steps = std::max<std::uint64_t>(out.least_steps, answer);
  mill::DryRunSettings settings;
  settings.ranks = limits.ranks;
  settings.shard_prompts = dataset::auto_shard_prompts(work.prompts.size());
  settings.scheduler = {limits.sequences, limits.batched_tokens,
                        limits.sequences * schedule::pages_for(work.longest_sequence())};
  const auto watch = [&](const mill::DryStep& step) {
    double all = 0, most = 0;
    bool is_full = true;
    for (const calibration::StepFacts& rank : step.ranks) {
      const double rows = rank.prompt.rows + rank.generated.rows;
      all += rows, most = std::max(most, rows);
      is_full = is_full && rows > 0;
    }
    out.rows_mean += all / static_cast<double>(step.ranks.size()), out.rows_max += most;
    out.tail_steps = is_full ? 0 : out.tail_steps + 1;
    return 1.0;
  };
  const mill::DryRunCounts counts = mill::dry_run(work, settings, watch);
  std::uint64_t alone = 0;  // prompt rows if samples shared nothing
  for (const mill::PromptLengths& prompt : work.prompts)
    if (prompt.max_tokens > 0) alone += std::uint64_t{prompt.samples} * prompt.tokens;
  out.shared_rows = alone - counts.prompt_rows, out.answers = work.answers.size();
  out.steps = counts.steps, out.prompt_rows = counts.prompt_rows, out.generated_tokens = counts.generated_tokens;
  return out;
}

}  // namespace moemill::bench
