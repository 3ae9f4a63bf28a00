#include "bench/bench.hpp"

#include "commands.hpp"
#include "launch.hpp"

namespace moemill::app {

int bench(const Words& words) {
  const Launch launch;
  return moemill::bench::run_bench(words, launch.world());
}

}  // namespace moemill::app
