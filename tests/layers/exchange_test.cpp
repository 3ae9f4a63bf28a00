#include <stdexcept>

#include "base/error.hpp"
#include "exchange_cases.inl"

using namespace moemill;
using test::OnCpu;

namespace {
model::Placement one_rank_of_four() { return model::Placement({model::contiguous_slices(4, 1)}); }
}  // namespace

TEST_CASE_TEMPLATE("rows travel to their experts and back on loopback ranks", On, OnCpu) {
  for (int ranks = 1; ranks <= 5; ++ranks) {
    CAPTURE(ranks);
    run_loopback(ranks, test::check_exchange<On>);
  }
}

TEST_CASE_TEMPLATE("a domain of one rank computes on the caller's rows in place", On, OnCpu) {
  auto stream = On::stream();
  typename On::Backend::Exchange exchange(stream, Comm::alone(), one_rank_of_four(), 8, 2, std::vector<int>{0});
  std::vector<bf16> rows(3 * 8);
  std::vector<GlobalExpert> picks{{0}, {3}, {1}, {0}, {3}, {2}};
  exchange.begin_dispatch(0, {0}, {rows.data(), 3, 8}, {picks.data(), 3, 2});
  const auto received = exchange.finish_dispatch(0);
  CHECK(received.rows.data == rows.data());
  CHECK(received.rows.stride == 8);
  CHECK(std::vector<std::uint32_t>(received.row.data, received.row.data + received.row.size) ==
        std::vector<std::uint32_t>{0, 1, 1, 2, 0, 2});
}

TEST_CASE_TEMPLATE("one rank's exception in the middle of an exchange ends all ranks", On, OnCpu) {
  auto body = [](Comm comm) {
    test::ExchangeTester<On> tester(comm, {8, 2, 16, 20}, test::Spread::Slices);
    for (int round = 0; round < 5; ++round) {
      tester.send(0, round);
      if (round == 3 && comm.rank() == 1) throw std::runtime_error("rank 1 broke");
      tester.compute(0);
      tester.come_home(0);
    }
  };
  CHECK_THROWS_WITH_AS(run_loopback(3, body), "rank 1 broke", std::runtime_error);
}

TEST_CASE_TEMPLATE("halves out of order are contract violations", On, OnCpu) {
  auto stream = On::stream();
  typename On::Backend::Exchange exchange(stream, Comm::alone(), one_rank_of_four(), 8, 2, std::vector<int>{0});
  std::vector<GlobalExpert> picks{{0}, {1}};
  std::vector<bf16> row(8);
  CHECK_THROWS_AS(exchange.finish_dispatch(0), ContractViolation);
  CHECK_THROWS_AS(exchange.begin_combine(0), ContractViolation);
  CHECK_THROWS_AS(exchange.finish_combine(0, {}, {}), ContractViolation);
  CHECK_THROWS_AS(exchange.begin_dispatch(2, {0}, {row.data(), 1, 8}, {picks.data(), 1, 2}), ContractViolation);
  CHECK_THROWS_AS(exchange.begin_dispatch(0, {0}, {row.data(), 2, 8}, {picks.data(), 1, 2}), ContractViolation);
  exchange.begin_dispatch(0, {0}, {row.data(), 1, 8}, {picks.data(), 1, 2});
  CHECK_THROWS_AS(exchange.begin_dispatch(0, {0}, {row.data(), 1, 8}, {picks.data(), 1, 2}), ContractViolation);
}
