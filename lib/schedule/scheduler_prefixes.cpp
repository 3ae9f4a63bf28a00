// How prompts that begin alike share the pages of what they have in common.
#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "schedule/scheduler_state.hpp"

namespace moemill::schedule {
namespace {

// The rows of a prefix of `tokens` tokens that the prompt can take over; 0 if that is not worth it. A prompt computes
// its last row itself. The row that predicts the first token of its own must be computed as well if that token is
// scored, because its logits are gone.
std::uint32_t rows_to_share(const Active& prompt, std::uint32_t tokens) {
  if (prompt.rows() == 0) return 0;
  const std::uint32_t known = prompt.work.params.prompt_logprobs ? tokens - std::min(tokens, 1u) : tokens;
  const std::uint32_t rows = std::min(known, prompt.rows() - 1);
  return rows >= least_shared_tokens ? rows : 0;
}

// The prompt's pages while it or a sample of it has any; null afterwards.
const Pages* pages_of(const Active& prompt, const std::deque<Entry>& entries) {
  auto any = [](const Pages& pages) {
    return std::any_of(pages.begin(), pages.end(), [](const PageList& list) { return !list.pages.empty(); });
  };
  if (any(prompt.pages)) return &prompt.pages;
  for (SlotId slot : prompt.slots) {
    const Entry& e = entries[static_cast<std::size_t>(slot.value)];
    if (e.prompt == &prompt && any(e.pages)) return &e.pages;
  }
  return nullptr;
}

}  // namespace

// Puts a prompt that waits into the tree. If what it shares has been computed already, the pages are kept for it: those
// of a prompt in flight, or of a longer prefix that is held.
PrefixTree::Place Scheduler::State::wait_at(std::span<const TokenId> tokens) {
  const auto place = prefixes.insert(std::make_shared<const std::vector<TokenId>>(tokens.begin(), tokens.end()));
  for (PrefixNode* node = place.node; node; node = node->parent) ++node->waiting;
  PrefixNode* shared = place.node;
  while (shared->end > place.shared_tokens) shared = shared->parent;
  if (shared->rows > 0 || shared->end < least_shared_tokens) return place;
  if (shared->owner && keep_pages(*shared, *shared->owner)) return place;
  for (const auto& [token, longer] : shared->children) {
    if (longer->rows < shared->end || !keep_pages(*shared, longer->pages, shared->end)) continue;
    shared->scores = longer->scores;
    break;
  }
  return place;
}

void Scheduler::State::take_place(Active& prompt) {
  const auto place = wait_at(prompt.work.tokens);
  prompt.place = place.node;
  prompt.own_rows = prompt.rows() - rows_to_share(prompt, place.shared_tokens);
}

void Scheduler::State::expect_more(std::span<const TokenId> prefix) {
  if (expected && std::ranges::equal(std::span(*expected->tokens).first(expected->end), prefix)) return;
  PrefixNode* before = std::exchange(expected, prefix.empty() ? nullptr : wait_at(prefix).node);
  if (!before) return;
  stop_waiting(before);
  prefixes.remove(before);
}

// From the longest prefix to shorter ones: the first that is there or on its way. Nothing if it is on its way, so that
// the prompt waits for it.
std::optional<Candidate> Scheduler::State::candidate(Waiting::const_iterator prompt) const {
  const Active& waits = **prompt;
  for (const PrefixNode* node = waits.place; node; node = node->parent) {
    const std::uint32_t rows = rows_to_share(waits, node->end);
    if (rows == 0) break;
    if (node->rows >= rows && (node->scores || !waits.work.params.prompt_logprobs))
      return Candidate{prompt, node, rows};
    const Active* owner = node->owner;
    if (owner && owner->computed < std::min(node->end, owner->rows()) && rows <= owner->rows() &&
        (owner->work.scores || !waits.work.params.prompt_logprobs))
      return std::nullopt;
  }
  return Candidate{prompt, nullptr, 0};
}

// The prompt is admitted: it takes over the rows of the prefix, and is the one that computes what others wait for.
void Scheduler::State::begin_with(Active& prompt, const Candidate& candidate) {
  if (candidate.from) {
    const std::uint32_t full = candidate.shared_pages(), partial = candidate.rows % page_tokens;
    for (PageGroup g : groups) {
      const PageList& from = list(candidate.from->pages, g);
      PageList& to = list(prompt.pages, g);
      pool(g).share(from, full, to);
      if (partial == 0) continue;
      pool(g).reach(to, candidate.rows);
      step.copies.push_back({g, from.pages[full], to.pages[full], partial});
    }
    if (prompt.work.params.prompt_logprobs)
      std::copy_n(candidate.from->scores->begin(), candidate.rows + 1, prompt.work.scores->begin());
    prompt.computed = candidate.rows;
    slide(prompt.pages, prompt.computed);
    shared_rows += candidate.rows;
  }
  planned_rows += rows_to_share(prompt, prompt.work.planned_tokens);
  for (PrefixNode* node = prompt.place; node; node = node->parent)
    if (!node->owner || node->end > candidate.rows) node->owner = &prompt;
  stop_waiting(prompt.place);
}

// One prompt less waits at `place`. A prefix that nobody waits for gives back its pages.
void Scheduler::State::stop_waiting(PrefixNode* place) {
  for (PrefixNode* node = place; node; node = node->parent)
    if (--node->waiting == 0) give_back(*node);
}

void Scheduler::State::give_back(PrefixNode& node) {
  close(node.pages);
  node.rows = 0;
  node.scores.reset();
}

// Keeps the prefixes that rows `before` .. computed - 1 have completed and that prompts wait for.
void Scheduler::State::keep_prefixes(Active& prompt, std::uint32_t before) {
  for (PrefixNode* node = prompt.place; node; node = node->parent) {
    const std::uint32_t rows = std::min(node->end, prompt.rows());
    if (rows <= before) break;
    if (rows > prompt.computed || node->waiting == 0) continue;
    if (node->rows == 0) {
      keep_pages(*node, prompt);
    } else if (!node->scores) {
      node->scores = prompt.work.scores;  // its pages were computed by a prompt that wanted none
    }
  }
}

// False if the owner has not computed the prefix, or has lost pages of it.
bool Scheduler::State::keep_pages(PrefixNode& node, const Active& owner) {
  const std::uint32_t rows = std::min(node.end, owner.rows());
  const Pages* pages = pages_of(owner, entries);
  if (!pages || owner.computed < rows || rows < least_shared_tokens) return false;
  if (!keep_pages(node, *pages, rows)) return false;
  node.scores = owner.work.scores;
  return true;
}

bool Scheduler::State::keep_pages(PrefixNode& node, const Pages& pages, std::uint32_t rows) {
  for (PageGroup g : groups) {
    if (pool(g).keep(list(pages, g), rows, list(node.pages, g))) continue;
    close(node.pages);
    return false;
  }
  node.rows = rows;
  return true;
}

// The prompt and its pages are gone.
void Scheduler::State::leave_place(Active& prompt) {
  if (!prompt.place) return;
  for (PrefixNode* node = prompt.place; node; node = node->parent)
    if (node->owner == &prompt) node->owner = nullptr;
  prefixes.remove(prompt.place);
  prompt.place = nullptr;
}

// False if none was held.
bool Scheduler::State::give_back_prefixes() {
  const std::vector<PrefixNode*> held = prefixes.holders();
  for (PrefixNode* node : held) give_back(*node);
  return !held.empty();
}

}  // namespace moemill::schedule
