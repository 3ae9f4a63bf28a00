// `moemill plan`: what work costs on machines that are not at hand. Here: the proof of its model (--check), two
// published calculations (--example), and what is known of machines. One process, no MPI, no network.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace moemill::mill {

enum class PlanForm { Text, Json };

struct PlanCheck {
  std::string configs;                     // folder
  std::optional<std::string> points_file;  // in place of configs/published.yaml
  std::vector<std::string> changes;        // of single figures
  PlanForm form = PlanForm::Text;
};
// Compares the step model with published throughputs.
std::string plan_check(const PlanCheck& words);
std::string plan_example(const std::string& configs, const std::string& name);
// The data of machines, with what is not sure about them; `names` are separated by commas, each a name or a file.
std::string plan_machines(const std::string& configs, const std::string& names);

}  // namespace moemill::mill
