// What `bench simulate` has counted, as text or JSON.
#pragma once

#include "bench/simulate.hpp"

namespace moemill::bench {

// In the form that the options ask for.
void print_simulated(const SimulateOptions& options, const Simulated& result);

}  // namespace moemill::bench
