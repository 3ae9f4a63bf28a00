#include "layers/exchange.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "base/aligned.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "kernels/rows.hpp"

// How it travels.
// Dispatch: one record for each (row, other rank with a pick of it): the row's bf16 values, then how many of its picks
// live there and which local experts they are, in pick order. Numbers of records go first; when a rank knows them all
// it posts the receives for the records (receive_dispatch, or an earlier progress()).
// Combine: both sides know the numbers. A rank sends back one row a pick, by record and pick order, so the home rank
// knows which pick a row answers from its position alone.
// Own rows never pass through MPI: dispatch copies them in front of the received records, and combine leaves their
// outputs where the experts put them. A domain of one rank copies nothing at all.

namespace moemill::layers {
namespace {

using Tag = std::uint16_t;  // a local expert, or a number of picks, in a record

struct Timer {
  double& total;
  double begin = now_seconds();
  explicit Timer(double& total) : total(total) {}
  ~Timer() { total += now_seconds() - begin; }
};

}  // namespace

// Each channel walks these phases in order, once a MoE layer.
enum class Exchange::Phase { Idle, Counting, Dispatching, Received, Combining };

struct Exchange::Channel {
  Phase phase = Phase::Idle;
  Comm::Transfer transfer;

  // The caller's rows and picks, from send_dispatch to send_combine.
  const bf16* rows = nullptr;
  std::size_t stride = 0;
  std::uint32_t count = 0;
  std::span<const GlobalExpert> picks;

  // By domain rank; this rank's own entries are zero in all four, because own rows are not sent.
  std::vector<std::uint32_t> records_to, records_from;  // rows that go there, and come from there
  std::vector<std::uint32_t> pairs_home, pairs_back;    // outputs that come home from there, and go back there

  AlignedBuffer<std::byte> departures;  // records to others, by rank
  AlignedBuffer<std::byte> arrivals;    // own records, then those of others by rank
  // Outputs: [come home from others, by rank][own][go back to others, by rank]. One array, so that one index finds
  // the answer to any pick of an own row, wherever it was computed.
  AlignedBuffer<bf16> outputs;
  std::uint32_t own_records = 0;
  std::uint32_t home = 0;  // rows of outputs that come home from others
  std::uint32_t own_pairs = 0;
  AlignedBuffer<std::uint32_t> answer;  // [count, picks]: row of outputs that answers a pick

  std::vector<std::uint32_t> expert_begin;  // [local experts + 1]
  AlignedBuffer<std::uint32_t> pair_row;    // [pairs]
  AlignedBuffer<std::uint32_t> pair_place;  // [pairs]
  std::uint32_t pairs = 0;

  std::uint64_t bytes() const {
    return departures.capacity_bytes() + arrivals.capacity_bytes() + outputs.capacity_bytes() +
           answer.capacity_bytes() + pair_row.capacity_bytes() + pair_place.capacity_bytes();
  }
};

struct Exchange::State {
  State(cpu::Stream& stream_, Comm domain_, const model::Placement& placement, std::uint32_t hidden_,
        std::uint32_t picks_, std::span<const int> nodes);

  cpu::Stream& stream;
  Comm domain;
  std::size_t hidden;
  std::size_t picks;
  int rank = 0;
  int ranks = 1;
  std::uint32_t local_experts = 0;
  std::size_t record_bytes = 0;
  std::vector<int> owner;           // [experts] domain rank
  std::vector<Tag> local;           // [experts] index in its owner's slice
  std::vector<char> same_node;      // [ranks]
  std::vector<std::uint32_t> ones;  // [ranks]: one count to and from each rank
  // Scratch of pack, by rank: the record of the row at hand, the next free record and output, the last row seen.
  std::vector<std::byte*> record, next_record;
  std::vector<std::uint32_t> next_answer, last_row;
  struct RowCopy {
    std::byte* record;
    std::uint32_t row;
  };
  std::vector<RowCopy> copies;
  std::array<Channel, channels> channel;
  ExchangeTotals totals;

  Channel& at(int index, Phase expected, const char* invariant) {
    expect(index >= 0 && index < channels, "exchange: channel is 0 or 1");
    Channel& c = channel[static_cast<std::size_t>(index)];
    expect(c.phase == expected, invariant);
    return c;
  }
  int index_of(const Channel& c) const { return static_cast<int>(&c - channel.data()); }
  Tag* tags(std::byte* record_at) const { return reinterpret_cast<Tag*>(record_at + hidden * sizeof(bf16)); }
  std::byte* received(Channel& c) const { return c.arrivals.data() + c.own_records * record_bytes; }

  void count_rows(Channel& c);
  void set_out(Channel& c);
  void pack(Channel& c);
  void begin_records(Channel& c);
  void grow_arrivals(Channel& c, std::size_t records);
  void finish(Channel& c);
  template <class Visit>
  void for_each_pair(Channel& c, Visit&& visit);
  void list_pairs(Channel& c);
  void add_bytes(const std::vector<std::uint32_t>& units, std::size_t unit_bytes);
};

namespace {

std::uint32_t sum(const std::vector<std::uint32_t>& values) {
  return std::accumulate(values.begin(), values.end(), std::uint32_t{0});
}

}  // namespace

Exchange::State::State(cpu::Stream& stream_, Comm domain_, const model::Placement& placement, std::uint32_t hidden_,
                       std::uint32_t picks_, std::span<const int> nodes)
    : stream(stream_), domain(std::move(domain_)), hidden(hidden_), picks(picks_) {
  rank = domain.rank();
  ranks = domain.size();
  auto count = static_cast<std::size_t>(ranks);
  expect(placement.domain_size == count, "exchange: the placement is over the domain's ranks");
  expect(nodes.size() == count, "exchange: every rank of the domain has a node");
  expect(placement.experts <= 65535 && picks <= 65535, "exchange: local experts and picks fit in 16 bits");
  local_experts = placement.count({rank});
  record_bytes = (hidden * sizeof(bf16) + (1 + picks) * sizeof(Tag) + 15) / 16 * 16;
  for (std::uint32_t e = 0; e < placement.experts; ++e) {
    GlobalExpert expert{static_cast<std::int32_t>(e)};
    owner.push_back(placement.owner(expert).value);
    local.push_back(static_cast<Tag>(placement.local(expert).value));
  }
  for (int node : nodes) same_node.push_back(node == nodes[static_cast<std::size_t>(rank)]);
  ones.assign(count, 1);
  record.resize(count), next_record.resize(count), next_answer.resize(count), last_row.resize(count);
  for (Channel& c : channel) {
    for (auto* units : {&c.records_to, &c.records_from, &c.pairs_home, &c.pairs_back}) units->assign(count, 0);
    c.expert_begin.assign(local_experts + 1, 0);
  }
}

Exchange::Exchange(cpu::Stream& stream, Comm domain, const model::Placement& placement, std::uint32_t hidden,
                   std::uint32_t picks, std::span<const int> node_of_domain_rank)
    : state_(std::make_unique<State>(stream, std::move(domain), placement, hidden, picks, node_of_domain_rank)) {}

Exchange::~Exchange() = default;

void Exchange::send_dispatch(int channel, const bf16* rows, std::size_t stride, std::uint32_t count,
                             std::span<const GlobalExpert> picks) {
  State& s = *state_;
  Timer timer(s.totals.seconds);
  Channel& c = s.at(channel, Phase::Idle, "send_dispatch: the channel is idle");
  expect(picks.size() == count * s.picks, "send_dispatch: top-k picks a row");
  c.rows = rows, c.stride = stride, c.count = count, c.picks = picks;
  s.count_rows(c);
  c.answer.reserve(picks.size());
  c.phase = Phase::Counting;
  if (s.ranks == 1) {
    std::iota(c.answer.data(), c.answer.data() + picks.size(), 0u);
    return;
  }
  s.pack(c);
  c.transfer = s.domain.start_all_to_all(reinterpret_cast<const std::byte*>(c.records_to.data()), s.ones,
                                         reinterpret_cast<std::byte*>(c.records_from.data()), s.ones,
                                         sizeof(std::uint32_t), channel);
}

// How many records and outputs go where.
void Exchange::State::count_rows(Channel& c) {
  std::fill(c.records_to.begin(), c.records_to.end(), 0);
  std::fill(c.pairs_home.begin(), c.pairs_home.end(), 0);
  std::fill(last_row.begin(), last_row.end(), ~0u);
  for (std::size_t i = 0; i < c.picks.size(); ++i) {
    auto to = static_cast<std::size_t>(owner[static_cast<std::size_t>(c.picks[i].value)]);
    auto row = static_cast<std::uint32_t>(i / picks);
    ++c.pairs_home[to];
    c.records_to[to] += std::exchange(last_row[to], row) != row;
  }
  auto me = static_cast<std::size_t>(rank);
  c.own_records = std::exchange(c.records_to[me], 0);
  c.own_pairs = std::exchange(c.pairs_home[me], 0);
  c.home = sum(c.pairs_home);
}

// Where the records and the answers of each rank begin.
void Exchange::State::set_out(Channel& c) {
  std::byte* departure = c.departures.reserve(sum(c.records_to) * record_bytes);
  std::uint32_t answer = 0;
  for (std::size_t r = 0; r < next_record.size(); ++r) {
    next_record[r] = departure, next_answer[r] = answer;
    departure += c.records_to[r] * record_bytes, answer += c.pairs_home[r];
  }
  auto me = static_cast<std::size_t>(rank);
  next_record[me] = c.arrivals.reserve(c.own_records * record_bytes);
  next_answer[me] = c.home;
  std::fill(last_row.begin(), last_row.end(), ~0u);
}

void Exchange::State::pack(Channel& c) {
  set_out(c);
  copies.clear();
  for (std::size_t i = 0; i < c.picks.size(); ++i) {
    auto expert = static_cast<std::size_t>(c.picks[i].value);
    auto to = static_cast<std::size_t>(owner[expert]);
    auto row = static_cast<std::uint32_t>(i / picks);
    if (std::exchange(last_row[to], row) != row) {
      record[to] = std::exchange(next_record[to], next_record[to] + record_bytes);
      tags(record[to])[0] = 0;
      copies.push_back({record[to], row});
    }
    Tag* tag = tags(record[to]);
    tag[++tag[0]] = local[expert];
    c.answer[i] = next_answer[to]++;
  }
  stream.team().parallel_for(copies.size(), 16, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i)
      std::memcpy(copies[i].record, c.rows + copies[i].row * c.stride, hidden * sizeof(bf16));
  });
  totals.rows_sent += sum(c.records_to);
  totals.rows_deduplicated += c.home - sum(c.records_to);
  add_bytes(c.records_to, record_bytes);
}

void Exchange::State::add_bytes(const std::vector<std::uint32_t>& units, std::size_t unit_bytes) {
  for (std::size_t r = 0; r < units.size(); ++r)
    (same_node[r] ? totals.intra_node_bytes : totals.inter_node_bytes) += units[r] * unit_bytes;
}

// Room for `records`, keeping the own records in front.
void Exchange::State::grow_arrivals(Channel& c, std::size_t records) {
  if (records * record_bytes <= c.arrivals.capacity()) return;
  AlignedBuffer<std::byte> larger(records * record_bytes * 5 / 4);  // so that it soon stops growing
  if (c.own_records > 0) std::memcpy(larger.data(), c.arrivals.data(), c.own_records * record_bytes);
  c.arrivals = std::move(larger);
}

// All counts are known: the records can travel.
void Exchange::State::begin_records(Channel& c) {
  grow_arrivals(c, c.own_records + sum(c.records_from));
  c.transfer = domain.start_all_to_all(c.departures.data(), c.records_to, received(c), c.records_from, record_bytes,
                                       index_of(c));
  c.phase = Phase::Dispatching;
}

// Waits for the transfer of `c`. Another channel whose counts come in meanwhile is not kept waiting.
void Exchange::State::finish(Channel& c) {
  for (Channel& other : channel)
    while (&other != &c && other.phase == Phase::Counting && !c.transfer.test()) {
      if (other.transfer.test())
        begin_records(other);
      else
        std::this_thread::yield();  // ranks may outnumber cores
    }
  c.transfer.wait();
}

ReceivedRows Exchange::receive_dispatch(int channel) {
  State& s = *state_;
  Timer timer(s.totals.seconds);
  expect(channel >= 0 && channel < channels, "exchange: channel is 0 or 1");
  Channel& c = s.channel[static_cast<std::size_t>(channel)];
  expect(c.phase == Phase::Counting || c.phase == Phase::Dispatching, "receive_dispatch: rows were sent");
  if (s.ranks > 1) {
    if (c.phase == Phase::Counting) s.finish(c), s.begin_records(c);
    s.finish(c);
  }
  s.list_pairs(c);
  c.phase = Phase::Received;
  ReceivedRows all;
  all.rows = s.ranks == 1 ? c.rows : reinterpret_cast<const bf16*>(c.arrivals.data());
  all.stride = s.ranks == 1 ? c.stride : s.record_bytes / sizeof(bf16);
  all.count = s.ranks == 1 ? c.count : c.own_records + sum(c.records_from);
  all.expert_begin = c.expert_begin;
  all.row = {c.pair_row.data(), c.pairs};
  all.place = {c.pair_place.data(), c.pairs};
  all.outputs = c.outputs.data();
  return all;
}

// Calls visit(source, row, local expert) for every pair in the order of the outputs.
template <class Visit>
void Exchange::State::for_each_pair(Channel& c, Visit&& visit) {
  if (ranks == 1) {
    for (std::size_t i = 0; i < c.picks.size(); ++i)
      visit(std::size_t{0}, static_cast<std::uint32_t>(i / picks), local[static_cast<std::size_t>(c.picks[i].value)]);
    return;
  }
  std::uint32_t row = 0;
  auto visit_records = [&](std::size_t source, std::uint32_t records) {
    for (std::uint32_t end = row + records; row < end; ++row) {
      const Tag* tag = tags(c.arrivals.data() + row * record_bytes);
      for (Tag i = 1; i <= tag[0]; ++i) visit(source, row, tag[i]);
    }
  };
  visit_records(static_cast<std::size_t>(rank), c.own_records);
  for (std::size_t r = 0; r < c.records_from.size(); ++r) visit_records(r, c.records_from[r]);
}

// Sorts the pairs by expert, by counting.
void Exchange::State::list_pairs(Channel& c) {
  std::fill(c.expert_begin.begin(), c.expert_begin.end(), 0);
  std::fill(c.pairs_back.begin(), c.pairs_back.end(), 0);
  for_each_pair(c, [&](std::size_t source, std::uint32_t, Tag expert) {
    expect(expert < local_experts, "receive_dispatch: a received row asks for an expert of this rank");
    ++c.expert_begin[expert];
    ++c.pairs_back[source];
  });
  c.pairs_back[static_cast<std::size_t>(rank)] = 0;
  std::exclusive_scan(c.expert_begin.begin(), c.expert_begin.end(), c.expert_begin.begin(), 0u);
  c.pairs = c.expert_begin.back();

  c.pair_row.reserve(c.pairs), c.pair_place.reserve(c.pairs);
  c.outputs.reserve((std::size_t{c.home} + c.pairs) * hidden);
  std::uint32_t place = c.home;
  for_each_pair(c, [&](std::size_t, std::uint32_t row, Tag expert) {
    std::uint32_t at = c.expert_begin[expert]++;
    c.pair_row[at] = row, c.pair_place[at] = place++;
  });
  // Filling moved every begin to its end, which is the next one's begin.
  std::copy_backward(c.expert_begin.begin(), c.expert_begin.end() - 1, c.expert_begin.end());
  c.expert_begin.front() = 0;
}

void Exchange::send_combine(int channel) {
  State& s = *state_;
  Timer timer(s.totals.seconds);
  Channel& c = s.at(channel, Phase::Received, "send_combine: the rows were received");
  c.phase = Phase::Combining;
  if (s.ranks == 1) return;
  bf16* go_back = c.outputs.data() + (std::size_t{c.home} + c.own_pairs) * s.hidden;
  c.transfer = s.domain.start_all_to_all(reinterpret_cast<const std::byte*>(go_back), c.pairs_back,
                                         reinterpret_cast<std::byte*>(c.outputs.data()), c.pairs_home,
                                         s.hidden * sizeof(bf16), channel);
  s.add_bytes(c.pairs_back, s.hidden * sizeof(bf16));
}

void Exchange::receive_combine(int channel, std::span<const float> weights, float* out, std::size_t out_stride) {
  State& s = *state_;
  Timer timer(s.totals.seconds);
  Channel& c = s.at(channel, Phase::Combining, "receive_combine: the outputs were sent");
  expect(weights.size() == c.count * s.picks, "receive_combine: a weight a pick");
  if (s.ranks > 1) s.finish(c);
  if (c.count > 0)
    cpu::weighted_sum(s.stream, c.outputs.data(), s.hidden, c.answer.data(), weights.data(), c.count, s.picks, s.hidden,
                      out, out_stride);
  c.phase = Phase::Idle;
}

void Exchange::progress() {
  State& s = *state_;
  if (s.ranks == 1) return;
  Timer timer(s.totals.seconds);
  for (Channel& c : s.channel)
    if (c.transfer.test() && c.phase == Phase::Counting) s.begin_records(c);
}

const ExchangeTotals& Exchange::totals() const { return state_->totals; }

std::uint64_t Exchange::workspace_bytes() const {
  std::uint64_t bytes = 0;
  for (const Channel& c : state_->channel) bytes += c.bytes();
  return bytes;
}

}  // namespace moemill::layers
