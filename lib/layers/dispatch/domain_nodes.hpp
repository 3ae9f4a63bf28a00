// The ranks of an expert domain by the memory that they have in common. A node is the ranks that read each other's rows
// and use each other's weights; a rank that shares with nobody is a node of its own. Used by the exchange and by
// whoever plans or counts what it sends. Pure: every rank computes the same.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace moemill::layers {

class DomainNodes {
 public:
  // memory_of_rank: [ranks of the domain] equal numbers for ranks of one node. Nodes are numbered in the order of their
  // first ranks.
  explicit DomainNodes(std::span<const int> memory_of_rank);

  std::uint32_t ranks() const { return static_cast<std::uint32_t>(node_of_rank_.size()); }
  std::uint32_t nodes() const { return static_cast<std::uint32_t>(ranks_.size()); }
  std::uint32_t node_of(int rank) const { return node_of_rank_[static_cast<std::size_t>(rank)]; }
  // The rank's number within its node.
  std::uint32_t place_of(int rank) const { return place_of_rank_[static_cast<std::size_t>(rank)]; }
  std::span<const int> ranks_of(std::uint32_t node) const { return ranks_[node]; }

  // The rank of `node` that gets what `rank`, of another node, has for it: the one of the same place, counted round
  // where the node is smaller.
  int receiver(int rank, std::uint32_t node) const {
    const std::vector<int>& ranks = ranks_[node];
    return ranks[place_of(rank) % ranks.size()];
  }
  // The ranks of other nodes whose receiver this rank is, ascending.
  std::vector<int> senders_to(int rank) const;
  // The most of them that any rank has.
  std::uint32_t most_senders() const;

 private:
  std::vector<std::uint32_t> node_of_rank_, place_of_rank_;
  std::vector<std::vector<int>> ranks_;  // [nodes]
};

}  // namespace moemill::layers
