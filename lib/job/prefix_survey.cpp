#include "job/prefix_survey.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "job/gather_lists.hpp"
#include "system/comm/agree.hpp"

namespace moemill::mill {
namespace {

constexpr std::uint64_t tokens_a_round = std::uint64_t{1} << 20;  // of a rank, read and sent at a time

// Values of each rank for each rank, by the sender. Takes the values that are sent, to free them early.
template <class T>
std::vector<std::vector<T>> all_to_all(const Comm& world, std::vector<std::vector<T>> send) {
  const std::size_t ranks = send.size();
  std::vector<std::uint32_t> counts, all(ranks * ranks), from;
  std::vector<T> out;
  for (auto& values : send) {
    counts.push_back(static_cast<std::uint32_t>(values.size()));
    out.insert(out.end(), values.begin(), values.end());
    std::vector<T>().swap(values);
  }
  world.all_gather(std::as_bytes(std::span(counts)), std::as_writable_bytes(std::span(all)));
  for (std::size_t r = 0; r < ranks; ++r) from.push_back(all[r * ranks + static_cast<std::size_t>(world.rank())]);
  std::vector<T> in(std::accumulate(from.begin(), from.end(), std::size_t{0}));
  world
      .start_all_to_all(reinterpret_cast<const std::byte*>(out.data()), counts, reinterpret_cast<std::byte*>(in.data()),
                        from, sizeof(T), 0)
      .wait();
  std::vector<T>().swap(out);
  std::vector<std::vector<T>> received;
  for (auto next = in.begin(); const std::uint32_t count : from) {
    received.emplace_back(next, next + count);
    next += count;
  }
  return received;
}

std::size_t owner_of(std::uint64_t head, const Comm& world) { return head % static_cast<std::uint64_t>(world.size()); }

// A prompt whose head others have, at the head's owner.
struct Member {
  SurveyedPrompt prompt;
  std::uint32_t tokens = 0;  // those that were sent
  std::uint64_t first_token = 0;
};
struct Members {
  std::vector<Member> prompts;  // in ascending order
  std::vector<TokenId> tokens;  // of all of them

  void add(const std::vector<Member>& from) {
    for (Member member : from) {
      member.first_token = next_token_;
      next_token_ += member.tokens;
      prompts.push_back(member);
    }
  }
  std::vector<std::span<const TokenId>> views() const {
    std::vector<std::span<const TokenId>> all;
    for (const Member& member : prompts) all.push_back(std::span(tokens).subspan(member.first_token, member.tokens));
    return all;
  }

 private:
  std::uint64_t next_token_ = 0;
};

// [ranks] how many tokens of a prompt each owner takes, so that it has memory for all.
std::vector<std::uint64_t> most_of_a_prompt(const Comm& world, std::span<const SurveyedPrompt> mine,
                                            std::uint64_t most_tokens) {
  const auto ranks = static_cast<std::size_t>(world.size());
  std::vector<std::uint64_t> counts(2 * ranks);  // tokens, prompts
  for (const SurveyedPrompt& prompt : mine) {
    const std::size_t owner = owner_of(prompt.head, world);
    counts[owner] += prompt.size.prompt_tokens, ++counts[ranks + owner];
  }
  counts = sum_counts(world, counts);
  std::vector<std::uint64_t> most(ranks, ~std::uint64_t{0});
  for (std::size_t r = 0; r < ranks; ++r)
    if (counts[r] > most_tokens)
      most[r] = std::max<std::uint64_t>(most_tokens / counts[ranks + r], schedule::least_shared_tokens);
  return most;
}

// The first of these prompts, so many that their tokens fit a round; at least one if there is any.
std::size_t prompts_of_round(std::span<const SurveyedPrompt> left) {
  std::uint64_t tokens = 0;
  std::size_t count = 0;
  while (count < left.size() && (count == 0 || tokens + left[count].size.prompt_tokens <= tokens_a_round))
    tokens += left[count++].size.prompt_tokens;
  return count;
}

// Sends the prompts to the owners of their heads, some at a time; all ranks take part in each round.
Members send_to_owners(const Comm& world, std::span<const SurveyedPrompt> mine, const TokensOf& tokens_of,
                       std::uint64_t most_tokens) {
  const auto ranks = static_cast<std::size_t>(world.size());
  const std::vector<std::uint64_t> most = most_of_a_prompt(world, mine, most_tokens);
  Members owned;
  for (std::size_t first = 0;;) {
    const std::size_t count = prompts_of_round(mine.subspan(first));
    const std::vector<std::size_t> counts = gather(world, count);
    if (std::ranges::count(counts, std::size_t{0}) == world.size()) break;
    std::vector<std::vector<Member>> members(ranks);
    std::vector<std::vector<TokenId>> tokens(ranks);
    run_on_all_ranks(world, [&] {
      const auto part = mine.subspan(first, count);
      const auto read = tokens_of(part);
      for (std::size_t p = 0; p < part.size(); ++p) {
        const std::size_t owner = owner_of(part[p].head, world);
        const std::size_t sent = std::min<std::uint64_t>(read[p].size(), most[owner]);
        members[owner].push_back({part[p], static_cast<std::uint32_t>(sent)});
        tokens[owner].insert(tokens[owner].end(), read[p].begin(), read[p].begin() + static_cast<std::ptrdiff_t>(sent));
      }
    });
    first += count;
    for (const auto& from : all_to_all(world, std::move(members))) owned.add(from);
    for (const auto& from : all_to_all(world, std::move(tokens)))
      owned.tokens.insert(owned.tokens.end(), from.begin(), from.end());
  }
  std::ranges::sort(owned.prompts, {}, [](const Member& member) { return member.prompt.size.prompt; });
  return owned;
}

// A branch is some prompts that begin alike, sorted by their tokens. Those that are begun go first, shard by shard and
// in the order of the file: each has to be told by its keeper.
void begun_first(std::span<schedule::BranchPrompt> branch) {
  std::uint32_t since = ~std::uint32_t{0};  // least in common since the last prompt that stays
  std::uint32_t least = since;              // of the whole branch
  for (auto& one : branch) {
    if (one.shared_tokens > 0) least = std::min(least, one.shared_tokens);
    since = std::min(since, one.shared_tokens);
    if (one.size.begun) continue;
    one.shared_tokens = since;
    since = ~std::uint32_t{0};
  }
  const auto rest = std::stable_partition(branch.begin(), branch.end(), [](const auto& one) { return one.size.begun; });
  std::sort(branch.begin(), rest, [](const auto& a, const auto& b) { return a.size.prompt < b.size.prompt; });
  if (rest == branch.begin()) return;
  // What others that are neighbours now have in common is at least what the whole branch has.
  for (auto one = branch.begin(); one != branch.end() && one <= rest; ++one) one->shared_tokens = least;
  branch.front().shared_tokens = 0;
}

// The members as branches.
std::vector<schedule::BranchPrompt> branches_of(const Members& members) {
  const std::vector<std::span<const TokenId>> tokens = members.views();
  const schedule::PrefixOrder order = schedule::order_by_prefix(tokens);
  std::vector<schedule::BranchPrompt> all;
  for (std::size_t place = 0; place < order.prompts.size(); ++place) {
    const SurveyedPrompt& prompt = members.prompts[order.prompts[place]].prompt;
    all.push_back({prompt.size, prompt.shard, order.shared_tokens[place], prompt.size.prompt});
  }
  for (std::size_t first = 0, end = 0; first < all.size(); first = end) {
    for (end = first + 1; end < all.size() && all[end].shared_tokens > 0;) ++end;
    const std::span branch = std::span(all).subspan(first, end - first);
    for (auto& one : branch) one.order = branch.front().size.prompt;  // the lowest
    begun_first(branch);
  }
  return all;
}

}  // namespace

std::uint64_t hash_of_head(std::span<const TokenId> tokens) {
  if (tokens.size() <= schedule::least_shared_tokens) return no_head;
  const auto head = tokens.first(schedule::least_shared_tokens);
  const std::uint64_t hash = stable_hash64({reinterpret_cast<const char*>(head.data()), head.size_bytes()});
  return hash == no_head ? 1 : hash;
}

// The owner of a head counts it.
std::vector<bool> repeated_heads(const Comm& world, std::span<const std::uint64_t> heads) {
  std::vector<std::vector<std::uint64_t>> asked(static_cast<std::size_t>(world.size()));
  for (const std::uint64_t head : heads)
    if (head != no_head) asked[owner_of(head, world)].push_back(head);
  const auto owned = all_to_all(world, std::move(asked));
  std::vector<std::uint64_t> sorted;
  for (const auto& of_rank : owned) sorted.insert(sorted.end(), of_rank.begin(), of_rank.end());
  std::ranges::sort(sorted);
  std::vector<std::vector<std::uint8_t>> answers;
  for (const auto& of_rank : owned) {
    answers.emplace_back();
    for (const std::uint64_t head : of_rank) {
      const auto first = std::ranges::lower_bound(sorted, head);
      answers.back().push_back(first + 1 != sorted.end() && *(first + 1) == head);
    }
  }
  const auto told = all_to_all(world, std::move(answers));
  std::vector<std::size_t> next(told.size());
  std::vector<bool> repeated;
  for (const std::uint64_t head : heads) {
    const std::size_t owner = owner_of(head, world);
    repeated.push_back(head != no_head && told[owner][next[owner]++] != 0);
  }
  return repeated;
}

PrefixSurvey survey_prefixes(const Comm& world, std::span<const SurveyedPrompt> mine, const TokensOf& tokens_of,
                             std::uint64_t most_tokens) {
  PrefixSurvey survey;
  survey.mine = branches_of(send_to_owners(world, mine, tokens_of, most_tokens));
  std::vector<schedule::PlacedPrompt> places;
  for (const auto& one : survey.mine) places.push_back({one.size.prompt, one.size.samples, one.shared_tokens});
  const auto counts = gather(world, places.size());
  for (std::size_t r = 0; r < static_cast<std::size_t>(world.rank()); ++r) survey.first_mine += counts[r];
  survey.places = gather_lists(world, places);
  return survey;
}

}  // namespace moemill::mill
