// The prompts on hand as a tree of their tokens, exact to the token, with the KV pages of prefixes that prompts still
// to be admitted share. Private to schedule/. The scheduler counts waiting prompts along the way from a prompt's end to
// the root; it captures a prefix's pages when the first prompt that begins with it has computed them, and gives them
// back when the last prompt that waits for them is admitted. So nothing is guessed, and nothing is
// evicted while other prompts can go on.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "schedule/pages.hpp"
#include "schedule/prefix_order.hpp"

namespace moemill::schedule {

struct Active;

// Indexed by PageGroup; the list of a group without layers stays empty.
using Pages = std::array<PageList, page_groups>;

// Tokens that prompts begin with, up to where two of them differ or one ends.
struct PrefixNode {
  std::uint32_t end = 0;  // number of the tokens
  PrefixNode* parent = nullptr;
  std::map<TokenId, std::unique_ptr<PrefixNode>> children;  // by the token behind this prefix
  std::shared_ptr<const std::vector<TokenId>> tokens;       // of a prompt that begins with it
  std::uint32_t prompts = 0;                                // on hand that end here
  std::uint32_t waiting = 0;                                // prompts that begin with it and are still to be admitted
  Active* owner = nullptr;                                  // a prompt in flight that begins with it
  std::uint32_t rows = 0;                                   // rows in `pages`; 0: holds none
  Pages pages;                                              // shared with whoever computed them
  std::shared_ptr<const std::vector<float>> scores;         // of the prompt that computed the rows; null: not wanted
};

class PrefixTree {
 public:
  PrefixTree();

  struct Place {
    PrefixNode* node = nullptr;       // at the prompt's end
    std::uint32_t shared_tokens = 0;  // the most that it has in common with any other prompt on hand
  };
  // Adds a prompt of at least one token. `node` stays until remove().
  Place insert(std::shared_ptr<const std::vector<TokenId>> tokens);
  // Removes a prompt, and the nodes that no other prompt needs. They hold no pages: nobody waits for them.
  void remove(PrefixNode* node);

  // All nodes that hold pages.
  std::vector<PrefixNode*> holders();

 private:
  PrefixNode root_;
};

}  // namespace moemill::schedule
