// `moemill plan`: what work costs on machines that are not at hand. It prints the proof of its model (--check) and two
// published calculations (--example). One process, no MPI, no network.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace moemill::mill {

enum class PlanForm { Text, Json };

// Compares the step model with published throughputs; `points_file` in place of configs/published.yaml.
std::string plan_check(const std::string& configs, const std::optional<std::string>& points_file, PlanForm form);
std::string plan_example(const std::string& configs, const std::string& name);
// The data of machines, with what is not sure about them; `names` are separated by commas, each a name or a file.
std::string plan_machines(const std::string& configs, const std::string& names);

}  // namespace moemill::mill
