// How records and outputs travel between the ranks of a domain: from every rank straight to every other one. Used by
// the exchange, which knows what a record is; the transport knows only sizes and numbers. A different way (by way of
// one rank per node) is a type with the same functions.
//
// Partial order, for each channel by itself:
//   place_records -> records are written -> begin_dispatch -> finish_dispatch -> begin_combine -> finish_combine
// Between begin_dispatch and finish_dispatch the numbers of records travel first. A rank that knows all of its numbers
// posts its receives and sends its records, in progress() or at the latest in finish_dispatch. Outputs need no numbers:
// both sides know them. Every rank of the domain calls in the same order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "system/comm/comm.hpp"

namespace moemill::layers {

inline std::uint32_t sum(std::span<const std::uint32_t> per_rank) {
  return std::accumulate(per_rank.begin(), per_rank.end(), std::uint32_t{0});
}

// What a rank has received: its own records, then those of other ranks, by rank.
struct Arrivals {
  const std::byte* records = nullptr;
  std::uint32_t own = 0;
  std::span<const std::uint32_t> from;  // [ranks] records of each; this rank's entry is zero

  std::uint32_t count() const { return own + sum(from); }
};

// Bytes of records and outputs sent to other ranks since the start.
struct SentBytes {
  std::uint64_t intra_node = 0;
  std::uint64_t inter_node = 0;
};

class FlatTransport {
 public:
  static constexpr int channels = 2;

  // node_of_domain_rank: [domain size], which node a rank is on.
  FlatTransport(Comm domain, std::span<const int> node_of_domain_rank, std::size_t record_bytes,
                std::size_t output_bytes);

  int rank() const { return rank_; }
  int ranks() const { return static_cast<int>(same_node_.size()); }

  // Memory for records[r] records to each rank r, this one among them; returns where those of each rank begin.
  std::span<std::byte* const> place_records(int channel, std::span<const std::uint32_t> records);
  void begin_dispatch(int channel);
  Arrivals finish_dispatch(int channel);

  // Outputs in rank order: to_others[r] of them go to rank r, from_others[r] come from it, none to this rank itself.
  // All stay where they are until finish_combine.
  void begin_combine(int channel, const std::byte* outputs_out, std::span<const std::uint32_t> to_others,
                     std::byte* outputs_in, std::span<const std::uint32_t> from_others);
  void finish_combine(int channel);

  // Lets everything in flight move. Never waits.
  void progress();

  const SentBytes& sent() const { return sent_; }
  std::uint64_t buffer_bytes() const;

 private:
  enum class Cargo { None, Numbers, Records, Outputs };
  struct Channel {
    Cargo cargo = Cargo::None;
    Comm::Transfer transfer;
    std::vector<std::uint32_t> to, from;   // [ranks] records to and from each; this rank's own are not sent
    std::uint32_t own = 0;                 // records to this rank itself
    Buffer<std::byte> departures;          // records to others, by rank
    Buffer<std::byte> arrivals;            // own records, then those of others, by rank
    std::vector<std::byte*> first_record;  // [ranks]
  };
  Channel& at(int channel);
  void send_records(int channel);
  void finish(int channel);
  void make_room(Channel& c);
  void count_bytes(std::span<const std::uint32_t> units, std::size_t unit_bytes);

  Comm domain_;
  const int rank_;
  const std::size_t record_bytes_;
  const std::size_t output_bytes_;
  std::vector<bool> same_node_;          // [ranks]
  std::vector<std::uint32_t> one_each_;  // [ranks] one number to and from each rank
  std::array<Channel, channels> channels_;
  SentBytes sent_;
};

}  // namespace moemill::layers
