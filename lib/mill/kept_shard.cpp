#include "mill/kept_shard.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"

namespace moemill::mill {
namespace {

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

}  // namespace

KeptShard::KeptShard(ShardId shard, const ShardInputs& inputs, std::uint64_t missing)
    : id_(shard),
      range_(inputs.manifest.range_of(shard)),
      path_(inputs.paths.journal(shard)),
      index_(dataset::index_journal(path_, inputs.manifest.run_id, shard)),
      journal_(path_, inputs.manifest.run_id, shard, index_.whole_bytes) {
  if (index_.damage) log::warning("{}; what lies behind it is generated again", *index_.damage);
  for (std::uint32_t n : inputs.prompts.read_sample_counts(range_.first, range_.count, inputs.defaults)) {
    prompts_.push_back({n, n, 0});
    missing_ += n;
  }
  Totals counted_before;  // its rows count among those that the attempt begins with
  for (const auto& row : index_.rows) count(row.prompt_index, row.status, counted_before);
  if (missing_ != missing)
    system_error(
        "{}: lacks {} rows, and lacked {} when this job began: a process of the job before still works here; run the "
        "same command again",
        path_, missing_, missing);
}

// One row of this shard has ended, in this attempt or an earlier one.
void KeptShard::count(std::uint64_t prompt_index, dataset::RowStatus status, Totals& totals) {
  Prompt& prompt = prompts_.at(prompt_index - range_.first);
  expect(prompt.missing > 0 && missing_ > 0, "a row of a shard ends once");
  --missing_;
  if (status == dataset::RowStatus::Failed) ++prompt.failed;
  if (--prompt.missing == 0) ++(prompt.failed > 0 ? totals.prompts_failed : totals.prompts_done);
}

void KeptShard::take(const dataset::Completion& row, Totals& totals) {
  journal_.append(row);
  count(row.prompt_index, row.status, totals);
  ++totals.completions;
  if (row.status == dataset::RowStatus::Failed) ++totals.rows_failed;
}

BegunLot KeptShard::begun(const schedule::Lot& lot, const schedule::PrefixPlan& prefixes) const {
  BegunLot left{lot.first_prompt, lot.first_sample, {}};
  for (std::uint32_t p = 0; p < lot.prompts; ++p) {
    const std::uint64_t number = lot.is_placed() ? prefixes.of(lot)[p].prompt : lot.first_prompt + p;
    if (!lot.is_placed() && prefixes.has(number)) continue;
    BegunPrompt prompt = begun(lot, number);
    if (!prompt.missing.empty()) left.prompts.push_back(std::move(prompt));
  }
  std::ranges::sort(left.prompts, {}, &BegunPrompt::prompt_index);  // places of several branches do not ascend
  return left;
}

BegunPrompt KeptShard::begun(const schedule::Lot& lot, std::uint64_t prompt_index) const {
  BegunPrompt left;
  left.prompt_index = prompt_index;
  left.missing = index_.missing_samples(prompt_index, prompts_.at(prompt_index - range_.first).samples);
  if (index_.has_score(prompt_index)) left.score = Generator::Score::Known;
  std::span<const std::uint32_t> samples = left.missing;
  if (lot.prompts == 1) samples = samples.subspan(lot.first_sample, lot.sequences);
  for (const auto& partial : index_.partials_of(prompt_index)) {
    if (!std::binary_search(samples.begin(), samples.end(), partial.sample_index)) continue;
    left.partials.push_back(std::get<dataset::PartialSample>(dataset::read_record(path_, partial.place)));
  }
  return left;
}

void KeptShard::finish(const ShardInputs& inputs, const dataset::OutputLayout& layout,
                       const dataset::RootAttributes& attributes) {
  expect(complete(), "only a complete shard is written");
  journal_.close();
  auto contents = dataset::read_journal(path_, inputs.manifest.run_id, id_);
  const std::uint64_t rows = std::accumulate(prompts_.begin(), prompts_.end(), std::uint64_t{0},
                                             [](std::uint64_t sum, const Prompt& p) { return sum + p.samples; });
  if (contents.completions.size() != rows)
    system_error(
        "{}: {} of the shard's {} rows can be read back, although all were written: the file system has lost some; run "
        "the same command again, it makes them again",
        path_, contents.completions.size(), rows);
  dataset::ShardRows all{range_, std::move(contents.completions), std::move(contents.scores), {}};
  if (layout.prompt_token_ids) all.prompt_tokens = prompt_tokens(range_, inputs);
  dataset::write_shard(inputs.paths.shard(id_), std::move(all), inputs.prompts, layout, attributes);
  files::remove(path_);
}

}  // namespace moemill::mill
