// Messages between the nodes of a domain. A rank sends one message to each other node in each layer and way, empty or
// not: rows to the rank of its own place there, and back to each rank whose rows it has got the outputs of their picks.
// No numbers travel beforehand: room for the largest message is made known ahead of it, and a message's length says the
// rest. Used by the exchange, which knows what rows and outputs are.
//
// Partial order of a channel: post_rows -> send_rows and post_outputs -> rows_have_come -> post_rows for the next layer
// -> send_outputs -> outputs_have_come. A sender has its outputs before it sends the next rows, so room for one message
// of each sender is enough.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "layers/dispatch/domain_nodes.hpp"
#include "system/comm/comm.hpp"

namespace moemill::layers {

// What this rank has sent since the start.
struct SentTotals {
  std::uint64_t messages = 0;
  std::uint64_t intra_node_bytes =
      0;  // to nodes of the domain on the same machine, which share no memory with this one
  std::uint64_t inter_node_bytes = 0;
};

class NodeMessages {
 public:
  static constexpr int channels = Comm::lanes / 2;

  NodeMessages(const Comm& domain, const DomainNodes& nodes, std::span<const int> machine_of_rank,
               std::size_t record_bytes, std::size_t output_bytes);
  ~NodeMessages();
  NodeMessages(const NodeMessages&) = delete;
  NodeMessages& operator=(const NodeMessages&) = delete;

  // There is no other node.
  bool none() const { return receivers_.empty(); }
  // The ranks of other nodes that send rows to this one, ascending.
  std::span<const int> senders() const { return senders_; }

  // Makes room for the next rows of each sender.
  void post_rows(int channel, std::span<std::byte* const> places, std::uint32_t most_rows);
  // rows_to: [nodes] how many of the records go to each node, those for node 0 first; none for this one.
  void send_rows(int channel, const std::byte* records, std::span<const std::uint32_t> rows_to);
  // Makes room for the outputs of this rank's rows: outputs_of [nodes] from each node, from first_output [nodes] on.
  void post_outputs(int channel, std::byte* outputs, std::span<const std::uint32_t> first_output,
                    std::span<const std::uint32_t> outputs_of);
  // outputs: [senders] where those for each begin, and how many.
  void send_outputs(int channel, std::span<const std::byte* const> outputs, std::span<const std::uint32_t> count);

  // None of these waits, and all of them let messages move.
  bool rows_have_come(int channel) const { return domain_.test_receives(rows_lane(channel)); }
  bool rows_have_left(int channel) const { return domain_.test_sends(rows_lane(channel)); }
  bool outputs_have_come(int channel) const { return domain_.test_receives(outputs_lane(channel)); }
  bool outputs_have_left(int channel) const { return domain_.test_sends(outputs_lane(channel)); }
  // [senders], once the rows have come.
  std::span<const std::uint32_t> rows_from(int channel) const { return domain_.units_received(rows_lane(channel)); }

  const SentTotals& sent() const { return sent_; }

 private:
  struct Receiver {
    std::uint32_t node;
    int rank;
  };
  static int rows_lane(int channel) { return 2 * channel; }
  static int outputs_lane(int channel) { return 2 * channel + 1; }
  void send(int lane, int to, const std::byte* data, std::uint32_t units, std::size_t unit_bytes);

  const Comm domain_;
  const std::size_t record_bytes_, output_bytes_;
  std::vector<Receiver> receivers_;  // of this rank's rows, one on each other node
  std::vector<int> senders_;
  std::vector<bool> same_machine_;  // [ranks]
  SentTotals sent_;
};

}  // namespace moemill::layers
