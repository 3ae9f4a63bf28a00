// Prints the lines of `moemill validate` about memory. Used by commands/validate.
#pragma once

#include "plan/fit.hpp"

namespace moemill::mill {

void print_fit(const FitQuestion& question, const Fit& fit);

}  // namespace moemill::mill
