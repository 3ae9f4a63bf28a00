#include "support/mpi_main.hpp"
//
// The loop on several ranks: rows travel to the keepers of their shards. Every row is there once, whoever made it, also
// after a drain with rows on their way.
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "mill/run_for_tests.hpp"
#include "support/on_world.hpp"

using namespace moemill;
using namespace moemill::mill;
using namespace moemill::mill::in_tests;

namespace {

std::uint64_t rows_of_all(const Comm& world, const Run::Attempt& attempt) {
  return sum_over_ranks(world, attempt.totals).completions;
}

void check_all_rows(const Run& run) {
  run.world.barrier();
  if (run.world.rank() == 0) run.check_finished();
  run.world.barrier();
}

void make_all(Comm world) {
  for (std::uint64_t shard_prompts : {1, 2, 5}) {
    CAPTURE(shard_prompts);
    Run run(world, shard_prompts);
    FakeBackend backend(vocabulary);
    const Run::Attempt attempt = run.turn(backend);
    CHECK(attempt.end == MillEnd::Finished);
    CHECK(rows_of_all(world, attempt) == 20);
    const Totals all = sum_over_ranks(world, attempt.totals);
    CHECK(all.rows_failed == 8);
    CHECK(all.prompts_done == 3);
    CHECK(all.prompts_failed == 2);
    CHECK(all.generated_tokens == 12 * 9);
    check_all_rows(run);
  }
}

// One rank finds the stop file at some step; all save what is in flight with the keepers.
void drain_and_resume(Comm world) {
  for (std::size_t step : {1, 5, 9}) {
    CAPTURE(step);
    Run run(world, 5);  // one keeper
    const std::string file = run.paths.dir + "/halt";
    std::uint64_t made = 0, tokens = 0;
    for (int attempt = 0; attempt < 2; ++attempt) {
      FakeBackend backend(vocabulary);
      backend.on_step([&](std::size_t at) {
        if (attempt > 0 || at != step) return;
        if (world.rank() == world.size() - 1) std::ofstream(file) << "halt";
        std::this_thread::sleep_for(std::chrono::milliseconds(700));  // longer than between two looks for the file
      });
      const Run::Attempt got = run.turn(backend);
      CHECK(got.end == (attempt == 0 ? MillEnd::Drained : MillEnd::Finished));
      made += rows_of_all(world, got);
      tokens += sum_over_ranks(world, got.totals).generated_tokens;
      world.barrier();
      if (world.rank() == 0) std::filesystem::remove(file);
      world.barrier();
    }
    CHECK(made == 20);
    CHECK(tokens == 12 * 9);
    check_all_rows(run);
  }
}

}  // namespace

TEST_CASE("MPI ranks: every row goes to its shard's keeper") { moemill::test::on_world(make_all); }
TEST_CASE("MPI ranks: a drain ends when what is on its way has arrived") { moemill::test::on_world(drain_and_resume); }
