#include "mill/open_shard.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/log.hpp"
#include "base/numbers/random.hpp"

namespace moemill::mill {
namespace {

// The rows and partial samples of one prompt that earlier attempts left in the journal.
struct EarlierRows {
  std::set<std::uint32_t> samples;
  Generator::Score score = Generator::Score::Wanted;
  std::vector<dataset::PartialSample> partials;
};

std::unordered_map<std::uint64_t, EarlierRows> earlier_rows(dataset::JournalContents& contents) {
  std::unordered_map<std::uint64_t, EarlierRows> found;
  for (const auto& row : contents.completions) found[row.prompt_index].samples.insert(row.sample_index);
  for (const auto& score : contents.scores) found[score.prompt_index].score = Generator::Score::Known;
  for (auto& partial : contents.partials) found[partial.prompt_index].partials.push_back(std::move(partial));
  return found;
}

// The tokens that the model read of each prompt, computed again, so that no record of them is needed for rows of
// earlier attempts.
std::vector<std::vector<TokenId>> prompt_tokens(dataset::ShardRange range, const ShardInputs& inputs) {
  std::vector<std::vector<TokenId>> tokens;
  for (const auto& prompt : inputs.prompts.read(range.first, range.count, inputs.defaults)) {
    PreparedPrompt prepared = prepare(prompt, inputs.tokenizer, inputs.rules);
    tokens.push_back(prepared.fault ? std::vector<TokenId>() : std::move(prepared.tokens));
  }
  return tokens;
}

dataset::Completion faulty_row(const PreparedPrompt& prompt, std::uint32_t sample) {
  auto row = dataset::failed_row(prompt.index, sample, prompt.id, *prompt.fault);
  row.num_prompt_tokens = prompt.full_length;
  row.seed = sample_seed(prompt.sampling.seed, stable_hash64(dataset::to_text(prompt.id)), sample);
  return row;
}

}  // namespace

OpenShard::OpenShard(ShardId shard, const ShardInputs& inputs, Generator& generator, Totals& totals)
    : OpenShard(shard, inputs, generator, totals,
                dataset::read_journal(inputs.paths.journal(shard), inputs.manifest.run_id, shard)) {}

OpenShard::OpenShard(ShardId shard, const ShardInputs& inputs, Generator& generator, Totals& totals,
                     dataset::JournalContents contents)
    : id_(shard),
      range_(inputs.manifest.range_of(shard)),
      journal_(inputs.paths.journal(shard), inputs.manifest.run_id, shard, contents.whole_bytes),
      remaining_(range_.count) {
  if (contents.damage) log::warning("{}; what lies behind it is generated again", *contents.damage);
  rows_.range = range_;
  auto earlier = earlier_rows(contents);
  const std::vector<dataset::Prompt> prompts = inputs.prompts.read(range_.first, range_.count, inputs.defaults);
  for (const auto& prompt : prompts) {
    remaining_[prompt.index - range_.first].samples = prompt.sampling.n;
    missing_ += prompt.sampling.n;
  }
  Totals counted_before;  // its rows count among those that the attempt begins with
  for (auto& row : contents.completions) {
    count(row, counted_before);
    rows_.completions.push_back(std::move(row));
  }
  rows_.scores = std::move(contents.scores);
  for (const auto& prompt : prompts) {
    EarlierRows& before = earlier[prompt.index];
    std::vector<std::uint32_t> missing;
    for (std::uint32_t s = 0; s < prompt.sampling.n; ++s)
      if (!before.samples.contains(s)) missing.push_back(s);
    if (missing.empty()) continue;
    PreparedPrompt prepared = prepare(prompt, inputs.tokenizer, inputs.rules);
    if (prepared.fault) {
      for (std::uint32_t s : missing) take(faulty_row(prepared, s), totals);
      continue;
    }
    if (!generator.fits(prepared))
      user_error(
          "{}: row {} needs {} prompt and {} new tokens at once, more than this rank's KV cache holds; raise "
          "parallel.kv_cache_tokens or leave it on auto, start fewer ranks per machine or allow the job more memory, "
          "and rerun the same command: it resumes, and finished rows are kept. A lower max_tokens or "
          "model.max_model_len would be a different run.",
          inputs.prompts.path(), prompt.index, prepared.tokens.size(), prepared.sampling.max_tokens);
    generator.add(prepared, missing, std::move(before.partials), before.score);
  }
}

// One row of this shard has ended, in this attempt or an earlier one.
void OpenShard::count(const dataset::Completion& row, Totals& totals) {
  Remaining& left = remaining_.at(row.prompt_index - range_.first);
  expect(left.samples > 0 && missing_ > 0, "a row of a shard ends once");
  --missing_;
  if (row.status == dataset::RowStatus::Failed) ++left.failed;
  if (--left.samples == 0) ++(left.failed > 0 ? totals.prompts_failed : totals.prompts_done);
}

void OpenShard::take(dataset::Completion row, Totals& totals) {
  journal_.append(row);
  count(row, totals);
  ++totals.completions;
  if (row.status == dataset::RowStatus::Failed) ++totals.rows_failed;
  rows_.completions.push_back(std::move(row));
}

void OpenShard::take(dataset::PromptScore score) {
  journal_.append(score);
  rows_.scores.push_back(std::move(score));
}

void OpenShard::finish(const ShardInputs& inputs, const dataset::OutputLayout& layout,
                       const dataset::RootAttributes& attributes) {
  expect(complete(), "only a complete shard is written");
  journal_.close();
  if (layout.prompt_token_ids) rows_.prompt_tokens = prompt_tokens(range_, inputs);
  dataset::write_shard(inputs.paths.shard(id_), std::move(rows_), inputs.prompts, layout, attributes);
  files::remove(inputs.paths.journal(id_));
}

}  // namespace moemill::mill
