// Runs a test body on every rank of MPI's world. An exception ends the job with its message: the other ranks may be
// waiting for this one.
#pragma once

#include <cstdio>
#include <exception>
#include <functional>

#include "system/comm/comm.hpp"

namespace moemill::test {

inline void on_world(const std::function<void(Comm)>& body) {
  Comm world = Comm::world();
  try {
    body(world);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "rank %d: %s\n", world.rank(), e.what());
    world.abort(1);
  }
}

}  // namespace moemill::test
