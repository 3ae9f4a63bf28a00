// Prints the lines of `moemill validate` about expert domains and memory. Used by commands/validate.
#pragma once

#include <string>

#include "plan/expert_domain.hpp"
#include "plan/fit.hpp"

namespace moemill::mill {

// asked: parallel.expert_domain. What `auto` would be is printed whatever was asked, if there are several nodes.
void print_domain(const std::string& asked, const DomainChoice& choice);
void print_fit(const FitQuestion& question, const Fit& fit);

}  // namespace moemill::mill
