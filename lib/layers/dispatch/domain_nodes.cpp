#include "layers/dispatch/domain_nodes.hpp"

#include <algorithm>
#include <map>

#include "base/numbers/rounding.hpp"

namespace moemill::layers {

DomainNodes::DomainNodes(std::span<const int> memory_of_rank) {
  std::map<int, std::uint32_t> number;
  for (std::size_t r = 0; r < memory_of_rank.size(); ++r) {
    const auto next = static_cast<std::uint32_t>(number.size());
    const std::uint32_t node = number.try_emplace(memory_of_rank[r], next).first->second;
    ranks_.resize(number.size());
    node_of_rank_.push_back(node);
    place_of_rank_.push_back(static_cast<std::uint32_t>(ranks_[node].size()));
    ranks_[node].push_back(static_cast<int>(r));
  }
}

std::vector<int> DomainNodes::senders_to(int rank) const {
  std::vector<int> senders;
  const std::uint32_t here = node_of(rank);
  for (int r = 0; r < static_cast<int>(ranks()); ++r)
    if (node_of(r) != here && receiver(r, here) == rank) senders.push_back(r);
  return senders;
}

// The first rank of a node has at least as many as its mates: of every other node the places that are 0 when counted
// round. Nodes have few different sizes.
std::uint32_t DomainNodes::most_senders() const {
  std::map<std::size_t, std::size_t> nodes_of_size;
  for (const std::vector<int>& node : ranks_) ++nodes_of_size[node.size()];
  std::size_t most = 0;
  for (const auto& [size, nodes] : nodes_of_size) {
    std::size_t senders = 0;
    for (const auto& [other, count] : nodes_of_size) senders += count * divide_up(other, size);
    most = std::max(most, senders - 1);  // less its own place in its own node
  }
  return static_cast<std::uint32_t>(most);
}

}  // namespace moemill::layers
