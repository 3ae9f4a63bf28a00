#include "mill/small_run.hpp"

#include <algorithm>
#include <iterator>

#include "base/error.hpp"

namespace moemill::mill {

GeneratedRows generate_alone(const RunConfig& config, const ModelFolder& model, const std::vector<SmallJob>& jobs) {
  const Comm alone = Comm::alone();
  RunConfig settings = config;
  settings.parallel.expert_domain = "world";
  settings.parallel.ranks_per_node.reset();
  settings.parallel.kv_cache_tokens.reset();
  const Ranks ranks = arrange_ranks(alone, settings.parallel);
  JobEstimate job;
  for (const auto& one : jobs) {
    job.sequences += one.samples.size();
    job.longest_tokens =
        std::max<std::uint64_t>(job.longest_tokens, one.prompt.tokens.size() + one.prompt.sampling.max_tokens);
  }
  job.likely_tokens = job.longest_tokens;
  Engine engine(settings, model, ranks, job);
  Generator& generator = engine.generator();
  for (const auto& one : jobs) generator.add(one.prompt, one.samples, {}, Generator::Score::Wanted);
  GeneratedRows rows;
  for (;;) {
    const schedule::Facts facts = generator.facts();
    const schedule::Decision decision = schedule::decide(std::span(&facts, 1), schedule::ClaimState());
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
