// What ranks send each other beside the steps: finished rows, scores and partial samples to the keepers of their
// shards, what earlier attempts left of a lot from its keeper to the rank that continues it, and what rank 0 and the
// leaders of domains tell each other (rounds.hpp). Rows of one step for one keeper travel in one letter. Used by the
// loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "dataset/journal/records.hpp"
#include "mill/open_lot.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

// Of rounds, in their own form.
struct News {
  std::vector<std::byte> bytes;
};

class Mail {
 public:
  explicit Mail(const Comm& world) : world_(world) {}

  // Put into the next letter to that rank; a long letter leaves at once. UserError for a row that no letter can hold.
  void write(int to, const dataset::Completion& row);
  void write(int to, const dataset::PromptScore& score);
  void write(int to, const dataset::PartialSample& partial);
  // Everything that was written leaves.
  void post();
  // Leaves at once, in several letters if it is long.
  void send(int to, const BegunLot& lot);
  // Leaves at once; not mixed up with anything else.
  void send(int to, const News& news);

  // The next letter that has arrived, if there is one.
  std::optional<std::vector<std::byte>> next();
  using Contents = std::variant<std::vector<dataset::JournalRecord>, BegunLot, News>;
  static Contents read(std::span<const std::byte> letter);

  struct Counts {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t faults = 0;  // letters could not be received
  };
  const Counts& counts() const { return counts_; }
  std::uint64_t unsent_bytes() const { return world_.unsent_bytes(); }

 private:
  template <class Row>
  void write_row(int to, const Row& row);
  void post(int to, std::vector<std::byte> letter);

  const Comm& world_;
  std::map<int, std::vector<std::byte>> written_;  // by receiver
  Counts counts_;
};

}  // namespace moemill::mill
