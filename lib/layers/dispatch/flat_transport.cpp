#include "layers/dispatch/flat_transport.hpp"

#include <cstring>
#include <thread>
#include <utility>

#include "base/error.hpp"

namespace moemill::layers {

FlatTransport::FlatTransport(Comm domain, std::span<const int> node_of_domain_rank, std::size_t record_bytes,
                             std::size_t output_bytes)
    : domain_(std::move(domain)), rank_(domain_.rank()), record_bytes_(record_bytes), output_bytes_(output_bytes) {
  const auto ranks = static_cast<std::size_t>(domain_.size());
  expect(node_of_domain_rank.size() == ranks, "exchange: every rank of the domain has a node");
  for (int node : node_of_domain_rank) {
    same_node_.push_back(node == node_of_domain_rank[static_cast<std::size_t>(rank_)]);
  }
  one_each_.assign(ranks, 1);
  for (Channel& c : channels_) {
    c.to.assign(ranks, 0), c.from.assign(ranks, 0);
    c.first_record.resize(ranks);
  }
}

FlatTransport::Channel& FlatTransport::at(int channel) { return channels_[static_cast<std::size_t>(channel)]; }

std::span<std::byte* const> FlatTransport::place_records(int channel, std::span<const std::uint32_t> records) {
  Channel& c = at(channel);
  c.to.assign(records.begin(), records.end());
  c.own = std::exchange(c.to[static_cast<std::size_t>(rank_)], 0);
  std::byte* next = c.departures.reserve(sum(c.to) * record_bytes_);
  for (std::size_t r = 0; r < c.to.size(); ++r) {
    c.first_record[r] = next;
    next += c.to[r] * record_bytes_;
  }
  c.first_record[static_cast<std::size_t>(rank_)] = c.arrivals.reserve(c.own * record_bytes_);
  return c.first_record;
}

void FlatTransport::begin_dispatch(int channel) {
  Channel& c = at(channel);
  c.transfer =
      domain_.start_all_to_all(reinterpret_cast<const std::byte*>(c.to.data()), one_each_,
                               reinterpret_cast<std::byte*>(c.from.data()), one_each_, sizeof(std::uint32_t), channel);
  c.cargo = Cargo::Numbers;
  count_bytes(c.to, record_bytes_);
}

// Posts the receives and sends the records, once all numbers are known.
void FlatTransport::send_records(int channel) {
  Channel& c = at(channel);
  make_room(c);
  c.transfer = domain_.start_all_to_all(c.departures.data(), c.to, c.arrivals.data() + c.own * record_bytes_, c.from,
                                        record_bytes_, channel);
  c.cargo = Cargo::Records;
}

// Makes room for all arrivals and keeps the own records, which are there already.
void FlatTransport::make_room(Channel& c) {
  const std::size_t bytes = (c.own + sum(c.from)) * record_bytes_;
  if (bytes <= c.arrivals.capacity()) return;
  Buffer<std::byte> larger(bytes * 5 / 4);  // so that it soon stops growing
  if (c.own > 0) std::memcpy(larger.data(), c.arrivals.data(), c.own * record_bytes_);
  c.arrivals = std::move(larger);
}

// Waits for the channel's transfer. The other channel's records are not kept waiting when its numbers come in
// meanwhile.
void FlatTransport::finish(int channel) {
  Channel& c = at(channel);
  const int other = 1 - channel;
  while (at(other).cargo == Cargo::Numbers && !c.transfer.test()) {
    if (at(other).transfer.test()) {
      send_records(other);
    } else {
      std::this_thread::yield();  // ranks may outnumber cores
    }
  }
  c.transfer.wait();
}

Arrivals FlatTransport::finish_dispatch(int channel) {
  Channel& c = at(channel);
  if (c.cargo == Cargo::Numbers) {
    finish(channel);
    send_records(channel);
  }
  finish(channel);
  c.cargo = Cargo::None;
  return {c.arrivals.data(), c.own, c.from};
}

void FlatTransport::begin_combine(int channel, const std::byte* outputs_out, std::span<const std::uint32_t> to_others,
                                  std::byte* outputs_in, std::span<const std::uint32_t> from_others) {
  Channel& c = at(channel);
  c.transfer = domain_.start_all_to_all(outputs_out, to_others, outputs_in, from_others, output_bytes_, channel);
  c.cargo = Cargo::Outputs;
  count_bytes(to_others, output_bytes_);
}

void FlatTransport::finish_combine(int channel) {
  finish(channel);
  at(channel).cargo = Cargo::None;
}

void FlatTransport::progress() {
  for (int channel = 0; channel < channels; ++channel) {
    Channel& c = at(channel);
    // Open MPI 4.1 does not look again after it has let messages move: a second call sees what the first one brought.
    const bool done = c.transfer.test() || (c.cargo == Cargo::Numbers && c.transfer.test());
    if (done && c.cargo == Cargo::Numbers) send_records(channel);
  }
}

void FlatTransport::count_bytes(std::span<const std::uint32_t> units, std::size_t unit_bytes) {
  for (std::size_t r = 0; r < units.size(); ++r) {
    (same_node_[r] ? sent_.intra_node : sent_.inter_node) += units[r] * unit_bytes;
  }
}

std::uint64_t FlatTransport::buffer_bytes() const {
  std::uint64_t bytes = 0;
  for (const Channel& c : channels_) bytes += c.departures.capacity_bytes() + c.arrivals.capacity_bytes();
  return bytes;
}

}  // namespace moemill::layers
