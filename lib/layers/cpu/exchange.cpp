#include "layers/cpu/exchange.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/passes.hpp"
#include "kernels/rows.hpp"

namespace moemill::cpu {

using layers::ExchangePlan;
using layers::PairList;
using layers::RecordForm;
using layers::Stage;

namespace {

// [nodes] what each node of the domain lies on, numbered from 0.
std::vector<int> machines_of_nodes(const layers::DomainNodes& nodes, std::span<const int> machine_of_rank) {
  std::vector<int> machines, seen;
  for (std::uint32_t n = 0; n < nodes.nodes(); ++n) {
    const int machine = machine_of_rank[static_cast<std::size_t>(nodes.ranks_of(n).front())];
    const auto known = std::find(seen.begin(), seen.end(), machine);
    machines.push_back(static_cast<int>(known - seen.begin()));
    if (known == seen.end()) seen.push_back(machine);
  }
  return machines;
}

}  // namespace

Exchange::Exchange(Stream& stream, layers::DomainSite site, const model::Placement& placement)
    : stream_(stream),
      site_(std::move(site)),
      nodes_(site_.memory_of_rank),
      node_(nodes_.node_of(site_.comm.rank())),
      place_(nodes_.place_of(site_.comm.rank())),
      table_(placement, nodes_, node_),
      places_(site_.shape, nodes_, node_),
      machines_(machines_of_nodes(nodes_, site_.machine_of_rank)),
      channel_{{{.plan = ExchangePlan(site_.shape, nodes_.nodes(), node_, machines_)},
                {.plan = ExchangePlan(site_.shape, nodes_.nodes(), node_, machines_)}}},
      messages_(site_.comm, nodes_, site_.machine_of_rank, places_.form().bytes(), site_.shape.hidden * sizeof(bf16)),
      node_picks_(std::size_t{placement.layers()} * nodes_.nodes()) {
  expect(placement.ranks() == nodes_.ranks(), "exchange: the placement is over the domain's ranks");
  expect(table_.most_slots() <= RecordForm::max_slot && site_.shape.picks <= RecordForm::max_slot,
         "exchange: tags fit in records");
  expect(site_.memory.size() >= places_.bytes(), "exchange: the node's memory is as large as its places");
  meanwhile_ = {.mates = site_.memory.mates(), .left = &places_.left(memory())};
  if (!messages_.none()) meanwhile_.progress = [this] { return let_messages_move(); };
  for (int channel = 0; channel < static_cast<int>(site_.shape.channels); ++channel) post_rows(channel);
}

// Nobody waits for a rank that has failed.
Exchange::~Exchange() {
  if (!alone_on_node()) moemill::arrive(places_.left(memory()));
}

Exchange::Channel& Exchange::at(int channel, Phase expected, const char* invariant) {
  expect(channel >= 0 && channel < static_cast<int>(site_.shape.channels), "exchange: a channel that there is");
  Channel& c = channel_[static_cast<std::size_t>(channel)];
  expect(c.phase == expected, invariant);
  return c;
}

Rows<bf16> Exchange::rows(int channel) const {
  return places_.rows(memory()).range(places_.first_row(channel, place_), site_.shape.rows);
}

void Exchange::begin_dispatch(int channel, LayerId layer, Rows<const GlobalExpert> picks, Rows<const float> weights) {
  const PassScope scope(stream_.passes(), Pass::Packing);
  Channel& c = at(channel, Phase::Idle, "begin_dispatch: the channel is idle");
  expect(picks.rows <= site_.shape.rows, "begin_dispatch: no more rows than there are places for");
  expect(picks.width == site_.shape.picks && picks.stride == picks.width, "begin_dispatch: top-k picks per row");
  expect(weights.rows == picks.rows && weights.width == picks.width, "begin_dispatch: one weight per pick");
  c.layer = layer, c.weights = weights;
  ++c.round;
  c.plan.make({picks.data, picks.rows * picks.width}, table_.places(layer),
              static_cast<std::uint32_t>(site_.comm.rank()));
  std::uint64_t* const counted = node_picks_.data() + static_cast<std::size_t>(layer.value) * nodes_.nodes();
  for (std::uint32_t n = 0; n < nodes_.nodes(); ++n) counted[n] += c.plan.picks_of()[n];
  if (!messages_.none()) send_rows(channel, c);
  list_own_rows(channel, c);
  c.phase = Phase::Dispatching;
}

// The rows leave first: the other nodes wait for them longest.
void Exchange::send_rows(int channel, Channel& c) {
  wait_for_messages([&] { return messages_.rows_have_left(channel); });  // at once: their outputs have come
  const RecordForm& form = places_.form();
  const auto& to = c.plan.rows_to();
  std::byte* const records = c.records.reserve(std::accumulate(to.begin(), to.end(), std::size_t{0}) * form.bytes());
  const std::span<const std::uint32_t> row_of_record = c.plan.write_picks(form, c.weights, records);
  const Rows<bf16> from = rows(channel);
  stream_.team().parallel_for(row_of_record.size(), 16, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i)
      std::memcpy(records + i * form.bytes(), from.row(row_of_record[i]), form.row_bytes());
  });
  const std::uint32_t first = places_.outputs_of(places_.first_row(channel, place_));
  messages_.post_outputs(channel, reinterpret_cast<std::byte*>(places_.outputs(memory()).row(first)),
                         c.plan.first_output(), c.plan.outputs_of());
  messages_.send_rows(channel, records, to);
}

void Exchange::list_own_rows(int channel, Channel& c) {
  const std::uint32_t first_row = places_.first_row(channel, place_), first_output = places_.outputs_of(first_row);
  places_.own_list(memory(), channel, place_).fill(table_.slots(c.layer), [&](const auto& visit) {
    c.plan.for_each_own_pair([&](std::uint32_t row, std::uint32_t slot, std::uint32_t output) {
      visit(first_row + row, slot, first_output + output);
    });
  });
  arrive(channel, Stage::Listed);
}

// Outputs are made in the order of senders, records and picks, in which their homes number them.
void Exchange::list_arrived_rows(int channel, Channel& c) {
  const std::span<const std::uint32_t> rows_from = messages_.rows_from(channel);
  const Rows<bf16> all = places_.rows(memory());
  const auto record = [&](std::uint32_t row) { return reinterpret_cast<const std::byte*>(all.row(row)); };
  c.outputs_to.assign(rows_from.size(), 0), c.first_outputs.resize(rows_from.size());
  c.sums.clear();
  for (std::size_t s = 0; s < rows_from.size(); ++s) {
    const std::uint32_t first = places_.first_arrived_row(channel, place_, s);
    const std::uint32_t first_output = places_.outputs_of(first);
    c.outputs_to[s] = c.sums.take(places_.form(), record(first), rows_from[s], first_output);
    c.first_outputs[s] = reinterpret_cast<const std::byte*>(places_.outputs(memory()).row(first_output));
  }
  const auto for_each_pair = [&](const auto& visit) {
    auto output = c.sums.output_of_pick().begin();
    for (std::size_t s = 0; s < rows_from.size(); ++s) {
      const std::uint32_t first = places_.first_arrived_row(channel, place_, s);
      for (std::uint32_t row = first; row < first + rows_from[s]; ++row)
        for (std::size_t i = 0; i < places_.form().picks(record(row)); ++i)
          visit(row, places_.form().pick(record(row), i).slot, *output++);
    }
  };
  std::uint32_t arrived = 0;
  places_.arrived_list(memory(), channel, place_).fill(table_.slots(c.layer), for_each_pair);
  for (const std::uint32_t rows : rows_from) arrived += rows;
  c.most_arrived_bytes =
      std::max(c.most_arrived_bytes, places_.bytes_of_arrived(arrived, c.sums.output_of_pick().size()));
  arrive(channel, Stage::Arrived);
}

ReceivedRows<> Exchange::finish_dispatch(int channel) {
  const PassScope scope(stream_.passes(), Pass::Packing);
  Channel& c = at(channel, Phase::Dispatching, "finish_dispatch: rows were sent");
  if (!messages_.senders().empty()) {
    // Outputs of the round before lie where those of this one will: they have come, or there would be no next rows.
    wait_for_messages([&] { return messages_.rows_have_come(channel) && messages_.outputs_have_left(channel); });
    list_arrived_rows(channel, c);
  }
  lists_.clear();
  wait_for_mates(channel, Stage::Listed, c.round);
  wait_for_mates(channel, Stage::Arrived, c.round);
  const auto ranks = static_cast<std::uint32_t>(nodes_.ranks_of(node_).size());
  for (std::uint32_t place = 0; place < ranks; ++place) {
    lists_.push_back(places_.own_list(memory(), channel, place));
    if (places_.senders(place) > 0) lists_.push_back(places_.arrived_list(memory(), channel, place));
  }
  c.share.take(lists_, table_.owner_of_slot(c.layer), ranks, place_);
  c.share.add_costs(totals_);
  count_pairs(c);
  c.phase = Phase::Received;
  return {places_.rows(memory()), c.share.slot_begin(), c.share.rows(), c.share.outputs(), places_.outputs(memory())};
}

void Exchange::count_pairs(const Channel& c) {
  const Vector<const std::uint32_t> begin = c.share.slot_begin();
  totals_.pairs += c.share.rows().size;
  for (std::size_t e = 0; e + 1 < begin.size; ++e) totals_.experts_touched += begin.data[e + 1] > begin.data[e] ? 1 : 0;
}

void Exchange::begin_combine(int channel) {
  const PassScope scope(stream_.passes(), Pass::Packing);
  Channel& c = at(channel, Phase::Received, "begin_combine: the rows were received");
  c.phase = Phase::Combining;
  c.outputs_sent = messages_.senders().empty();
  arrive(channel, Stage::Done);
  send_outputs(channel, c, Caller::Layer);
}

void Exchange::post_rows(int channel) {
  std::vector<std::byte*> places;
  for (std::size_t s = 0; s < messages_.senders().size(); ++s) {
    const std::uint32_t first = places_.first_arrived_row(channel, place_, s);
    places.push_back(reinterpret_cast<std::byte*>(places_.rows(memory()).row(first)));
  }
  messages_.post_rows(channel, places, site_.shape.rows);
}

// Makes the sums that go home. Between pieces of another kernel only some at a time: 64 of two rows of 7168 take 40 us.
// Returns whether all are made.
bool Exchange::sum_arrived(Channel& c, Caller caller) {
  constexpr std::size_t at_a_time = 64;
  const std::size_t left = c.sums.count() - c.sums.made();
  if (left == 0 || c.is_summing) return left == 0;
  const PassScope scope(stream_.passes(), Pass::Norms);
  const std::size_t now = caller == Caller::Layer ? left : std::min(left, at_a_time);
  if (caller == Caller::Layer) {
    c.is_summing = true;  // a hook of this very kernel may ask again
    group_sums(stream_, places_.outputs(memory()), c.sums.sums(), c.sums.made(), now);
    c.is_summing = false;
  } else {
    group_sums_alone(stream_, places_.outputs(memory()), c.sums.sums(), c.sums.made(), now);
  }
  c.sums.have_made(now);
  return now == left;
}

// Sends the outputs of the rows that have arrived, if all ranks of the node have made theirs; returns whether they are
// sent. Never waits.
bool Exchange::send_outputs(int channel, Channel& c, Caller caller) {
  if (c.outputs_sent) return true;
  if (!mates_have_reached(channel, Stage::Done, c.round) || !sum_arrived(c, caller)) return false;
  post_rows(channel);
  messages_.send_outputs(channel, c.first_outputs, c.outputs_to);
  return c.outputs_sent = true;
}

void Exchange::finish_combine(int channel, Rows<float> out) {
  const PassScope scope(stream_.passes(), Pass::Packing);
  Channel& c = at(channel, Phase::Combining, "finish_combine: the outputs were made");
  expect(out.rows == c.weights.rows, "finish_combine: the rows that were sent");
  wait_for_mates(channel, Stage::Done, c.round);
  send_outputs(channel, c, Caller::Layer);
  if (!messages_.none()) wait_for_messages([&] { return messages_.outputs_have_come(channel); });
  if (out.rows > 0) add_outputs(channel, c, out);
  c.phase = Phase::Idle;
}

void Exchange::add_outputs(int channel, Channel& c, Rows<float> out) {
  const PassScope scope(stream_.passes(), Pass::Norms);
  const std::uint32_t first = places_.outputs_of(places_.first_row(channel, place_));
  const Rows<bf16> outputs = places_.outputs(memory()).range(first, out.rows * site_.shape.picks);
  if (site_.shape.sum() == ExpertSum::Groups)
    sum_of_groups(stream_, outputs, c.plan.group_terms(c.weights), out);
  else
    weighted_sum(stream_, outputs, c.plan.output_of_pick(), c.weights, out);
}

void Exchange::arrive(int channel, Stage stage) {
  if (!alone_on_node()) moemill::arrive(places_.flag(memory(), channel, place_, stage));
}

// Ranks that nobody sends to have nothing to say about arrived rows.
bool Exchange::mates_have_reached(int channel, Stage stage, std::uint32_t round) const {
  const auto ranks = static_cast<std::uint32_t>(nodes_.ranks_of(node_).size());
  for (std::uint32_t place = 0; place < ranks; ++place) {
    if (place == place_ || (stage == Stage::Arrived && places_.senders(place) == 0)) continue;
    if (!has_reached(places_.flag(memory(), channel, place, stage), round)) return false;
  }
  return true;
}

void Exchange::wait_for_mates(int channel, Stage stage, std::uint32_t round) {
  if (alone_on_node() || mates_have_reached(channel, stage, round)) return;
  const PassScope scope(stream_.passes(), Pass::Waiting);
  const auto ranks = static_cast<std::uint32_t>(nodes_.ranks_of(node_).size());
  for (std::uint32_t place = 0; place < ranks; ++place) {
    if (place == place_ || (stage == Stage::Arrived && places_.senders(place) == 0)) continue;
    wait_for(places_.flag(memory(), channel, place, stage), round, meanwhile_);
  }
}

template <class Ready>
void Exchange::wait_for_messages(const Ready& ready) {
  if (ready()) return;
  const PassScope scope(stream_.passes(), Pass::Waiting);
  do {
    let_messages_move();
    std::this_thread::yield();  // ranks may outnumber cores
  } while (!ready());
}

// Returns whether something may be on its way.
bool Exchange::let_messages_move() {
  bool under_way = false;
  for (int channel = 0; channel < static_cast<int>(site_.shape.channels); ++channel) {
    Channel& c = channel_[static_cast<std::size_t>(channel)];
    if (c.phase == Phase::Combining) send_outputs(channel, c, Caller::BetweenPieces);
    messages_.rows_have_come(channel), messages_.rows_have_left(channel), messages_.outputs_have_come(channel);
    under_way = !messages_.outputs_have_left(channel) || c.phase != Phase::Idle || under_way;
  }
  return under_way;
}

void Exchange::progress() {
  if (messages_.none()) return;
  const PassScope scope(stream_.passes(), Pass::Packing);
  let_messages_move();  // whichever is asked for first lets all of them move
}

layers::ExchangeTotals Exchange::totals() const {
  layers::ExchangeTotals totals = totals_;
  totals.pack_seconds = stream_.passes().of(Pass::Packing);
  totals.wait_seconds = stream_.passes().of(Pass::Waiting);
  totals.seconds = totals.pack_seconds + totals.wait_seconds;
  const layers::SentTotals& sent = messages_.sent();
  totals.messages = sent.messages;
  totals.intra_node_bytes = sent.intra_node_bytes, totals.inter_node_bytes = sent.inter_node_bytes;
  for (const Channel& c : channel_) {
    const layers::PlanTotals& plan = c.plan.totals();
    totals.rows_sent += plan.rows_sent, totals.rows_deduplicated += plan.rows_deduplicated;
    totals.inter_node_minimum += plan.inter_node_minimum;
    totals.rows_routed += plan.rows, totals.row_nodes += plan.row_nodes;
  }
  return totals;
}

std::uint64_t Exchange::workspace_bytes() const {
  std::uint64_t bytes = places_.bytes_of_own_rows();
  for (const Channel& c : channel_)
    bytes += c.most_arrived_bytes + c.records.capacity_bytes() + c.plan.bytes() + c.sums.bytes() + c.share.bytes();
  return bytes;
}

}  // namespace moemill::cpu
