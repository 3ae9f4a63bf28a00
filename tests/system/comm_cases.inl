// The test bodies of Comm, run on loopback (comm_test.cpp) and on MPI (comm_mpi_test.cpp). A round's seed determines
// what all ranks send, so that each rank can check what it receives.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/numbers/random.hpp"
#include "system/comm/comm.hpp"

namespace moemill::test {
namespace {

using Bytes = std::vector<std::byte>;
using Counts = std::vector<std::uint32_t>;

// The bytes that `from` sends to `to` in a round.
std::uint32_t units_between(int round, int from, int to, std::uint32_t most) {
  std::uint32_t draw =
      philox(static_cast<std::uint64_t>(round), static_cast<std::uint64_t>(from), static_cast<std::uint64_t>(to))[0];
  return draw % 4 == 0 ? 0 : draw / 4 % (most + 1);
}
std::byte byte_between(int round, int from, int to, std::size_t i) {
  std::size_t x = i * 31 + static_cast<std::size_t>(round * 101 + from * 17 + to * 7);
  return static_cast<std::byte>(x ^ (x >> 8));
}
void append_block(Bytes& bytes, int round, int from, int to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) bytes.push_back(byte_between(round, from, to, i));
}

// One all-to-all of a round, as this rank sees it.
struct Round {
  Bytes send, receive, expected;
  Counts send_units, receive_units;
  std::size_t unit_bytes;

  Round(const Comm& comm, int round, std::uint32_t most_units, std::size_t unit) : unit_bytes(unit) {
    int me = comm.rank();
    for (int r = 0; r < comm.size(); ++r) {
      send_units.push_back(units_between(round, me, r, most_units));
      receive_units.push_back(units_between(round, r, me, most_units));
      append_block(send, round, me, r, send_units.back() * unit);
      append_block(expected, round, r, me, receive_units.back() * unit);
    }
    receive.resize(expected.size());
  }
  Comm::Transfer start(const Comm& comm, int channel) {
    return comm.start_all_to_all(send.data(), send_units, receive.data(), receive_units, unit_bytes, channel);
  }
};

}  // namespace

inline void check_transfers(Comm comm);

// Every rank posts letters of many lengths to every rank, itself included; each arrives once and in order.
inline void check_letters(Comm comm) {
  constexpr int letters = 6;  // to each rank
  const std::size_t lengths[letters] = {0, 1, 100, 70'000, 3'000'000, 5};
  const int me = comm.rank(), size = comm.size();
  for (int i = 0; i < letters; ++i) {
    for (int to = 0; to < size; ++to) {
      Bytes letter;
      append_block(letter, i, me, to, lengths[i]);
      comm.post(to, std::move(letter));
    }
  }
  std::vector<int> next(static_cast<std::size_t>(size));  // [senders] number of the next letter
  for (int left = letters * size; left > 0;) {
    const auto letter = comm.next_letter();
    comm.unsent_bytes();
    if (!letter) continue;
    int& number = next.at(static_cast<std::size_t>(letter->from));
    REQUIRE(number < letters);
    Bytes expected;
    append_block(expected, number, letter->from, me, lengths[number]);
    CHECK(letter->bytes == expected);
    ++number, --left;
  }
  comm.barrier();
  CHECK(comm.unsent_bytes() == 0);
  CHECK_FALSE(comm.next_letter());
}

inline void check_collectives(Comm comm) {
  int me = comm.rank(), size = comm.size();
  comm.barrier();
  for (int round = 0; round < 20; ++round) {
    std::uint64_t mine = static_cast<std::uint64_t>(me * 1000 + round);
    std::vector<std::uint64_t> all(static_cast<std::size_t>(size));
    comm.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
    for (int r = 0; r < size; ++r)
      CHECK(all[static_cast<std::size_t>(r)] == static_cast<std::uint64_t>(r * 1000 + round));

    int root = round % size;
    Bytes data;
    append_block(data, round, root, 0, static_cast<std::size_t>(round) * 97);  // round 0 sends nothing
    Bytes got = comm.broadcast(me == root ? std::span<const std::byte>(data) : std::span<const std::byte>(), root);
    CHECK(got == data);
  }
}

inline void check_splits(Comm comm) {
  int me = comm.rank(), size = comm.size();
  // Splits odd and even ranks, in reverse order, twice, and once within the parts, so that mixed-up groups are
  // detected.
  for (int repeat = 0; repeat < 2; ++repeat) {
    Comm part = comm.split(me % 2, -me);
    CHECK(part.size() == (size + (me % 2 == 0 ? 1 : 0)) / 2);
    std::vector<int> all(static_cast<std::size_t>(part.size()));
    part.all_gather(std::as_bytes(std::span(&me, 1)), std::as_writable_bytes(std::span(all)));
    for (std::size_t i = 0; i < all.size(); ++i) {
      CHECK(all[i] % 2 == me % 2);
      if (i > 0) CHECK(all[i - 1] > all[i]);
    }
    CHECK(all[static_cast<std::size_t>(part.rank())] == me);
    Comm alone = part.split(part.rank(), 0);
    CHECK(alone.size() == 1);
    check_transfers(part);
  }
  Comm node = comm.split_by_node();
  CHECK(node.size() == size);  // tests run on one node
  CHECK(node.rank() == me);
}

inline void check_transfers(Comm comm) {
  int round = 0;
  for (std::size_t unit : {1u, 4u, 48u, 2064u})
    for (int repeat = 0; repeat < 10; ++repeat, ++round) {
      Round r(comm, round, 40, unit);
      Comm::Transfer transfer = r.start(comm, round % 2);
      if (repeat % 2 == 0) {
        while (!transfer.test()) {
        }
        CHECK(transfer.test());
      }
      transfer.wait();
      CHECK(r.receive == r.expected);
    }
}

// Each rank sends every other one a message of a length that the receiver does not know, or an empty one, on two lanes
// of different units, round after round; room is made known ahead of it.
inline void check_lanes(Comm comm) {
  const Comm own = comm.split(0, comm.rank());
  const std::size_t unit_bytes[] = {48, 6};
  const int me = own.rank(), size = own.size();
  constexpr std::uint32_t most = 3000;
  std::vector<Bytes> places(2 * static_cast<std::size_t>(size));  // of the lane and the sender
  const auto place = [&](int lane, int from) -> Bytes& { return places[static_cast<std::size_t>(lane * size + from)]; };
  const auto post = [&](int lane) {
    for (int r = 0; r < size; ++r) {
      place(lane, r).assign(most * unit_bytes[lane], std::byte{0});
      if (r != me) own.post_receive(lane, r, place(lane, r).data(), most);
    }
  };
  for (int lane : {0, 1}) own.open_lane(lane, unit_bytes[lane]), post(lane);
  for (int round = 0; round < 6; ++round) {
    std::vector<Bytes> sent(2 * static_cast<std::size_t>(size));
    for (int lane : {1, 0}) {
      for (int r = 0; r < size; ++r) {
        const std::uint32_t units = units_between(2 * round + lane, me, r, most);
        Bytes& bytes = sent[static_cast<std::size_t>(lane * size + r)];
        append_block(bytes, 2 * round + lane, me, r, units * unit_bytes[lane]);
        if (r != me) own.post_send(lane, r, bytes.data(), units);
      }
    }
    for (int lane : {0, 1}) {
      while (!own.test_receives(lane)) own.test_sends(1 - lane);
      const auto received = own.units_received(lane);
      REQUIRE(received.size() == static_cast<std::size_t>(size - 1));
      for (int r = 0, next = 0; r < size; ++r) {
        if (r == me) continue;
        Bytes expected;
        const std::uint32_t units = units_between(2 * round + lane, r, me, most);
        append_block(expected, 2 * round + lane, r, me, units * unit_bytes[lane]);
        CHECK(received[static_cast<std::size_t>(next++)] == units);
        CHECK(std::equal(expected.begin(), expected.end(), place(lane, r).begin()));
        CHECK(std::all_of(place(lane, r).begin() + static_cast<std::ptrdiff_t>(expected.size()), place(lane, r).end(),
                          [](std::byte b) { return b == std::byte{0}; }));
      }
      while (!own.test_sends(lane)) own.test_receives(lane);
      own.barrier();  // so that nobody's next message is taken for one of this round
      post(lane);
    }
  }
  for (int lane : {0, 1}) own.cancel_receives(lane);
}

// Two transfers are in flight and finish in either order.
inline void check_both_channels(Comm comm) {
  for (int round = 100; round < 130; ++round) {
    Round a(comm, 2 * round, 30, 2048), b(comm, 2 * round + 1, 30, 256);
    Comm::Transfer ta = a.start(comm, 0);
    Comm::Transfer tb = b.start(comm, 1);
    // Ranks finish in different orders, with a collective in between.
    bool a_first = (round + comm.rank()) % 2 == 0;
    (a_first ? ta : tb).wait();
    comm.barrier();
    (a_first ? tb : ta).wait();
    CHECK(a.receive == a.expected);
    CHECK(b.receive == b.expected);
  }
}

inline void check_transfer_of_nothing(Comm comm) {
  Counts none(static_cast<std::size_t>(comm.size()), 0);
  Comm::Transfer transfer = comm.start_all_to_all(nullptr, none, nullptr, none, 16, 0);
  CHECK(transfer.test());
  Comm::Transfer never;
  never.wait();
  CHECK(never.test());
}

// A transfer far above every eager limit.
inline void check_long_transfer(Comm comm) {
  Round r(comm, 7, 3000, 1000);
  r.start(comm, 1).wait();
  CHECK(r.receive == r.expected);
}

}  // namespace moemill::test
