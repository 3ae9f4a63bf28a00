#include "bench/bench.hpp"

#include "base/log.hpp"
#include "commands.hpp"
#include "launch.hpp"

namespace moemill::app {

int bench(const Words& words) {
  const Launch launch;
  log::start(log::Level::Info, launch.world().rank(), launch.world().size());  // progress, on stderr
  return moemill::bench::run_bench(words, launch.world());
}

}  // namespace moemill::app
