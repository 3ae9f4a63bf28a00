// The keys of run.yaml as a table: how each is read, written and described. Used by mill/config only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "config/yaml.hpp"

namespace moemill::mill {

// Whether a key can change the bytes of the outputs, or only how fast and where they are made.
enum class Effect { Answers, Layout };

struct Field {
  std::string key;      // "sampling.top_p"
  std::string accepts;  // "a number above 0 and at most 1", completes the sentence "accepted: ..."
  Effect effect;
  std::function<bool(const yaml::Node&, RunConfig&)> read;  // false: not what is accepted
  std::function<yaml::Node(const RunConfig&)> write;
};

const std::vector<Field>& config_fields();

}  // namespace moemill::mill
