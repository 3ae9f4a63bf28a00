// When a job should stop early: signals, time limits, the stop file.
#include "mill/stop.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <ctime>
#include <string>

#include "base/clock.hpp"

using namespace moemill;
using namespace moemill::mill;

TEST_CASE("stopping: a signal, the clock and a file") {
  StopSignals signals;
  RuntimeSettings runtime;
  StopWish calm(signals, runtime, now_seconds());
  CHECK(!calm.ask());
  kill(getpid(), SIGUSR1);
  for (int tries = 0; tries < 60000 && !calm.ask(); ++tries) usleep(1000);
  CHECK(calm.ask() == "SIGUSR1");
  CHECK(calm.ask() == "SIGUSR1");  // the reason stays

  runtime.max_wall_time_seconds = 100;
  runtime.drain_margin_seconds = 60;
  StopWish early(signals, runtime, now_seconds() - 20);
  CHECK(!early.ask());
  StopWish late(signals, runtime, now_seconds() - 41);
  CHECK(late.ask() == "the time limit");

  runtime.max_wall_time_seconds.reset();
  StopFile any_file("run", std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3/config.json");
  StopWish file(signals, runtime, now_seconds());
  CHECK(!file.ask());
  file.look_for(any_file);
  CHECK(file.ask()->find("stop file") != std::string::npos);
}

TEST_CASE("a Slurm job that is shorter than the margin still makes progress") {
  StopSignals signals;
  RuntimeSettings runtime;
  runtime.drain_margin_seconds = 60;
  setenv("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) + 40).c_str(), 1);
  StopWish wish(signals, runtime, now_seconds());
  CHECK(!wish.ask());
  // An end that has passed is another job's, or was made by a script that got no answer from Slurm.
  setenv("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) - 1).c_str(), 1);
  StopWish over(signals, runtime, now_seconds());
  CHECK(!over.ask());
  unsetenv("SLURM_JOB_END_TIME");
}

TEST_CASE("the earlier of two time limits counts") {
  StopSignals signals;
  RuntimeSettings runtime;
  runtime.drain_margin_seconds = 0;
  auto asked = [&](double own_limit, int slurm_seconds) {
    runtime.max_wall_time_seconds = own_limit;
    setenv("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) + slurm_seconds).c_str(), 1);
    StopWish wish(signals, runtime, now_seconds() - 10);
    unsetenv("SLURM_JOB_END_TIME");
    for (int tries = 0; slurm_seconds < 10 && tries < 60000 && !wish.ask(); ++tries) usleep(1000);
    return wish.ask().value_or("no reason");
  };
  CHECK(asked(1000, 1000) == "no reason");
  CHECK(asked(5, 1000) == "the time limit");
  CHECK(asked(1000, 2) == "the time limit");
}
