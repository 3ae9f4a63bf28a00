#include "commands/expert_sum_text.hpp"

#include <fmt/format.h>

namespace moemill::mill {

std::string expert_sum_text(const model::ModelConfig& config) {
  const model::Moe& moe = config.moe;
  if (moe.groups < 2) return "";
  return fmt::format("experts  model.expert_sum {}: a row's outputs are summed {}\n", word_of(config.expert_sum),
                     config.expert_sum == ExpertSum::Groups
                         ? fmt::format("by routing groups, of {} a row keeps {}", moe.groups, moe.groups_kept)
                         : "in the order of its picks");
}

}  // namespace moemill::mill
