#include <stdexcept>

#include "base/error.hpp"
#include "exchange_cases.inl"

using namespace moemill;
using test::OnCpu;

namespace {

// Rows of 8 values on a rank that is alone with four experts.
template <class On>
struct Alone {
  typename On::Backend::Stream stream = On::stream();
  typename On::Backend::Exchange exchange{stream, layers::join_alone({8, 2, 4, 3, 2}),
                                          model::Placement({model::contiguous_slices(4, 1)})};
};

}  // namespace

TEST_CASE_TEMPLATE("rows travel to their experts and back on loopback ranks", On, OnCpu) {
  for (int ranks = 1; ranks <= 5; ++ranks) {
    CAPTURE(ranks);
    run_loopback(ranks, test::check_exchange<On>);
  }
}

TEST_CASE_TEMPLATE("a domain of one rank lists its rows where they lie and sends nothing", On, OnCpu) {
  Alone<On> alone;
  std::vector<GlobalExpert> picks{{0}, {3}, {1}, {0}, {3}, {2}};
  const std::vector<float> weights(6, 1.0f);
  alone.exchange.begin_dispatch(0, {0}, {picks.data(), 3, 2}, {weights.data(), 3, 2});
  const auto received = alone.exchange.finish_dispatch(0);
  CHECK(received.rows.data == alone.exchange.rows(0).data);
  CHECK(std::vector<std::uint32_t>(received.row.data, received.row.data + received.row.size) ==
        std::vector<std::uint32_t>{0, 1, 1, 2, 0, 2});
  CHECK(alone.exchange.totals().messages == 0);
}

TEST_CASE_TEMPLATE("one rank's exception in the middle of an exchange ends all ranks", On, OnCpu) {
  for (const test::Together together : {test::Together{1, 1}, test::Together{2, 2}, test::Together{3, 3}}) {
    auto body = [&](Comm comm) {
      test::ExchangeTester<On> tester(comm, {8, 2, 16, 20}, test::Spread::Slices, together);
      for (int round = 0; round < 5; ++round) {
        tester.send(0, round);
        if (round == 3 && comm.rank() == 1) throw std::runtime_error("rank 1 broke");
        tester.compute(0);
        tester.come_home(0);
      }
    };
    CHECK_THROWS_WITH_AS(run_loopback(3, body), "rank 1 broke", std::runtime_error);
  }
}

TEST_CASE_TEMPLATE("halves out of order are contract violations", On, OnCpu) {
  Alone<On> alone;
  std::vector<GlobalExpert> picks(8);
  const std::vector<float> weights(8);
  const auto of = [&](std::size_t rows, std::size_t width) { return Rows<const float>(weights.data(), rows, width); };
  CHECK_THROWS_AS(alone.exchange.finish_dispatch(0), ContractViolation);
  CHECK_THROWS_AS(alone.exchange.begin_combine(0), ContractViolation);
  CHECK_THROWS_AS(alone.exchange.finish_combine(0, {}), ContractViolation);
  CHECK_THROWS_AS(alone.exchange.begin_dispatch(2, {0}, {picks.data(), 1, 2}, of(1, 2)), ContractViolation);
  CHECK_THROWS_AS(alone.exchange.begin_dispatch(0, {0}, {picks.data(), 2, 1}, of(2, 1)), ContractViolation);
  CHECK_THROWS_AS(alone.exchange.begin_dispatch(0, {0}, {picks.data(), 4, 2}, of(4, 2)),
                  ContractViolation);  // three at most
  CHECK_THROWS_AS(alone.exchange.begin_dispatch(0, {0}, {picks.data(), 1, 2}, {}), ContractViolation);
  alone.exchange.begin_dispatch(0, {0}, {picks.data(), 1, 2}, of(1, 2));
  CHECK_THROWS_AS(alone.exchange.begin_dispatch(0, {0}, {picks.data(), 1, 2}, of(1, 2)), ContractViolation);
}
