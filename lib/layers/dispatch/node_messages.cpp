#include "layers/dispatch/node_messages.hpp"

#include <exception>
#include <thread>

#include "base/log.hpp"

namespace moemill::layers {

NodeMessages::NodeMessages(const Comm& domain, const DomainNodes& nodes, std::span<const int> machine_of_rank,
                           std::size_t record_bytes, std::size_t output_bytes)
    : domain_(domain),
      record_bytes_(record_bytes),
      output_bytes_(output_bytes),
      senders_(nodes.senders_to(domain.rank())) {
  const int me = domain.rank();
  for (std::uint32_t n = 0; n < nodes.nodes(); ++n)
    if (n != nodes.node_of(me)) receivers_.push_back({n, nodes.receiver(me, n)});
  for (const int machine : machine_of_rank)
    same_machine_.push_back(machine == machine_of_rank[static_cast<std::size_t>(me)]);
  for (int channel = 0; channel < channels; ++channel) {
    domain_.open_lane(rows_lane(channel), record_bytes);
    domain_.open_lane(outputs_lane(channel), output_bytes);
  }
}

// Room for rows that never come is left at the end of a job, and perhaps outputs whose home is about to take them: the
// memory that they lie in must not go before. A rank that fails ends the others as well, and waits for nobody.
NodeMessages::~NodeMessages() {
  for (int lane = 0; lane < Comm::lanes; ++lane) domain_.cancel_receives(lane);
  if (std::uncaught_exceptions() > 0) return;
  try {
    for (int lane = 0; lane < Comm::lanes; ++lane)
      while (!domain_.test_sends(lane)) std::this_thread::yield();
  } catch (const std::exception& e) {
    log::error("{}", e.what());
  }
}

void NodeMessages::post_rows(int channel, std::span<std::byte* const> places, std::uint32_t most_rows) {
  for (std::size_t s = 0; s < senders_.size(); ++s)
    domain_.post_receive(rows_lane(channel), senders_[s], places[s], most_rows);
}

void NodeMessages::send(int lane, int to, const std::byte* data, std::uint32_t units, std::size_t unit_bytes) {
  domain_.post_send(lane, to, data, units);
  ++sent_.messages;
  (same_machine_[static_cast<std::size_t>(to)] ? sent_.intra_node_bytes : sent_.inter_node_bytes) += units * unit_bytes;
}

void NodeMessages::send_rows(int channel, const std::byte* records, std::span<const std::uint32_t> rows_to) {
  for (const Receiver& receiver : receivers_) {
    const std::uint32_t rows = rows_to[receiver.node];
    send(rows_lane(channel), receiver.rank, records, rows, record_bytes_);
    records += rows * record_bytes_;
  }
}

void NodeMessages::post_outputs(int channel, std::byte* outputs, std::span<const std::uint32_t> first_output,
                                std::span<const std::uint32_t> outputs_of) {
  for (const Receiver& receiver : receivers_)
    domain_.post_receive(outputs_lane(channel), receiver.rank, outputs + first_output[receiver.node] * output_bytes_,
                         outputs_of[receiver.node]);
}

void NodeMessages::send_outputs(int channel, std::span<const std::byte* const> outputs,
                                std::span<const std::uint32_t> count) {
  for (std::size_t s = 0; s < senders_.size(); ++s)
    send(outputs_lane(channel), senders_[s], outputs[s], count[s], output_bytes_);
}

}  // namespace moemill::layers
