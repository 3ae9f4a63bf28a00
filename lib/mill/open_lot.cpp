#include "mill/open_lot.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/numbers/random.hpp"
#include "dataset/prompts/read_rows.hpp"

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

namespace {

struct PromptOfLot {
  std::uint64_t prompt = 0;
  std::uint32_t shared_tokens = 0;
};

// In the order of the file.
std::vector<PromptOfLot> prompts_of(const schedule::Lot& lot, const schedule::PrefixPlan& prefixes) {
  std::vector<PromptOfLot> all;
  if (lot.is_placed()) {
    for (const auto& place : prefixes.of(lot)) all.push_back({place.prompt, place.shared_tokens});
    std::ranges::sort(all, {}, &PromptOfLot::prompt);
    return all;
  }
  for (std::uint64_t p = lot.first_prompt; p < lot.first_prompt + lot.prompts; ++p)
    if (!prefixes.has(p)) all.push_back({p, 0});
  return all;
}

}  // namespace

OpenedLot open_lot(const schedule::Lot& lot, const BegunLot* begun, const ShardInputs& inputs, Generator& generator) {
  OpenedLot opened;
  const std::vector<PromptOfLot> wanted = prompts_of(lot, inputs.prefixes);
  std::vector<std::uint64_t> rows;
  for (const PromptOfLot& one : wanted) rows.push_back(one.prompt);
  const std::uint64_t last = lot.is_placed() ? inputs.prefixes.of(lot).back().prompt : 0;
  auto shared = wanted.begin();
  std::uint64_t sequences = 0;
  for (const auto& prompt : dataset::read_rows(inputs.prompts, rows, inputs.defaults)) {
    // Counted once where a prompt's samples are cut into several lots.
    const std::uint32_t shared_tokens = lot.first_sample == 0 ? shared->shared_tokens : 0;
    ++shared;
    BegunPrompt state = state_of(prompt, begun);
    keep_samples_of(lot, state);
    if (state.missing.empty()) continue;
    sequences += state.missing.size();
    PreparedPrompt prepared = prepare(prompt, inputs.tokenizer, inputs.rules);
    if (prepared.fault) {
      for (std::uint32_t sample : state.missing) opened.failed.push_back(faulty_row(prepared, sample));
      continue;
    }
    check_fits(prepared, inputs, generator);
    generator.add(prepared, state.missing, std::move(state.partials), state.score, shared_tokens);
    if (lot.is_placed() && prompt.index == last) opened.last_tokens = std::move(prepared.tokens);
  }
  expect(sequences == lot.sequences, "lots: all samples of a lot are opened");
  return opened;
}

}  // namespace moemill::mill
