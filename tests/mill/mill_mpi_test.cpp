#include "support/mpi_main.hpp"
//
// The loop on several ranks: rows travel to the keepers of their shards. Every row is there once, whoever made it, also
// after a drain with rows on their way, and a keeper that fails ends the job on all ranks. All of it in one domain, in
// domains of one rank, and in domains of two (of which the last may have one).
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <utility>

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
    CAPTURE(ranks_of_domain);
    Run run(world, static_cast<std::uint64_t>(shard_prompts), ranks_of_domain);
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
    CAPTURE(ranks_of_domain);
    Run run(world, 5, ranks_of_domain);  // one keeper
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
    CAPTURE(ranks_of_domain);
    Run run(world, 2, ranks_of_domain);
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
    CAPTURE(ranks_of_domain);
    Run run(world, 5, ranks_of_domain);
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

// Files say how far the ranks are: waiting for one proves an order without a clock. Throws after so long that only a
// rank that will never write it can be the reason.
void wait_for_file(const std::string& path) {
  for (int i = 0; !std::filesystem::exists(path); ++i) {
    if (i == 6000) throw std::runtime_error("nobody has written " + path);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void write_file(const std::string& path) { std::ofstream(path) << "here"; }
// Whether this rank is the first to make it.
bool claims_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

// A step of one rank lasts until another rank has taken several since: if domains waited for each other, neither could
// go on. The slow rank is rank 0, which decides for all, or any other.
void steps_of_others(Comm world, bool rank_zero_is_slow) {
  if (world.size() < 2) return;
  constexpr int several = 6;
  Run run(world, 1, 1);
  const std::string slow = run.paths.dir + "/slow", taken = run.paths.dir + "/taken", begun = run.paths.dir + "/begun";
  const bool may_be_slow = rank_zero_is_slow == (world.rank() == 0);
  int was_slow = 0, since = 0;
  FakeBackend backend(vocabulary);
  backend.on_step([&](std::size_t) {
    if (may_be_slow && std::filesystem::exists(begun) && claims_file(slow)) {
      was_slow = 1;
      return wait_for_file(taken);
    }
    if (!may_be_slow && backend.largest_step() > 0) write_file(begun);  // a step for faulty prompts has no rows
    if (std::filesystem::exists(slow) && ++since == several) write_file(taken);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // so that each rank gets its share of so little work
  });
  const Run::Attempt attempt = run.turn(backend);
  CHECK(attempt.end == MillEnd::Finished);
  CHECK(rows_of_all(world, attempt) == 20);
  const std::vector<int> all = gather(world, was_slow);
  CHECK(std::accumulate(all.begin(), all.end(), 0) == 1);
  check_all_rows(run);
}

// A drain is asked for while a domain is in the middle of a step, and the others leave their turns before it.
void drain_within_a_step(Comm world) {
  if (world.size() < 2) return;
  Run run(world, 1, 1);
  const std::string file = run.paths.dir + "/halt";
  FakeBackend backend(vocabulary);
  backend.on_step([&](std::size_t) {
    const bool stops = world.rank() != 0 && claims_file(file);
    std::this_thread::sleep_for(std::chrono::milliseconds(stops ? 700 : 5));
  });
  const Run::Attempt stopped = run.turn(backend);
  CHECK(stopped.end == MillEnd::Drained);
  CHECK(stopped.drain_reason.find("halt") != std::string::npos);
  world.barrier();
  if (world.rank() == 0) std::filesystem::remove(file);
  world.barrier();
  FakeBackend second(vocabulary);
  CHECK(run.turn(second).end == MillEnd::Finished);
  check_all_rows(run);
}

}  // namespace

TEST_CASE("MPI ranks: every row goes to its shard's keeper") { moemill::test::on_world(make_all); }
TEST_CASE("MPI ranks: a drain ends when what is on its way has arrived") { moemill::test::on_world(drain_and_resume); }
TEST_CASE("MPI ranks: a domain takes many steps while another is in the middle of one") {
  moemill::test::on_world([](Comm world) {
    steps_of_others(world, true);
    steps_of_others(world, false);
  });
}
TEST_CASE("MPI ranks: a drain reaches a domain that is in the middle of a step") {
  moemill::test::on_world(drain_within_a_step);
}
TEST_CASE("MPI ranks: a keeper that cannot write a shard's file ends the job on all ranks") {
  moemill::test::on_world(keeper_without_room_for_a_file);
}
TEST_CASE("MPI ranks: a keeper whose disk is full ends the job on all ranks") {
  moemill::test::on_world(keeper_without_room_for_its_journal);
}
