#include "generate/small_run.hpp"

#include <algorithm>
#include <iterator>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "system/comm/agree.hpp"

namespace moemill::mill {

namespace {

// Covers the jobs of all ranks, so that all ranks plan alike.
JobEstimate estimate(std::span<const SmallJob> jobs) {
  JobEstimate job;
  for (const auto& one : jobs) {
    job.sequences += one.samples.size();
    job.longest_tokens =
        std::max<std::uint64_t>(job.longest_tokens, one.prompt.tokens.size() + one.prompt.sampling.max_tokens);
  }
  job.likely_tokens = job.longest_tokens;
  return job;
}

schedule::Decision agree_on_step(const Comm& world, std::span<const WorldRank> ranks, const Generator& generator) {
  const std::vector<schedule::Facts> facts = gather(world, generator.facts());
  return schedule::decide_step(schedule::decide_round(facts, schedule::LotList()), facts, ranks);
}

}  // namespace

GeneratedRows generate_rows(const Comm& world, const RunConfig& config, const ModelFolder& model,
                            std::span<const SmallJob> jobs, const std::function<void(const Engine&)>& loaded) {
  RunConfig settings = config;
  settings.parallel.expert_domain = "world";
  settings.parallel.ranks_per_node.reset();
  settings.parallel.redundant_experts = 0;
  settings.parallel.kv_cache_tokens.reset();
  const Ranks ranks = arrange_ranks(world, settings.parallel);
  Engine engine(settings, model, ranks, estimate(jobs));
  run_on_all_ranks(world, [&] { loaded(engine); });
  Generator& generator = engine.generator();
  for (const auto& one : share_of(world, jobs)) generator.add(one.prompt, one.samples, {}, Generator::Score::Wanted);
  std::vector<WorldRank> all_ranks;
  for (int r = 0; r < world.size(); ++r) all_ranks.push_back({r});
  GeneratedRows rows;
  for (;;) {
    const schedule::Decision decision = agree_on_step(world, all_ranks, generator);
    if (!schedule::takes_a_step(decision.phase)) break;
    generator.step(decision);
    GeneratedRows ended = generator.take_finished();
    std::move(ended.completions.begin(), ended.completions.end(), std::back_inserter(rows.completions));
    std::move(ended.scores.begin(), ended.scores.end(), std::back_inserter(rows.scores));
  }
  expect(generator.idle(), "all rows are made when no step is left");
  return rows;
}

}  // namespace moemill::mill
