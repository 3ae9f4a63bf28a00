#include "job/estimate.hpp"

#include <algorithm>
#include <array>

#include "base/numbers/rounding.hpp"
#include "system/comm/agree.hpp"

namespace moemill::mill {
namespace {

// [sequences, prompt tokens, work, longest possible tokens, longest likely tokens]
using ShardSize = std::array<std::uint64_t, 5>;

ShardSize size_of(const dataset::PromptFile& prompts, dataset::ShardRange range, const SamplingParams& defaults,
                  std::uint32_t max_model_len) {
  ShardSize size{0, 0, 0, 1, 1};
  for (const auto& prompt : prompts.read(range.first, range.count, defaults)) {
    const bool text = prompt.token_ids.empty();
    // A token has about four bytes, rarely fewer than two. A text never has more than three tokens per byte (NFC may
    // lengthen it) and a few special tokens.
    const std::uint64_t tokens = text ? prompt.text.size() / 4 + 1 : prompt.token_ids.size();
    size[0] += prompt.sampling.n;
    size[1] += tokens;
    size[2] += tokens + std::uint64_t{prompt.sampling.n} * prompt.sampling.max_tokens;
    auto longest = [&](std::uint64_t length) {
      return std::min<std::uint64_t>(length + prompt.sampling.max_tokens, max_model_len);
    };
    size[3] = std::max(size[3], longest(text ? 3 * prompt.text.size() + 16 : tokens));
    size[4] = std::max(size[4], longest(text ? prompt.text.size() / 2 + 16 : tokens));
  }
  return size;
}

}  // namespace

JobEstimate estimate_job(const Comm& world, const dataset::PromptFile& prompts, const dataset::RunManifest& manifest,
                         std::span<const ShardId> unfinished, const SamplingParams& defaults,
                         std::uint32_t max_model_len) {
  const auto ranks = static_cast<std::size_t>(world.size()), rank = static_cast<std::size_t>(world.rank());
  const std::size_t share = divide_up(unfinished.size(), ranks);
  std::vector<ShardSize> mine(share, ShardSize{}), all(share * ranks);
  run_on_all_ranks(world, [&] {
    for (std::size_t i = 0; i < share && i * ranks + rank < unfinished.size(); ++i)
      mine[i] = size_of(prompts, manifest.range_of(unfinished[i * ranks + rank]), defaults, max_model_len);
  });
  world.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
  JobEstimate job;
  for (std::size_t s = 0; s < unfinished.size(); ++s) {
    const ShardSize& size = all[s % ranks * share + s / ranks];
    job.shards.push_back({unfinished[s], static_cast<std::uint32_t>(size[0]), size[1], size[2]});
    job.sequences += size[0];
    job.longest_tokens = std::max(job.longest_tokens, size[3]);
    job.likely_tokens = std::max(job.likely_tokens, size[4]);
  }
  return job;
}

}  // namespace moemill::mill
