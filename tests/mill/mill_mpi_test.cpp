#include "support/mpi_main.hpp"
//
// The loop on several ranks: rows travel to the keepers of their shards. Every row is there once, whoever made it, also
// after a drain with rows on their way, and a keeper that fails ends the job on all ranks.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
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
  for (const std::pair<int, int>& one : {std::pair(1, 0), {2, 0}, {5, 0}, {1, 1}, {5, 1}, {2, 2}}) {
    const int shard_prompts = one.first, ranks_of_domain = one.second;
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
  for (const std::pair<std::size_t, int>& one : {std::pair(std::size_t{1}, 0), {9, 0}, {1, 1}, {3, 2}}) {
    const std::size_t step = one.first;
    const int ranks_of_domain = one.second;
    CAPTURE(step);
    Run run(world, 5);  // one keeper
    const std::string file = run.paths.dir + "/halt";
    std::uint64_t made = 0, tokens = 0;
    for (int attempt = 0; attempt < 2; ++attempt) {
      FakeBackend backend(vocabulary);
      backend.on_step([&](std::size_t at) {
        if (attempt > 0 || at != step) return;
        // In a domain of its own a rank may get no work, so that it takes no steps: there all do it.
        if (world.rank() == world.size() - 1 || run.domain.size() < world.size()) std::ofstream(file) << "halt";
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

// Rows in the journals and files of a run; collective, so that no rank changes them meanwhile.
std::uint64_t stored_rows(const Run& run) {
  run.world.barrier();
  std::uint64_t rows = 0;
  const auto list = dataset::list_run(run.paths);
  for (ShardId shard : list.journals)
    rows += dataset::index_journal(run.paths.journal(shard), run.manifest.run_id, shard).rows.size();
  for (ShardId shard : list.finished) rows += dataset::OutputReader(run.paths.shard(shard)).rows();
  run.world.barrier();
  return rows;
}

void check_resume(Run& run, std::uint64_t stored) {
  FakeBackend backend(vocabulary);
  const Run::Attempt attempt = run.turn(backend);
  CHECK(attempt.end == MillEnd::Finished);
  CHECK(rows_of_all(run.world, attempt) == 20 - stored);
  check_all_rows(run);
}

// Something is where a shard's file would be written, so its keeper fails once all rows of the shard are there.
void keeper_without_room_for_a_file(Comm world) {
  for (const std::pair<int, int>& one : {std::pair(0, 0), {1, 0}, {2, 0}, {0, 1}, {2, 1}, {1, 2}}) {
    const int shard = one.first, ranks_of_domain = one.second;
    CAPTURE(shard);
    Run run(world);
    const std::string in_the_way = files::temporary_name(run.paths.shard({shard}));  // each process has its own
    std::filesystem::create_directories(in_the_way + "/folder");
    FakeBackend backend(vocabulary);
    const std::string name = "shard-00000" + std::to_string(shard);
    CHECK_THROWS_WITH_AS(run.turn(backend), doctest::Contains(name.c_str()), AgreedFailure);
    const std::uint64_t stored = stored_rows(run);
    CHECK(stored >= (shard == 2 ? 4u : 8u));  // the shard itself was complete
    std::filesystem::remove_all(in_the_way);
    check_resume(run, stored);
  }
}

// Lets no file of this process grow beyond `bytes`, as a full disk would; until the end of its scope.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
};

// The journal of the only shard cannot grow: its keeper, rank 0, fails while rows are on their way to it.
void keeper_without_room_for_its_journal(Comm world) {
  std::signal(SIGXFSZ, SIG_IGN);
  for (const std::pair<rlim_t, int>& one : {std::pair(rlim_t{10}, 0), {400, 0}, {1000, 0}, {400, 1}, {10, 2}}) {
    const rlim_t most_bytes = one.first;
    const int ranks_of_domain = one.second;
    CAPTURE(most_bytes);
    Run run(world, 5);
    std::optional<FullDisk> full;
    FakeBackend backend(vocabulary);
    backend.on_step([&](std::size_t at) {
      if (at == 1 && world.rank() == 0) full.emplace(most_bytes);
    });
    CHECK_THROWS_WITH_AS(run.turn(backend, 0), doctest::Contains("shard-000000.journal"), AgreedFailure);
    full.reset();
    const std::uint64_t stored = stored_rows(run);
    CHECK(stored < 20);
    check_resume(run, stored);
  }
}

}  // namespace

TEST_CASE("MPI ranks: every row goes to its shard's keeper") { moemill::test::on_world(make_all); }
TEST_CASE("MPI ranks: a drain ends when what is on its way has arrived") { moemill::test::on_world(drain_and_resume); }
TEST_CASE("MPI ranks: a keeper that cannot write a shard's file ends the job on all ranks") {
  moemill::test::on_world(keeper_without_room_for_a_file);
}
TEST_CASE("MPI ranks: a keeper whose disk is full ends the job on all ranks") {
  moemill::test::on_world(keeper_without_room_for_its_journal);
}
