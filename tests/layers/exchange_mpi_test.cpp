#include "support/mpi_main.hpp"
//
#include "exchange_cases.inl"
#include "moe_cases.inl"
#include "support/on_world.hpp"

using namespace moemill;

TEST_CASE("rows travel to their experts and come home on MPI ranks") { test::on_world(test::check_exchange); }

TEST_CASE("a routed layer gives the same bytes on any number of MPI ranks") { test::on_world(test::check_moe_layer); }
