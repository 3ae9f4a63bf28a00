// A rank of a killed job that runs on for a moment writes the same file as the next job.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "dataset/outputs/outputs.hpp"
#include "dataset/seal.hpp"
#include "scratch.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {
namespace {

// Lets one process wait until a different one gives a signal.
struct Signal {
  std::array<int, 2> ends{};
  Signal() { REQUIRE(::pipe(ends.data()) == 0); }
  ~Signal() { ::close(ends[0]), ::close(ends[1]); }
  void say() const { REQUIRE(::write(ends[1], "x", 1) == 1); }
  void wait() const {
    char c = 0;
    REQUIRE(::read(ends[0], &c, 1) == 1);
  }
};

void check_whole(const std::string& path) {
  CHECK(check_form(path).empty());
  CHECK_FALSE(broken_seal(path, [] {}));
}

TEST_CASE("two processes write one shard at the same time: what stands there is whole at every moment") {
  Scratch scratch;
  const std::string path = scratch.path("shard-000000.h5");
  const Signal half_written, go_on;
  const pid_t child = ::fork();
  if (child == 0) {
    OutputWriter mine(path, OutputLayout{}, RootAttributes{});
    half_written.say();
    go_on.wait();
    mine.publish();
    ::_exit(0);
  }
  half_written.wait();
  OutputWriter other(path, OutputLayout{}, RootAttributes{});
  go_on.say();  // the first writer publishes while the second is half way
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  check_whole(path);
  other.publish();
  check_whole(path);
  CHECK(files::list(scratch.path("")) == std::vector<std::string>{"shard-000000.h5"});
}

}  // namespace
}  // namespace moemill::dataset
