// Waiting for other processes through shared memory, and noticing that one of them has died.
#include "system/comm/node_wait.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <new>
#include <string>
#include <vector>

#include "base/error.hpp"

using namespace moemill;

namespace {

struct Words {
  NodeWord ready, go, done;
};

// Words in memory that this process shares with those that it forks.
struct SharedWords {
  SharedWords()
      : words(new (::mmap(nullptr, sizeof(Words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Words()) {
  }
  ~SharedWords() { ::munmap(words, sizeof(Words)); }
  Words* words;
};

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

TEST_CASE("node wait: processes wait for each other, though they outnumber the cores") {
  constexpr std::uint32_t children = 6;
  SharedWords shared;
  Words& w = *shared.words;
  const std::vector<ProcessId> mates{this_process()};
  for (std::uint32_t c = 0; c < children; ++c) {
    if (::fork() > 0) continue;
    arrive(w.ready);
    wait_for(w.go, 1, mates);
    arrive(w.done);
    ::_exit(0);
  }
  wait_for(w.ready, children, mates);
  CHECK(w.done == 0);
  arrive(w.go);
  wait_for(w.done, children, mates);
  CHECK(w.done == children);
  for (std::uint32_t c = 0; c < children; ++c) CHECK(::wait(nullptr) > 0);
}

TEST_CASE("node wait: a rank that waits sleeps, and one that fails arrives for all") {
  SharedWords shared;
  Words& w = *shared.words;
  const pid_t child = ::fork();
  if (child == 0) {
    ::usleep(200'000);
    arrive(w.go, 5);
    ::_exit(0);
  }
  timespec before{}, after{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  wait_for(w.go, 5, std::vector<ProcessId>{this_process()});
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  const double cpu =
      static_cast<double>(after.tv_sec - before.tv_sec) + 1e-9 * static_cast<double>(after.tv_nsec - before.tv_nsec);
  CHECK(cpu < 0.1);
  CHECK(::waitpid(child, nullptr, 0) == child);
}

TEST_CASE("node wait: the death of a mate ends the waiting, also before its parent has noticed it") {
  SharedWords shared;
  Words& w = *shared.words;
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  const ProcessId mate = process_of(child);
  CHECK(runs(mate));
  CHECK_FALSE(runs({child, mate.started + 1}));  // a later process with the same number
  ::kill(child, SIGKILL);
  const auto begin = std::chrono::steady_clock::now();
  std::string text;
  try {
    wait_for(w.go, 1, std::vector{this_process(), mate});
  } catch (const SystemError& e) {
    text = e.what();
  }
  CHECK(text ==
        "process " + std::to_string(child) + ", a rank on this node that shares its memory with this one, has ended");
  CHECK(seconds_since(begin) < 10);
  CHECK_FALSE(runs(mate));  // a zombie
  CHECK(::waitpid(child, nullptr, 0) == child);
  CHECK_FALSE(runs(mate));
}

TEST_CASE("node wait: a word that has passed 2^32 goes on counting") {
  NodeWord word{0xfffffffe};
  CHECK(has_reached(word, 0xfffffffe));
  CHECK_FALSE(has_reached(word, 0xffffffff));
  CHECK_FALSE(has_reached(word, 1));
  arrive(word, 3);
  CHECK(has_reached(word, 0xffffffff));
  CHECK(has_reached(word, 1));
  CHECK_FALSE(has_reached(word, 2));
}

TEST_CASE("node wait: what is on its way moves meanwhile, and a mate that has given up is not waited for") {
  NodeWord word{0}, left{0};
  int calls = 0;
  const std::vector<ProcessId> mates{this_process()};
  wait_for(word, 1, {.mates = mates, .left = &left, .progress = [&] {
                       if (++calls == 1000) arrive(word);
                       return true;
                     }});
  CHECK(calls == 1000);
  arrive(left);
  wait_for(word, 1, {.mates = mates, .left = &left});  // it had arrived before
  CHECK_THROWS_WITH_AS(wait_for(word, 2, {.mates = mates, .left = &left}),
                       "a rank on this node that shares its memory with this one has given up", SystemError);
}
