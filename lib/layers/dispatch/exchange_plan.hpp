// What a rank's rows of a layer have to do: which picks its own node computes, which rows go to which other node, once
// each, where every pick's output will lie, and how they are summed. A pure function of picks, placement and nodes: the
// exchange carries it out, and whoever counts bytes calls it without any transport.
//
// Where outputs are summed by groups (model.expert_sum), a group of a row with several picks that one other node
// computes all comes home as its sum; the outputs of other picks come home one by one, and home makes their sums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "base/ids.hpp"
#include "kernels/rows.hpp"
#include "layers/dispatch/exchange_shape.hpp"
#include "layers/dispatch/records.hpp"
#include "layers/dispatch/table.hpp"

namespace moemill::layers {

// What all plans of a rank add up to.
struct PlanTotals {
  std::uint64_t rows = 0;                // of all layers
  std::uint64_t row_nodes = 0;           // nodes that compute a row's picks, for all rows
  std::uint64_t rows_sent = 0;           // row copies to other memories
  std::uint64_t rows_deduplicated = 0;   // picks there, less these copies
  std::uint64_t inter_node_minimum = 0;  // bytes between nodes, both ways, if each row goes to a node once
};

class ExchangePlan {
 public:
  // machine_of_node: [nodes] a number for what a node of the domain lies on. Where ranks share no memory, several nodes
  // are on one machine, and what they send is not counted as going between machines.
  ExchangePlan(const ExchangeShape& shape, std::uint32_t nodes, std::uint32_t home,
               std::span<const int> machine_of_node);

  // picks: [rows, picks] by rows of the domain's rank number `rank`; they stay as they are while the plan is used.
  // places: as DispatchTable has them. Picks of an expert with several take turns that spread evenly over them, for any
  // number of its picks; ranks begin at different turns.
  void make(std::span<const GlobalExpert> picks, const PickPlaces& places, std::uint32_t rank);

  // [rows, picks] where each pick is computed.
  std::span<const SlotPlace> place_of_pick() const { return {place_.data(), picks_.size()}; }

  // [nodes] picks that each node computes.
  std::span<const std::uint32_t> picks_of() const { return picks_of_; }
  // [nodes] rows that go to each node; none to this rank's own.
  std::span<const std::uint32_t> rows_to() const { return rows_to_; }
  // [nodes] outputs that each node makes for this rank's rows: one a pick, or a sum of several.
  std::span<const std::uint32_t> outputs_of() const { return outputs_of_; }
  // [nodes] where those of each node begin among all outputs of this rank's rows; within a node they are in the order
  // of rows and, in a row, of picks, or of groups and their picks.
  std::span<const std::uint32_t> first_output() const { return first_output_; }
  // [rows, picks] the number of each pick's output, if picks are summed.
  Rows<const std::uint32_t> output_of_pick() const { return output_.rows(rows_, picks_per_row_); }
  // The terms of all rows' sums, if these are by groups. weights: [rows, picks].
  GroupTerms group_terms(Rows<const float> weights);

  // Calls visit(row, slot, output) for every pick that this node computes, in the order of the outputs.
  template <class Visit>
  void for_each_own_pair(const Visit& visit) const {
    for (std::size_t i = 0; i < picks_.size(); ++i) {
      const SlotPlace& place = place_of(i);
      if (place.node == home_) visit(static_cast<std::uint32_t>(i / picks_per_row_), place.slot, output_[i]);
    }
  }
  // Writes the picks of all records, those for node 0 first, and returns the row of each record. weights: as above.
  std::span<const std::uint32_t> write_picks(const RecordForm& form, Rows<const float> weights, std::byte* records);

  const PlanTotals& totals() const { return totals_; }
  std::uint64_t bytes() const;

 private:
  // How a pick relates to the one before it in the order in which its row is summed.
  enum class Link : std::uint8_t { Begins, Continues, Joins };  // a group; it, by an output of its own; its output

  // Picks are gone through in the order of sums: by groups or as they are. i: the number of one in this order.
  std::size_t pick_at(std::size_t i) const { return by_groups() ? order_[i] : i; }
  const SlotPlace& place_of(std::size_t i) const { return place_[pick_at(i)]; }
  bool by_groups() const { return experts_per_group_ > 0; }
  std::uint32_t group_of(std::size_t pick) const {
    return static_cast<std::uint32_t>(picks_[pick].value) / experts_per_group_;
  }
  bool joins(std::size_t i) const { return by_groups() && link_[i] == Link::Joins; }
  void choose_places(const PickPlaces& places, std::uint32_t rank);
  void order_by_groups();
  void link_group(std::size_t begin, std::size_t end);
  void number_outputs();

  const std::size_t picks_per_row_;
  const std::uint32_t experts_per_group_;  // 0: picks are summed
  const std::uint32_t home_;
  const std::uint64_t record_bytes_, output_bytes_;
  const std::vector<int> machine_of_node_;
  std::span<const GlobalExpert> picks_;
  std::size_t rows_ = 0;
  std::vector<std::uint32_t> picks_of_, rows_to_, outputs_of_, first_output_;  // [nodes]
  Buffer<SlotPlace> place_;                                                    // [rows, picks]
  Buffer<std::uint32_t> order_;                                                // [rows, picks] picks by groups
  Buffer<Link> link_;                                                          // [rows, picks] in that order
  Buffer<std::uint32_t> output_;  // [rows, picks] numbers of outputs, in that order
  Buffer<std::uint32_t> row_of_record_;
  Buffer<std::uint32_t> term_output_, term_end_;  // [rows, picks] as GroupTerms
  Buffer<float> term_weight_;
  std::vector<std::uint32_t> turns_;  // scratch, by expert: how many of its picks have had one
  // Scratch, by node: the last row that went there, the number of its record, the next free number.
  std::vector<std::uint32_t> last_row_, record_, next_;
  std::vector<std::uint32_t> last_row_of_machine_;
  PlanTotals totals_;
};

}  // namespace moemill::layers
