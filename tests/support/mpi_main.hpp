// main() of a test program that runs under mpirun: MPI lives around all test cases, and what escapes a rank's test body
// ends the whole job, so that no rank waits for one that is gone. Included by one *_mpi.cpp file a part.
#pragma once

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "system/comm/comm.hpp"

int main(int argc, char** argv) {
  moemill::MpiSession session(argc, argv);
  doctest::Context context(argc, argv);
  int result = context.run();
  // Every rank's checks count, and all ranks end alike.
  auto mine = std::as_bytes(std::span(&result, 1));
  moemill::Comm world = moemill::Comm::world();
  std::vector<int> all(static_cast<std::size_t>(world.size()));
  world.all_gather(mine, std::as_writable_bytes(std::span(all)));
  for (int theirs : all)
    if (theirs != 0) result = theirs;
  return result;
}
