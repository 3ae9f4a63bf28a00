#include "job/estimate.hpp"

#include <algorithm>
#include <utility>

#include "base/numbers/rounding.hpp"
#include "dataset/journal/index.hpp"
#include "dataset/prompts/read_rows.hpp"
#include "job/gather_lists.hpp"
#include "job/prefix_survey.hpp"
#include "system/comm/agree.hpp"

namespace moemill::mill {
namespace {

// Its tokens as the model will read them; none if it fails.
std::vector<TokenId> tokens_of(const dataset::Prompt& prompt, const PromptSource& source) {
  PreparedPrompt prepared = prepare(prompt, source.tokenizer, source.rules);
  return prepared.fault ? std::vector<TokenId>() : std::move(prepared.tokens);
}

// Some prompts of one shard, and those of them that have samples to generate.
struct ShardPart {
  ShardId shard;
  dataset::ShardRange range;
  std::vector<schedule::PromptSize> prompts;
};

// What one rank has found.
struct Found {
  std::uint64_t work = 0;
  std::uint64_t longest_tokens = 1;
  std::uint64_t likely_tokens = 1;
};

// Rank's share of the prompts of all unfinished shards, which are taken as one list.
std::vector<ShardPart> share_of_prompts(const Comm& world, const dataset::RunManifest& manifest,
                                        std::span<const ShardId> unfinished) {
  std::uint64_t all = 0;
  for (ShardId shard : unfinished) all += manifest.range_of(shard).count;
  const auto ranks = static_cast<std::uint64_t>(world.size()), rank = static_cast<std::uint64_t>(world.rank());
  const std::uint64_t share = divide_up(all, ranks), first = std::min(all, rank * share);
  const std::uint64_t end = std::min(all, first + share);
  std::vector<ShardPart> parts;
  std::uint64_t at = 0;  // prompts before the shard
  for (ShardId shard : unfinished) {
    const dataset::ShardRange range = manifest.range_of(shard);
    const std::uint64_t from = std::max(at, first), to = std::min(at + range.count, end);
    if (from < to) parts.push_back({shard, {range.first + from - at, to - from}, {}});
    at += range.count;
  }
  return parts;
}

// What is known of a prompt's length.
struct Length {
  std::uint64_t tokens = 0, likely = 0, most = 0;
};

Length length_of(const dataset::Prompt& prompt, std::span<const TokenId> tokens) {
  if (!tokens.empty()) return {tokens.size(), tokens.size(), tokens.size()};
  if (!prompt.token_ids.empty()) return {prompt.token_ids.size(), prompt.token_ids.size(), prompt.token_ids.size()};
  // A token has about four bytes, rarely fewer than two. A text never has more than three tokens per byte (NFC may
  // lengthen it) and a few special tokens.
  return {prompt.text.size() / 4 + 1, prompt.text.size() / 2 + 16, 3 * prompt.text.size() + 16};
}

// Looks at the prompts of a part. With a survey of prefixes they are tokenised, and their heads are added to `heads`.
void measure(ShardPart& part, const PromptSource& source, const dataset::JournalIndex& journal, Found& found,
             std::vector<std::uint64_t>& heads) {
  for (const auto& prompt : source.prompts.read(part.range.first, part.range.count, source.defaults)) {
    const auto samples = journal.missing_samples(prompt.index, prompt.sampling.n).size();
    if (samples == 0) continue;
    std::vector<TokenId> read;
    if (source.shares_prefixes) read = tokens_of(prompt, source);
    const Length length = length_of(prompt, read);
    const bool begun =
        samples < prompt.sampling.n || journal.has_score(prompt.index) || !journal.partials_of(prompt.index).empty();
    part.prompts.push_back(
        {prompt.index, length.tokens, static_cast<std::uint32_t>(samples), prompt.sampling.max_tokens, begun});
    found.work += part.prompts.back().work();
    auto longest = [&](std::uint64_t tokens) {
      return std::min<std::uint64_t>(tokens + prompt.sampling.max_tokens, source.rules.max_model_len);
    };
    found.longest_tokens = std::max(found.longest_tokens, longest(length.most));
    found.likely_tokens = std::max(found.likely_tokens, longest(length.likely));
    if (source.shares_prefixes) heads.push_back(hash_of_head(read));
  }
}

std::vector<SurveyedPrompt> with_repeated_heads(const Comm& world, std::span<const ShardPart> parts,
                                                std::span<const std::uint64_t> heads) {
  const std::vector<bool> repeated = repeated_heads(world, heads);
  std::vector<SurveyedPrompt> all;
  std::size_t p = 0;
  for (const ShardPart& part : parts)
    for (const schedule::PromptSize& size : part.prompts) {
      if (repeated[p]) all.push_back({size, part.shard, heads[p]});
      ++p;
    }
  return all;
}

TokensOf reader_of(const PromptSource& source) {
  return [&](std::span<const SurveyedPrompt> wanted) {
    std::vector<std::uint64_t> rows;
    for (const SurveyedPrompt& one : wanted) rows.push_back(one.size.prompt);
    std::vector<std::vector<TokenId>> tokens;
    for (const auto& prompt : dataset::read_rows(source.prompts, rows, source.defaults))
      tokens.push_back(tokens_of(prompt, source));
    return tokens;
  };
}

// Sums and maxima over all ranks go to `job` and `plan`, with what is before this rank's share.
void agree_on_work(const Comm& world, const Found& mine, JobEstimate& job, schedule::WorkPlan& plan) {
  const std::vector<Found> all = gather(world, mine);
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (r < static_cast<std::size_t>(world.rank())) plan.before += all[r].work;
    plan.work += all[r].work;
    job.longest_tokens = std::max(job.longest_tokens, all[r].longest_tokens);
    job.likely_tokens = std::max(job.likely_tokens, all[r].likely_tokens);
  }
}

// Those of this rank's prompts that are dealt in the order of the file.
std::vector<schedule::Lot> lots_in_order(std::span<ShardPart> parts, const schedule::PrefixPlan& prefixes,
                                         schedule::WorkPlan plan) {
  std::vector<schedule::Lot> lots;
  for (ShardPart& part : parts) {
    for (auto& prompt : part.prompts) prompt.placed = prefixes.has(prompt.prompt);
    const auto cut = schedule::cut_lots(part.shard, part.prompts, plan);
    lots.insert(lots.end(), cut.begin(), cut.end());
    for (const auto& prompt : part.prompts) plan.before += prompt.work();
  }
  return lots;
}

}  // namespace

JobEstimate estimate_job(const Comm& world, const PromptSource& source, const dataset::RunPaths& paths,
                         const dataset::RunManifest& manifest, std::span<const ShardId> unfinished) {
  std::vector<ShardPart> parts = share_of_prompts(world, manifest, unfinished);
  Found mine;
  std::vector<std::uint64_t> heads;  // of all prompts of the parts
  run_on_all_ranks(world, [&] {
    for (ShardPart& part : parts)
      measure(part, source, dataset::index_journal(paths.journal(part.shard), manifest.run_id, part.shard), mine,
              heads);
  });
  JobEstimate job;
  schedule::WorkPlan plan{.ranks = static_cast<std::uint32_t>(world.size())};
  agree_on_work(world, mine, job, plan);
  std::vector<schedule::Lot> lots;
  if (source.shares_prefixes) {
    PrefixSurvey survey = survey_prefixes(world, with_repeated_heads(world, parts, heads), reader_of(source));
    for (const auto& place : survey.places) plan.work -= std::min<std::uint64_t>(place.shared_tokens, plan.work);
    lots = schedule::cut_branches(survey.mine, plan, survey.first_mine);
    job.prefixes = schedule::PrefixPlan(std::move(survey.places), source.prompts.size());
  }
  const auto in_order = lots_in_order(parts, job.prefixes, plan);
  lots.insert(lots.end(), in_order.begin(), in_order.end());
  job.lots = gather_lists(world, lots);
  std::ranges::stable_sort(job.lots, {}, &schedule::Lot::order);
  for (const auto& lot : job.lots) job.sequences += lot.sequences;
  job.sequences = std::max<std::uint64_t>(job.sequences, 1);  // a run may lack nothing but its files
  return job;
}

}  // namespace moemill::mill
