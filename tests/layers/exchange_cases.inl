// The test bodies of the exchange, run on loopback (exchange_test.cpp) and on MPI (exchange_mpi_test.cpp). Every rank
// makes all ranks' rows and picks from one seed, so it knows what it must receive and which outputs must come back.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "base/numbers/random.hpp"
#include "layers/on_cpu.hpp"
#include "support/placements.hpp"

namespace moemill::test {

struct ExchangeCase {
  std::uint32_t experts, picks, hidden;
  std::uint32_t most_rows;  // of one rank and dispatch
};

// What one rank dispatches in one round.
struct Batch {
  std::uint32_t count = 0;
  std::vector<bf16> rows;           // [count, hidden]
  std::vector<GlobalExpert> picks;  // [count, picks]
  std::vector<float> weights;       // [count, picks]
};

inline std::uint32_t draw(int round, int rank, std::uint64_t what) {
  return philox(static_cast<std::uint64_t>(round) << 8 | static_cast<std::uint64_t>(rank), what)[0];
}

// A third of the batches are empty; in every seventh round all are.
inline Batch make_batch(const ExchangeCase& shape, int round, int rank) {
  Batch b;
  bool empty = round % 7 == 6 || draw(round, rank, 0) % 3 == 0;
  b.count = empty ? 0 : draw(round, rank, 1) % (shape.most_rows + 1);
  for (std::uint32_t r = 0; r < b.count; ++r) {
    for (std::uint32_t i = 0; i < shape.hidden; ++i)
      b.rows.push_back({static_cast<std::uint16_t>(0x3f00 + draw(round, rank, 1000 + r * shape.hidden + i) % 0x100)});
    std::vector<std::int32_t> ids(shape.experts);
    for (std::uint32_t e = 0; e < shape.experts; ++e) ids[e] = static_cast<std::int32_t>(e);
    for (std::uint32_t p = 0; p < shape.picks; ++p) {
      std::uint32_t other = p + draw(round, rank, 1u << 30 | (r * shape.picks + p)) % (shape.experts - p);
      std::swap(ids[p], ids[other]);
      b.picks.push_back({ids[p]});
      b.weights.push_back(static_cast<float>(draw(round, rank, 1u << 31 | (r * shape.picks + p)) % 1000) / 999.0f);
    }
  }
  return b;
}

// A stand-in for an expert's work, different for every expert and element.
inline bf16 expert_output(bf16 x, GlobalExpert expert, std::uint32_t i) {
  return to_bf16(to_float(x) * static_cast<float>(expert.value + 1) + static_cast<float>(i % 5));
}

inline std::vector<int> nodes_of_two(int ranks) {
  std::vector<int> nodes;
  for (int r = 0; r < ranks; ++r) nodes.push_back(r / 2);
  return nodes;
}

// One rank of a domain that goes through rounds, on two channels.
template <class On>
class ExchangeTester {
 public:
  ExchangeTester(Comm comm, const ExchangeCase& shape, Spread spread)
      : comm_(comm),
        shape_(shape),
        placement_({layer_placement_for(shape.experts, static_cast<std::uint32_t>(comm.size()), spread)}),
        exchange_(stream_, comm, placement_, shape.hidden, shape.picks, nodes_of_two(comm.size())) {}

  void send(int channel, int round) {
    auto& all = all_[static_cast<std::size_t>(channel)];
    all.clear();
    for (int r = 0; r < comm_.size(); ++r) all.push_back(make_batch(shape_, round, r));
    const Batch& mine = all[static_cast<std::size_t>(comm_.rank())];
    exchange_.begin_dispatch(channel, {0}, {mine.rows.data(), mine.count, shape_.hidden},
                             {mine.picks.data(), mine.count, shape_.picks});
    expect_sent(mine);
  }

  void compute(int channel) {
    const auto received = exchange_.finish_dispatch(channel);
    check_received(received, all_[static_cast<std::size_t>(channel)]);
    const auto slots = placement_.layer({0}).slots(me());
    for (std::size_t s = 0; s < slots.size(); ++s)
      for (std::size_t p = received.expert_begin.data[s]; p < received.expert_begin.data[s + 1]; ++p)
        for (std::uint32_t i = 0; i < shape_.hidden; ++i)
          received.outputs.row(received.place.data[p])[i] =
              expert_output(received.rows.row(received.row.data[p])[i], slots[s], i);
    const std::size_t own =
        all_[static_cast<std::size_t>(channel)][static_cast<std::size_t>(comm_.rank())].picks.size();
    expected_.pairs += received.row.size;
    expected_.uneven_pairs += std::max(received.row.size, own) - std::min(received.row.size, own);
    for (std::size_t s = 0; s < slots.size(); ++s)
      expected_.experts_touched += received.expert_begin.data[s + 1] > received.expert_begin.data[s] ? 1 : 0;
    exchange_.begin_combine(channel);
    expect_returned(all_[static_cast<std::size_t>(channel)]);
  }

  void come_home(int channel) {
    const Batch& mine = all_[static_cast<std::size_t>(channel)][static_cast<std::size_t>(comm_.rank())];
    std::size_t stride = shape_.hidden + 3;
    std::vector<float> out(mine.count * stride, 0.25f), expected = out;
    exchange_.finish_combine(channel, {mine.weights.data(), mine.count, shape_.picks},
                             {out.data(), mine.count, shape_.hidden, stride});
    for (std::uint32_t r = 0; r < mine.count; ++r)
      for (std::uint32_t i = 0; i < shape_.hidden; ++i)
        for (std::uint32_t p = 0; p < shape_.picks; ++p) {
          std::size_t pick = std::size_t{r} * shape_.picks + p;
          bf16 y = expert_output(mine.rows[std::size_t{r} * shape_.hidden + i], mine.picks[pick], i);
          float& sum = expected[r * stride + i];
          sum = std::fma(mine.weights[pick], to_float(y), sum);
        }
    CHECK(out == expected);
  }

  void progress() { exchange_.progress(); }

  void check_totals() const {
    const layers::ExchangeTotals t = exchange_.totals();
    CHECK(t.rows_sent == expected_.rows_sent);
    CHECK(t.rows_deduplicated == expected_.rows_deduplicated);
    // A record is the row, a count and k slots of 2 bytes each, rounded up to 16 bytes.
    std::uint64_t record = (shape_.hidden * 2 + (1 + shape_.picks) * 2 + 15) / 16 * 16;
    CHECK(t.intra_node_bytes == intra_.records * record + intra_.outputs * shape_.hidden * 2);
    CHECK(t.inter_node_bytes == inter_.records * record + inter_.outputs * shape_.hidden * 2);
    CHECK(t.seconds >= 0);
    CHECK(t.pairs == expected_.pairs);
    CHECK(t.experts_touched == expected_.experts_touched);
    CHECK(t.uneven_pairs == expected_.uneven_pairs);
  }

 private:
  struct Traffic {
    std::uint64_t records = 0, outputs = 0;
  };
  DomainRank me() const { return {comm_.rank()}; }
  // The source itself if it holds the expert, else the lowest rank that does.
  DomainRank computes(GlobalExpert expert, DomainRank source) const {
    for (std::int32_t i = -1; i < comm_.size(); ++i) {
      const DomainRank rank = i < 0 ? source : DomainRank{i};
      const auto slots = placement_.layer({0}).slots(rank);
      if (std::find(slots.begin(), slots.end(), expert) != slots.end()) return rank;
    }
    FAIL("an expert without a holder");
    return {-1};
  }
  Traffic& traffic_to(DomainRank rank) { return rank.value / 2 == comm_.rank() / 2 ? intra_ : inter_; }

  void expect_sent(const Batch& mine) {
    for (std::uint32_t r = 0; r < mine.count; ++r) {
      std::map<DomainRank, int> picks_at;
      for (std::uint32_t p = 0; p < shape_.picks; ++p) ++picks_at[computes(mine.picks[r * shape_.picks + p], me())];
      picks_at.erase(me());
      for (auto [rank, picks] : picks_at) {
        ++expected_.rows_sent;
        expected_.rows_deduplicated += static_cast<std::uint64_t>(picks - 1);
        ++traffic_to(rank).records;
      }
    }
  }
  void expect_returned(const std::vector<Batch>& all) {
    for (int r = 0; r < comm_.size(); ++r)
      for (GlobalExpert e : all[static_cast<std::size_t>(r)].picks)
        if (r != comm_.rank() && computes(e, {r}) == me()) ++traffic_to({r}).outputs;
  }

  // Every slot gets the rows of all ranks that picked its expert and chose this rank, own rows first, then by rank and
  // row; every output has a place of its own.
  void check_received(const layers::ReceivedRows<>& received, const std::vector<Batch>& all) const {
    std::vector<int> sources{comm_.rank()};
    for (int r = 0; r < comm_.size(); ++r)
      if (r != comm_.rank()) sources.push_back(r);
    const auto slots = placement_.layer({0}).slots(me());
    REQUIRE(received.expert_begin.size == slots.size() + 1);
    CHECK(received.expert_begin.data[slots.size()] == received.row.size);
    bool same = true;
    std::size_t pair = 0;
    for (std::size_t s = 0; s < slots.size(); ++s) {
      CHECK(received.expert_begin.data[s] == pair);
      for (int source : sources) {
        const Batch& theirs = all[static_cast<std::size_t>(source)];
        for (std::size_t i = 0; i < theirs.picks.size(); ++i) {
          if (theirs.picks[i] != slots[s] || computes(slots[s], {source}) != me()) continue;
          if (pair == received.row.size) {
            FAIL_CHECK("a row is missing");
            return;
          }
          const bf16* sent = theirs.rows.data() + i / shape_.picks * shape_.hidden;
          same = same && received.row.data[pair] < received.rows.rows &&
                 std::equal(sent, sent + shape_.hidden, received.rows.row(received.row.data[pair]));
          ++pair;
        }
      }
    }
    CHECK(same);
    CHECK(pair == received.row.size);
    std::vector<std::uint32_t> places(received.place.data, received.place.data + received.place.size);
    std::sort(places.begin(), places.end());
    CHECK(std::adjacent_find(places.begin(), places.end()) == places.end());
  }

  typename On::Backend::Stream stream_ = On::stream();
  Comm comm_;
  ExchangeCase shape_;
  model::Placement placement_;
  typename On::Backend::Exchange exchange_;
  std::array<std::vector<Batch>, 2> all_;  // by channel: every rank's batch
  layers::ExchangeTotals expected_;
  Traffic intra_, inter_;
};

// One layer after the other on one channel.
template <class On>
void check_rounds(Comm comm, const ExchangeCase& shape, Spread spread) {
  ExchangeTester<On> tester(comm, shape, spread);
  for (int round = 0; round < 15; ++round) {
    tester.send(0, round);
    tester.compute(0);
    tester.come_home(0);
  }
  tester.check_totals();
}

// Two micro-batches in the block's order, each travelling while the other computes, with progress called in between by
// some ranks and not by others.
template <class On>
void check_overlap(Comm comm, const ExchangeCase& shape, Spread spread) {
  ExchangeTester<On> tester(comm, shape, spread);
  auto maybe_progress = [&](int step) {
    for (int i = 0; i < (step * 7 + comm.rank() * 3) % 4; ++i) tester.progress();
  };
  tester.send(0, 100);
  for (int round = 100; round < 115; ++round) {
    tester.send(1, 1000 + round);
    maybe_progress(round);
    tester.compute(0);
    maybe_progress(round + 1);
    tester.compute(1);
    maybe_progress(round + 2);
    tester.come_home(0);
    if (round + 1 < 115) tester.send(0, round + 1);
    tester.come_home(1);
  }
  tester.check_totals();
}

inline const std::vector<ExchangeCase>& exchange_cases() {
  static const std::vector<ExchangeCase> cases{
      {8, 2, 16, 20},    // even
      {7, 3, 24, 33},    // experts do not divide
      {3, 2, 40, 9},     // fewer experts than ranks
      {1, 1, 8, 5},      // one expert for all
      {32, 8, 100, 70},  // many picks, several on one rank
      {5, 5, 17, 12},    // every expert, odd row length
  };
  return cases;
}

template <class On>
void check_exchange(Comm comm) {
  for (const ExchangeCase& shape : exchange_cases()) {
    CAPTURE(shape.experts);
    for (Spread spread : {Spread::Slices, Spread::Shuffled, Spread::SomeTwice}) {
      check_rounds<On>(comm, shape, spread);
      check_overlap<On>(comm, shape, spread);
    }
  }
}

}  // namespace moemill::test
