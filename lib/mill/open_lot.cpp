#include "mill/open_lot.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/numbers/random.hpp"

namespace moemill::mill {
namespace {

dataset::Completion faulty_row(const PreparedPrompt& prompt, std::uint32_t sample) {
  auto row = dataset::failed_row(prompt.index, sample, prompt.id, *prompt.fault);
  row.num_prompt_tokens = prompt.full_length;
  row.seed = sample_seed(prompt.sampling.seed, stable_hash64(dataset::to_text(prompt.id)), sample);
  return row;
}

// What is missing of a prompt; without samples if nothing is.
BegunPrompt state_of(const dataset::Prompt& prompt, const BegunLot* begun) {
  BegunPrompt state;
  state.prompt_index = prompt.index;
  if (!begun) {
    state.missing.resize(prompt.sampling.n);
    std::iota(state.missing.begin(), state.missing.end(), 0u);
    return state;
  }
  const auto found = std::ranges::lower_bound(begun->prompts, prompt.index, {}, &BegunPrompt::prompt_index);
  return found != begun->prompts.end() && found->prompt_index == prompt.index ? *found : state;
}

// Leaves the samples that belong to this lot if it is one of several of a prompt. The first of them makes the score.
void keep_samples_of(const schedule::Lot& lot, BegunPrompt& state) {
  if (lot.prompts > 1) return;
  expect(state.missing.size() >= lot.first_sample + lot.sequences, "lots: the samples of a lot are missing");
  state.missing.erase(state.missing.begin(), state.missing.begin() + lot.first_sample);
  state.missing.resize(lot.sequences);
  if (lot.first_sample > 0) state.score = Generator::Score::Known;
}

void check_fits(const PreparedPrompt& prompt, const ShardInputs& inputs, const Generator& generator) {
  if (generator.fits(prompt)) return;
  user_error(
      "{}: row {} needs {} prompt and {} new tokens at once, more than this rank's KV cache holds; raise "
      "parallel.kv_cache_tokens or leave it on auto, start fewer ranks per machine or allow the job more memory, "
      "and rerun the same command: it resumes, and finished rows are kept. A lower max_tokens or "
      "model.max_model_len would be a different run.",
      inputs.prompts.path(), prompt.index, prompt.tokens.size(), prompt.sampling.max_tokens);
}

}  // namespace

void BegunLot::add(BegunLot part) {
  parts = part.parts;
  for (BegunPrompt& prompt : part.prompts) {
    if (prompts.empty() || prompts.back().prompt_index != prompt.prompt_index) {
      prompts.push_back(std::move(prompt));
      continue;
    }
    auto& partials = prompts.back().partials;
    partials.insert(partials.end(), std::make_move_iterator(prompt.partials.begin()),
                    std::make_move_iterator(prompt.partials.end()));
  }
}

std::vector<dataset::Completion> open_lot(const schedule::Lot& lot, const BegunLot* begun, const ShardInputs& inputs,
                                          Generator& generator) {
  std::vector<dataset::Completion> failed;
  for (const auto& prompt : inputs.prompts.read(lot.first_prompt, lot.prompts, inputs.defaults)) {
    BegunPrompt state = state_of(prompt, begun);
    keep_samples_of(lot, state);
    if (state.missing.empty()) continue;
    const PreparedPrompt prepared = prepare(prompt, inputs.tokenizer, inputs.rules);
    if (prepared.fault) {
      for (std::uint32_t sample : state.missing) failed.push_back(faulty_row(prepared, sample));
      continue;
    }
    check_fits(prepared, inputs, generator);
    generator.add(prepared, state.missing, std::move(state.partials), state.score);
  }
  return failed;
}

}  // namespace moemill::mill
