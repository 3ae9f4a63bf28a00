#include "schedule/prefix_tree.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"

namespace moemill::schedule {
namespace {

using Tokens = std::vector<TokenId>;

// Where `left` and `right` first differ, from token `from` on and before `end`.
std::uint32_t first_difference(const Tokens& left, const Tokens& right, std::uint32_t from, std::size_t end) {
  const auto begin = left.begin() + from;
  const auto last = left.begin() + static_cast<std::ptrdiff_t>(std::min({end, left.size(), right.size()}));
  return static_cast<std::uint32_t>(std::mismatch(begin, last, right.begin() + from).first - left.begin());
}

// Puts a node between `child` and its parent. All that is known of the child's prompts is true of it, but for pages,
// which end elsewhere.
PrefixNode& split(std::unique_ptr<PrefixNode>& child, std::uint32_t end) {
  auto middle = std::make_unique<PrefixNode>();
  middle->end = end;
  middle->parent = child->parent;
  middle->tokens = child->tokens;
  middle->waiting = child->waiting;
  middle->owner = child->owner;
  child->parent = middle.get();
  const TokenId next = (*child->tokens)[end];
  middle->children.emplace(next, std::move(child));
  child = std::move(middle);
  return *child;
}

void add_holders(PrefixNode& node, std::vector<PrefixNode*>& all) {
  if (node.rows > 0) all.push_back(&node);
  for (auto& [token, child] : node.children) add_holders(*child, all);
}

}  // namespace

PrefixTree::PrefixTree() = default;

PrefixTree::Place PrefixTree::insert(std::shared_ptr<const Tokens> tokens) {
  expect(!tokens->empty(), "prefix tree: a prompt has tokens");
  PrefixNode* node = &root_;
  while (node->end < tokens->size()) {
    auto& child = node->children[(*tokens)[node->end]];
    if (!child) {
      child = std::make_unique<PrefixNode>();
      child->end = static_cast<std::uint32_t>(tokens->size());
      child->parent = node;
      child->tokens = std::move(tokens);
      child->prompts = 1;
      return {child.get(), node->end};
    }
    const std::uint32_t common = first_difference(*child->tokens, *tokens, node->end, child->end);
    node = common < child->end ? &split(child, common) : child.get();
  }
  ++node->prompts;
  return {node, node->end};
}

void PrefixTree::remove(PrefixNode* node) {
  expect(node->prompts > 0, "prefix tree: only a prompt on hand is removed");
  --node->prompts;
  while (node->parent && node->prompts == 0 && node->children.empty()) {
    expect(node->rows == 0 && node->waiting == 0, "prefix tree: pages are given back before their prefix goes");
    PrefixNode* parent = node->parent;
    parent->children.erase((*node->tokens)[parent->end]);
    node = parent;
  }
}

std::vector<PrefixNode*> PrefixTree::holders() {
  std::vector<PrefixNode*> all;
  add_holders(root_, all);
  return all;
}

}  // namespace moemill::schedule
