#include "job/estimate.hpp"

#include <algorithm>
#include <array>

#include "base/numbers/rounding.hpp"
#include "dataset/journal/index.hpp"
#include "system/comm/agree.hpp"

namespace moemill::mill {
namespace {

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

void measure(ShardPart& part, const dataset::PromptFile& prompts, const dataset::JournalIndex& journal,
             const SamplingParams& defaults, std::uint32_t max_model_len, Found& found) {
  for (const auto& prompt : prompts.read(part.range.first, part.range.count, defaults)) {
    const auto samples = journal.missing_samples(prompt.index, prompt.sampling.n).size();
    if (samples == 0) continue;
    const bool text = prompt.token_ids.empty();
    // A token has about four bytes, rarely fewer than two. A text never has more than three tokens per byte (NFC may
    // lengthen it) and a few special tokens.
    const std::uint64_t tokens = text ? prompt.text.size() / 4 + 1 : prompt.token_ids.size();
    const bool begun =
        samples < prompt.sampling.n || journal.has_score(prompt.index) || !journal.partials_of(prompt.index).empty();
    part.prompts.push_back(
        {prompt.index, tokens, static_cast<std::uint32_t>(samples), prompt.sampling.max_tokens, begun});
    found.work += part.prompts.back().work();
    auto longest = [&](std::uint64_t length) {
      return std::min<std::uint64_t>(length + prompt.sampling.max_tokens, max_model_len);
    };
    found.longest_tokens = std::max(found.longest_tokens, longest(text ? 3 * prompt.text.size() + 16 : tokens));
    found.likely_tokens = std::max(found.likely_tokens, longest(text ? prompt.text.size() / 2 + 16 : tokens));
  }
}

// The lots of all ranks, in the order of the ranks. They travel some at a time, because one rank may have many.
std::vector<schedule::Lot> gather_lots(const Comm& world, const std::vector<schedule::Lot>& mine) {
  constexpr std::size_t lots_at_a_time = 64;
  using Block = std::array<schedule::Lot, lots_at_a_time>;
  const auto counts = gather(world, mine.size());
  const std::size_t most = *std::max_element(counts.begin(), counts.end());
  std::vector<std::vector<schedule::Lot>> by_rank(counts.size());
  for (std::size_t first = 0; first < most; first += lots_at_a_time) {
    Block block{};
    for (std::size_t i = 0; i < lots_at_a_time && first + i < mine.size(); ++i) block[i] = mine[first + i];
    const std::vector<Block> blocks = gather(world, block);
    for (std::size_t r = 0; r < counts.size(); ++r)
      for (std::size_t i = 0; i < lots_at_a_time && first + i < counts[r]; ++i) by_rank[r].push_back(blocks[r][i]);
  }
  std::vector<schedule::Lot> all;
  for (const auto& lots : by_rank) all.insert(all.end(), lots.begin(), lots.end());
  return all;
}

}  // namespace

JobEstimate estimate_job(const Comm& world, const dataset::PromptFile& prompts, const dataset::RunPaths& paths,
                         const dataset::RunManifest& manifest, std::span<const ShardId> unfinished,
                         const SamplingParams& defaults, std::uint32_t max_model_len) {
  std::vector<ShardPart> parts = share_of_prompts(world, manifest, unfinished);
  Found mine;
  run_on_all_ranks(world, [&] {
    for (ShardPart& part : parts)
      measure(part, prompts, dataset::index_journal(paths.journal(part.shard), manifest.run_id, part.shard), defaults,
              max_model_len, mine);
  });
  JobEstimate job;
  schedule::WorkPlan plan{.ranks = static_cast<std::uint32_t>(world.size())};
  const std::vector<Found> all = gather(world, mine);
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (r < static_cast<std::size_t>(world.rank())) plan.before += all[r].work;
    plan.work += all[r].work;
    job.longest_tokens = std::max(job.longest_tokens, all[r].longest_tokens);
    job.likely_tokens = std::max(job.likely_tokens, all[r].likely_tokens);
  }
  std::vector<schedule::Lot> lots;
  for (const ShardPart& part : parts) {
    const auto cut = schedule::cut_lots(part.shard, part.prompts, plan);
    lots.insert(lots.end(), cut.begin(), cut.end());
    for (const auto& prompt : part.prompts) plan.before += prompt.work();
  }
  job.lots = gather_lots(world, lots);
  for (const auto& lot : job.lots) job.sequences += lot.sequences;
  job.sequences = std::max<std::uint64_t>(job.sequences, 1);  // a run may lack nothing but its files
  return job;
}

}  // namespace moemill::mill
