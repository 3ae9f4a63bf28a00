#include "system/comm/comm.hpp"

#include <atomic>
#include <stdexcept>
#include <string>

#include "base/error.hpp"
#include "comm_cases.inl"

using namespace moemill;

TEST_CASE("loopback ranks: collectives, splits and transfers") {
  for (int ranks = 1; ranks <= 5; ++ranks) {
    CAPTURE(ranks);
    run_loopback(ranks, test::check_collectives);
    run_loopback(ranks, test::check_splits);
    run_loopback(ranks, test::check_transfers);
    run_loopback(ranks, test::check_both_channels);
    run_loopback(ranks, test::check_transfer_of_nothing);
    run_loopback(ranks, test::check_long_transfer);
    run_loopback(ranks, test::check_letters);
    run_loopback(ranks, test::check_lanes);
  }
}

TEST_CASE("one rank alone needs no MPI") {
  Comm alone = Comm::alone();
  CHECK(alone.rank() == 0);
  CHECK(alone.size() == 1);
  test::check_collectives(alone);
  test::check_splits(alone);
  test::check_transfers(alone);
  test::check_both_channels(alone);
  test::check_letters(alone);
}

TEST_CASE("a loopback rank that throws ends all ranks with its exception") {
  // Rank 2 of 4 throws while the remaining ranks wait in every kind of call.
  std::atomic<int> stopped = 0;
  auto others_wait_in = [&](auto&& call) {
    stopped = 0;
    auto body = [&](Comm comm) {
      if (comm.rank() == 2) throw std::runtime_error("rank 2 broke");
      try {
        for (;;) call(comm);
      } catch (const SystemError&) {
        ++stopped;
        // a later call throws as well
        CHECK_THROWS_AS(comm.barrier(), SystemError);
        throw;
      }
    };
    CHECK_THROWS_WITH_AS(run_loopback(4, body), "rank 2 broke", std::runtime_error);
    CHECK(stopped == 3);
  };
  std::vector<std::uint32_t> one(4, 1), from(4);
  others_wait_in([](Comm& c) { c.barrier(); });
  others_wait_in([](Comm& c) { c.broadcast({}, 2); });
  others_wait_in([](Comm& c) { c.split(0, 0); });
  others_wait_in([&](Comm& c) {
    std::vector<std::byte> send(4), receive(4);
    c.start_all_to_all(send.data(), one, receive.data(), one, 1, 0).wait();
  });
  others_wait_in([&](Comm& c) {
    std::vector<std::byte> send(4), receive(4);
    auto transfer = c.start_all_to_all(send.data(), one, receive.data(), one, 1, 1);
    while (!transfer.test()) {
    }
  });
  others_wait_in([](Comm& c) { c.next_letter(); });
}

TEST_CASE("a loopback rank that leaves early does not leave the others waiting") {
  auto body = [](Comm comm) {
    if (comm.rank() == 0) return;
    comm.barrier();
  };
  CHECK_THROWS_AS(run_loopback(3, body), SystemError);
}

TEST_CASE("misuse of a transfer is a contract violation") {
  Comm alone = Comm::alone();
  std::vector<std::uint32_t> one(1, 1), two(2, 1);
  std::byte from{}, to{};
  CHECK_THROWS_AS((void)alone.start_all_to_all(&from, two, &to, one, 1, 0), ContractViolation);
  CHECK_THROWS_AS((void)alone.start_all_to_all(&from, one, &to, one, 1, 2), ContractViolation);
  CHECK_THROWS_AS((void)alone.start_all_to_all(&from, one, &to, one, 0, 0), ContractViolation);
  auto transfer = alone.start_all_to_all(&from, one, &to, one, 1, 0);
  CHECK_THROWS_AS((void)alone.start_all_to_all(&from, one, &to, one, 1, 0), ContractViolation);
  transfer.wait();
}
