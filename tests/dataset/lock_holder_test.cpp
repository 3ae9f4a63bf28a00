// The line of run.lock and the process that it names.
#include "dataset/lock/lock_holder.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

#include "lock_for_tests.hpp"

using namespace moemill;
using namespace moemill::dataset;

TEST_CASE("lock: a line is whole or nothing, and has one length") {
  Holder holder = elsewhere();
  holder.beat = 12345678901234567890u;
  holder.released = true;
  const std::string line = to_line(holder);
  CHECK(line.size() == holder_line_bytes);
  CHECK(to_line(Holder{}).size() == holder_line_bytes);
  const auto read = parse_holder(line);
  REQUIRE(read);
  CHECK(read->beat == holder.beat);
  CHECK(read->token == holder.token);
  CHECK(read->released);
  CHECK(describe(*read) == fmt::format("process {} on node7, Slurm job 4711, since {}", ::getpid(), holder.since));
  for (std::size_t kept : {std::size_t{0}, std::size_t{1}, line.size() / 2, line.size() - 1})
    CHECK_FALSE(parse_holder(line.substr(0, kept)));
  auto changed = [&](const std::string& from, const std::string& to) {
    std::string other = line;
    other.replace(other.find(from), from.size(), to);
    other.resize(holder_line_bytes, ' ');
    return parse_holder(other);
  };
  CHECK(changed("node7", "node8"));
  CHECK_FALSE(changed(holder.token, ".." + holder.token.substr(2)));  // a token becomes part of a file name
  for (const char* process : {"1e300", "1.5", "4294967296", "-1", "\"1\"", "null"})
    CHECK_FALSE(changed(fmt::format("{},", holder.process), fmt::format("{},", process)));
  CHECK_FALSE(changed("\"released\":true", "\"released\":1"));
  CHECK_FALSE(parse_holder(std::string(holder_line_bytes, '\0')));
  ::setenv("SLURM_JOB_ID", std::string(3000, '"').c_str(), 1);
  CHECK(to_line(this_process()).size() == holder_line_bytes);
  ::unsetenv("SLURM_JOB_ID");
}

TEST_CASE("lock: which process it is") {
  CHECK(process_state(this_process()) == ProcessState::Alive);
  CHECK(process_state(elsewhere()) == ProcessState::Elsewhere);
  Holder holder = this_process();
  holder.started++;  // the number belongs to a later process now
  CHECK(process_state(holder) == ProcessState::Gone);
  holder = this_process();
  holder.processes = "pid:[1]";
  CHECK(process_state(holder) == ProcessState::Elsewhere);
  const pid_t child = fork_to([] {});
  holder = this_process();
  holder.process = child;
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK(process_state(holder) == ProcessState::Gone);  // a process that ended and that its parent has not waited for
  ::waitpid(child, nullptr, 0);
  CHECK(process_state(holder) == ProcessState::Gone);
}
