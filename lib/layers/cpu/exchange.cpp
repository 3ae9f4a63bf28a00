// Own rows never pass through the transport's messages: dispatch writes them in front of the received records, and
// combine leaves their outputs where the experts put them. A domain of one rank copies nothing at all. Outputs travel
// by record and pick order, so the rank of a row knows which pick an output answers from its position alone.
#include "layers/cpu/exchange.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/error.hpp"
#include "base/passes.hpp"
#include "kernels/rows.hpp"

namespace moemill::cpu {

using layers::Arrivals;
using layers::RecordForm;

Exchange::Exchange(Stream& stream, Comm domain, const model::Placement& placement, std::uint32_t hidden,
                   std::uint32_t picks, std::span<const int> node_of_domain_rank)
    : stream_(stream),
      hidden_(hidden),
      picks_(picks),
      form_(hidden, picks),
      transport_(std::move(domain), node_of_domain_rank, form_.bytes(), hidden * sizeof(bf16)),
      table_(placement, {transport_.rank()}),
      packer_(form_, picks, static_cast<std::size_t>(transport_.ranks())) {
  const auto ranks = static_cast<std::size_t>(transport_.ranks());
  expect(placement.ranks() == ranks, "exchange: the placement is over the domain's ranks");
  expect(table_.highest_slot() <= RecordForm::max_tag && picks <= RecordForm::max_tag, "exchange: tags fit in records");
  first_output_.resize(ranks);
  for (Channel& c : channel_) {
    c.shares.records.resize(ranks), c.shares.outputs.resize(ranks);
    c.to_others.resize(ranks);
  }
}

Exchange::Channel& Exchange::at(int channel, Phase expected, const char* invariant) {
  expect(channel >= 0 && channel < channels, "exchange: channel is 0 or 1");
  Channel& c = channel_[static_cast<std::size_t>(channel)];
  expect(c.phase == expected, invariant);
  return c;
}

void Exchange::begin_dispatch(int channel, LayerId layer, Rows<const bf16> rows, Rows<const GlobalExpert> picks) {
  const PassScope scope(stream_.passes(), Pass::Packing);
  Channel& c = at(channel, Phase::Idle, "begin_dispatch: the channel is idle");
  expect(picks.rows == rows.rows && picks.width == picks_ && picks.stride == picks_,
         "begin_dispatch: top-k picks per row");
  const std::size_t count = rows.rows * picks_;
  c.layer = layer;
  c.rows = rows;
  c.routed = {{picks.data, count}, table_.holders(layer)};
  c.output_of_pick.reserve(count);
  if (alone()) {
    std::iota(c.output_of_pick.data(), c.output_of_pick.data() + count, 0u);
  } else {
    send(channel, c);
  }
  c.phase = Phase::Dispatching;
}

void Exchange::send(int channel, Channel& c) {
  packer_.count(c.routed, c.shares);
  const std::span<std::byte* const> first_record = transport_.place_records(channel, c.shares.records);
  const auto me = static_cast<std::size_t>(transport_.rank());
  c.shares.records[me] = 0;
  c.own_outputs = std::exchange(c.shares.outputs[me], 0);
  c.returning_outputs = layers::sum(c.shares.outputs);
  std::exclusive_scan(c.shares.outputs.begin(), c.shares.outputs.end(), first_output_.begin(), 0u);
  first_output_[me] = c.returning_outputs;
  copy_rows(c, packer_.pack(c.routed, first_record, first_output_, c.output_of_pick.data()));
  transport_.begin_dispatch(channel);
  const std::uint32_t sent = layers::sum(c.shares.records);
  totals_.rows_sent += sent;
  totals_.rows_deduplicated += c.returning_outputs - sent;
}

void Exchange::copy_rows(const Channel& c, std::span<const layers::RowCopy> copies) {
  stream_.team().parallel_for(copies.size(), 16, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      std::memcpy(copies[i].record, c.rows.row(copies[i].row), form_.row_bytes());
    }
  });
}

// Calls visit(row, slot) for every pair in the order of the outputs: own rows, then those of other ranks, by rank.
// Counts what goes back to each rank on the way.
template <class Visit>
void Exchange::for_each_pair(Channel& c, const Arrivals& arrivals, const Visit& visit) const {
  std::uint32_t row = 0;
  auto visit_records = [&](std::uint32_t records) {
    std::uint32_t outputs = 0;
    for (const std::uint32_t end = row + records; row < end; ++row) {
      const auto slots = form_.slots(arrivals.records + row * form_.bytes());
      for (const RecordForm::Tag slot : slots) visit(row, slot);
      outputs += static_cast<std::uint32_t>(slots.size());
    }
    return outputs;
  };
  visit_records(arrivals.own);
  for (std::size_t r = 0; r < c.to_others.size(); ++r) c.to_others[r] = visit_records(arrivals.from[r]);
}

template <class Wait>
auto Exchange::waiting(const Wait& wait) {
  const PassScope scope(stream_.passes(), Pass::Waiting);
  return wait();
}

ReceivedRows<> Exchange::finish_dispatch(int channel) {
  const PassScope scope(stream_.passes(), Pass::Packing);
  Channel& c = at(channel, Phase::Dispatching, "finish_dispatch: rows were sent");
  ReceivedRows<> received;
  if (alone()) {
    c.pairs.fill(table_.slots(c.layer), 0, [&](const auto& visit) {
      for (std::size_t i = 0; i < c.routed.picks.size(); ++i) {
        const model::Holder& holder = c.routed.holder_of[static_cast<std::size_t>(c.routed.picks[i].value)];
        visit(static_cast<std::uint32_t>(i / picks_), static_cast<std::uint32_t>(holder.slot.value));
      }
    });
    received.rows = c.rows;
  } else {
    const Arrivals arrivals = waiting([&] { return transport_.finish_dispatch(channel); });
    c.pairs.fill(table_.slots(c.layer), c.returning_outputs,
                 [&](const auto& visit) { for_each_pair(c, arrivals, visit); });
    received.rows = {reinterpret_cast<const bf16*>(arrivals.records), arrivals.count(), hidden_,
                     form_.bytes() / sizeof(bf16)};
  }
  count_pairs(c);
  received.expert_begin = c.pairs.slot_begin();
  received.row = c.pairs.rows();
  received.place = c.pairs.outputs();
  const std::size_t outputs = std::size_t{c.returning_outputs} + c.pairs.size();
  received.outputs = {c.outputs.reserve(outputs * hidden_), outputs, hidden_};
  c.phase = Phase::Received;
  return received;
}

void Exchange::count_pairs(const Channel& c) {
  const std::uint64_t computed = c.pairs.size(), of_own_rows = c.routed.picks.size();
  const Vector<const std::uint32_t> begin = c.pairs.slot_begin();
  totals_.pairs += computed;
  totals_.uneven_pairs += std::max(computed, of_own_rows) - std::min(computed, of_own_rows);
  for (std::size_t e = 0; e + 1 < begin.size; ++e) totals_.experts_touched += begin.data[e + 1] > begin.data[e] ? 1 : 0;
}

void Exchange::begin_combine(int channel) {
  const PassScope scope(stream_.passes(), Pass::Packing);
  Channel& c = at(channel, Phase::Received, "begin_combine: the rows were received");
  c.phase = Phase::Combining;
  if (alone()) return;
  const bf16* go_back = c.outputs.data() + (std::size_t{c.returning_outputs} + c.own_outputs) * hidden_;
  transport_.begin_combine(channel, reinterpret_cast<const std::byte*>(go_back), c.to_others,
                           reinterpret_cast<std::byte*>(c.outputs.data()), c.shares.outputs);
}

void Exchange::finish_combine(int channel, Rows<const float> weights, Rows<float> out) {
  const PassScope scope(stream_.passes(), Pass::Packing);
  Channel& c = at(channel, Phase::Combining, "finish_combine: the outputs were sent");
  expect(weights.rows == c.rows.rows && weights.width == picks_, "finish_combine: one weight per pick");
  if (!alone()) waiting([&] { transport_.finish_combine(channel); });
  if (weights.rows > 0) {
    const Rows<const bf16> outputs(c.outputs.data(), std::size_t{c.returning_outputs} + c.pairs.size(), hidden_);
    weighted_sum(stream_, outputs, c.output_of_pick.rows(weights.rows, picks_), weights, out);
  }
  c.phase = Phase::Idle;
}

void Exchange::progress() {
  if (alone()) return;
  const PassScope scope(stream_.passes(), Pass::Packing);
  transport_.progress();
}

layers::ExchangeTotals Exchange::totals() const {
  layers::ExchangeTotals totals = totals_;
  totals.seconds = stream_.passes().of(Pass::Packing) + stream_.passes().of(Pass::Waiting);
  totals.intra_node_bytes = transport_.sent().intra_node;
  totals.inter_node_bytes = transport_.sent().inter_node;
  return totals;
}

std::uint64_t Exchange::workspace_bytes() const {
  std::uint64_t bytes = transport_.buffer_bytes();
  for (const Channel& c : channel_) {
    bytes += c.outputs.capacity_bytes() + c.output_of_pick.capacity_bytes() + c.pairs.bytes();
  }
  return bytes;
}

}  // namespace moemill::cpu
