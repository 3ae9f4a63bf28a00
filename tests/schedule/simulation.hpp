// A job on simulated ranks with real lots, schedulers and decisions, a fake model, and rows that take some time to the
// keeper of their shard. Expert domains have steps of different length and hear of rounds late. The model's cache is
// simulated page by page with the tokens themselves, in both groups of layers, and the next token is a hash of what a
// row can read there: a wrong page, copy, position or order, or a page freed too soon, gives different tokens.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/numbers/random.hpp"
#include "schedule/facts.hpp"
#include "schedule/scheduler.hpp"

namespace moemill::schedule::test {

// Numbers that follow from seed and stream alone.
struct Chance {
  std::uint64_t seed;
  std::uint32_t stream = 1;
  std::uint64_t counter = 0;
  std::uint32_t from(std::uint32_t low, std::uint32_t high) {
    return low + philox(seed, counter++, stream)[0] % (high - low + 1);
  }
};

struct SimulationSettings {
  std::uint32_t ranks = 1;
  std::uint32_t prompts_a_shard = 4;
  std::uint32_t letter_steps = 0;  // how long a row is on its way to the keeper of its shard, at most
  SchedulerSettings scheduler{8, 64, 64, 4096};
  std::int64_t drain_at_step = -1;    // the step at which one rank asks for a drain
  std::uint32_t ranks_of_domain = 0;  // 0: all ranks; the last domain may have fewer
  std::uint32_t steps_ahead = 0;      // for which ranks ask for work
  bool by_prefix = false;             // prompts that begin alike are dealt together
  std::uint32_t longest_step = 1;     // of several domains: a step takes up to so many units of time
};

using SampleKey = std::pair<std::uint64_t, std::uint32_t>;  // prompt, sample

struct Completion {
  std::vector<TokenId> tokens;
  FinishReason finish = FinishReason::None;
  friend bool operator==(const Completion&, const Completion&) = default;
};

struct Outcome {
  std::map<SampleKey, Completion> completions;
  std::map<std::uint64_t, std::vector<float>> prompt_scores;  // by prompt: a value for each token except the first
  std::map<SampleKey, std::vector<TokenId>> partials;         // saved by a drain
  Phase end = Phase::Failed;
  std::uint64_t steps = 0;                  // of one domain; of several, units of time
  std::vector<std::uint64_t> domain_steps;  // [domains] turns with a step
  std::uint64_t rows = 0;                   // sum over all ranks and steps
  std::uint64_t slowest_rows = 0;           // sum over steps of the busiest rank's rows, which lockstep waits for
  std::uint64_t prompt_rows = 0;
  std::uint64_t prompt_rows_again = 0, generated_rows_again = 0;  // of samples that were put back
  std::uint64_t shared_rows = 0;                  // of prompts, not computed because they begin like others
  std::vector<std::vector<std::uint64_t>> dealt;  // [ranks] prompts
  std::uint32_t busy_at_first = 0;                // ranks with rows in the first step
  std::vector<std::uint64_t> last_busy;           // [ranks]: the last step in which the rank had rows
};

// Runs the job until all ranks leave, and CHECKs limits and invariants at every step.
Outcome simulate(const std::vector<PromptWork>& job, const SimulationSettings& settings);

// The same by definition, one sample at a time without a scheduler; `layers` only says which groups a model has.
Outcome by_definition(const std::vector<PromptWork>& job, const SchedulerSettings& layers = {.pages = 1});

struct JobShape {
  std::uint32_t prompts = 20;
  std::uint32_t longest_prompt = 150;
  std::uint32_t longest_completion = 150;
  std::uint32_t most_samples = 4;
  std::uint32_t alike = 0;  // of 10 prompts begin like an earlier one, up to anywhere
};
// Random prompts, samples, limits; some only scored, some with nothing to do, some with prompt scores.
std::vector<PromptWork> random_job(std::uint64_t seed, const JobShape& shape);

}  // namespace moemill::schedule::test
