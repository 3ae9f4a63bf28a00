#include "support/mpi_main.hpp"
//
#include "exchange_cases.inl"
#include "moe_cases.inl"
#include "support/on_world.hpp"

using namespace moemill;
using test::OnCpu;

TEST_CASE_TEMPLATE("rows travel to their experts and back on MPI ranks", On, OnCpu) {
  test::on_world(test::check_exchange<On>);
}

TEST_CASE_TEMPLATE("a routed layer gives the same bytes on any number of MPI ranks", On, OnCpu) {
  test::on_world(test::check_moe_layer<On>);
}
