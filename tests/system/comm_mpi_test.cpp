#include "support/mpi_main.hpp"
//
#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "comm_cases.inl"
#include "support/on_world.hpp"
#include "support/temp_dir.hpp"
#include "system/comm/agree.hpp"

using namespace moemill;

namespace {

// A long letter may arrive only while its sender calls MPI, too. Here the sender calls nothing until the receiver has
// looked for the letter many times, which would never be if that waited for the letter.
void look_for_an_arriving_letter(Comm world) {
  if (world.size() < 2) return;
  const test::TempDir folder;
  const std::string looked = broadcast_text(world, folder.str(), 0) + "/looked";
  const std::vector<std::byte> letter(3'000'000, std::byte{7});
  const auto a_little = std::chrono::milliseconds(2);
  if (world.rank() == 1) {
    world.post(0, letter);
    for (int i = 0; !std::filesystem::exists(looked); ++i) {
      if (i == 15'000) throw std::runtime_error("a receiver waits for a letter that it only looks for");
      std::this_thread::sleep_for(a_little);
    }
  }
  if (world.rank() == 0) {
    std::optional<Comm::Letter> got;
    for (int i = 0; i < 50; ++i, std::this_thread::sleep_for(a_little))
      if (!got) got = world.next_letter();
    std::ofstream(looked) << "looked";
    while (!got) got = world.next_letter();
    CHECK(got->from == 1);
    CHECK(got->bytes == letter);
  }
  while (world.unsent_bytes() > 0) continue;
  world.barrier();
}

}  // namespace

TEST_CASE("MPI ranks: collectives") { test::on_world(test::check_collectives); }
TEST_CASE("MPI ranks: splits") { test::on_world(test::check_splits); }
TEST_CASE("MPI ranks: transfers") { test::on_world(test::check_transfers); }
TEST_CASE("MPI ranks: both channels at once") { test::on_world(test::check_both_channels); }
TEST_CASE("MPI ranks: a transfer of nothing") { test::on_world(test::check_transfer_of_nothing); }
TEST_CASE("MPI ranks: a long transfer") { test::on_world(test::check_long_transfer); }

TEST_CASE("MPI ranks: letters") { test::on_world(test::check_letters); }
TEST_CASE("MPI ranks: a letter that is arriving keeps nobody") { test::on_world(look_for_an_arriving_letter); }
TEST_CASE("MPI ranks: lanes") { test::on_world(test::check_lanes); }

TEST_CASE("MPI says what it is") { CHECK(MpiSession::library_version().find("MPI") != std::string::npos); }
