#include "schedule/prefix_order.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/error.hpp"

namespace moemill::schedule {
namespace {

using PromptTokens = std::span<const TokenId>;

std::uint32_t common_tokens(PromptTokens left, PromptTokens right) {
  const std::size_t end = std::min(left.size(), right.size());
  const auto differing = std::mismatch(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(end), right.begin());
  return static_cast<std::uint32_t>(differing.first - left.begin());
}

// By their tokens; a prompt before those that it begins, and duplicates by their numbers.
PrefixOrder sorted(std::span<const PromptTokens> prompts, std::uint32_t least_tokens) {
  PrefixOrder order;
  order.prompts.resize(prompts.size());
  std::iota(order.prompts.begin(), order.prompts.end(), 0U);
  std::sort(order.prompts.begin(), order.prompts.end(), [&](std::uint32_t left, std::uint32_t right) {
    const PromptTokens a = prompts[left], b = prompts[right];
    const std::size_t common = common_tokens(a, b);
    if (common < a.size() && common < b.size()) return a[common] < b[common];
    return a.size() != b.size() ? a.size() < b.size() : left < right;
  });
  order.shared_tokens.resize(prompts.size());
  for (std::size_t place = 1; place < prompts.size(); ++place) {
    const std::uint32_t common = common_tokens(prompts[order.prompts[place - 1]], prompts[order.prompts[place]]);
    order.shared_tokens[place] = common < least_tokens ? 0 : common;
  }
  return order;
}

// A place where prompts part. Children are nodes, or prompts at the places of the sorted order.
struct Node {
  std::uint32_t shared_tokens = 0;
  std::uint32_t lowest = std::numeric_limits<std::uint32_t>::max();  // prompt
  struct Child {
    std::uint32_t lowest;
    std::uint32_t number;  // of a node, or the prompt itself
    bool is_node;
  };
  std::vector<Child> children;

  void adopt(Child child) {
    lowest = std::min(lowest, child.lowest);
    children.push_back(child);
  }
};

// The tree whose leaves are the sorted prompts; the root is node 0. It is built from left to right: `open` are the
// nodes from the root to the last leaf.
std::vector<Node> tree_of(const PrefixOrder& order) {
  std::vector<Node> nodes(1);
  std::vector<std::uint32_t> open = {0};
  const auto close_down_to = [&](std::uint32_t shared, Node::Child child) {
    while (nodes[open.back()].shared_tokens > shared) {
      nodes[open.back()].adopt(child);
      child = {nodes[open.back()].lowest, open.back(), true};
      open.pop_back();
    }
    return child;
  };
  for (std::size_t place = 0; place < order.prompts.size(); ++place) {
    const bool last = place + 1 == order.prompts.size();
    const std::uint32_t shared = last ? 0 : order.shared_tokens[place + 1];
    const Node::Child child = close_down_to(shared, {order.prompts[place], order.prompts[place], false});
    if (nodes[open.back()].shared_tokens < shared) {
      open.push_back(static_cast<std::uint32_t>(nodes.size()));
      nodes.push_back({shared, std::numeric_limits<std::uint32_t>::max(), {}});
    }
    nodes[open.back()].adopt(child);
  }
  return nodes;
}

}  // namespace

PrefixOrder order_by_prefix(std::span<const PromptTokens> prompts, std::uint32_t least_tokens) {
  expect(prompts.size() <= std::numeric_limits<std::uint32_t>::max(), "prefix order: 32 bits number the prompts");
  std::vector<Node> nodes = tree_of(sorted(prompts, least_tokens));
  for (Node& node : nodes)
    std::ranges::sort(node.children, std::ranges::greater(), &Node::Child::lowest);  // taken from the end
  PrefixOrder order;
  std::vector<std::uint32_t> open = {0};
  std::uint32_t shared = 0;  // of the next prompt: what the node has that was left last
  while (!open.empty()) {
    Node& node = nodes[open.back()];
    if (node.children.empty()) {
      open.pop_back();
      if (!open.empty()) shared = nodes[open.back()].shared_tokens;
      continue;
    }
    const Node::Child child = node.children.back();
    node.children.pop_back();
    if (child.is_node) {
      open.push_back(child.number);
      continue;
    }
    order.prompts.push_back(child.number);
    order.shared_tokens.push_back(shared);
    shared = node.shared_tokens;
  }
  return order;
}

}  // namespace moemill::schedule
