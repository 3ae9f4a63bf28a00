#include "support/mpi_main.hpp"
//
#include "comm_cases.inl"
#include "support/on_world.hpp"

using namespace moemill;

TEST_CASE("MPI ranks: collectives") { test::on_world(test::check_collectives); }
TEST_CASE("MPI ranks: splits") { test::on_world(test::check_splits); }
TEST_CASE("MPI ranks: transfers") { test::on_world(test::check_transfers); }
TEST_CASE("MPI ranks: both channels at once") { test::on_world(test::check_both_channels); }
TEST_CASE("MPI ranks: a transfer of nothing") { test::on_world(test::check_transfer_of_nothing); }
TEST_CASE("MPI ranks: a long transfer") { test::on_world(test::check_long_transfer); }

TEST_CASE("MPI ranks: letters") { test::on_world(test::check_letters); }

TEST_CASE("MPI says what it is") { CHECK(MpiSession::library_version().find("MPI") != std::string::npos); }
