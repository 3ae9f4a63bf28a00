// The table of run.yaml's keys: how each is read, written and described. Used by config/ only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "config/yaml.hpp"

namespace moemill::mill {

// Whether a key can change the outputs' bytes (Answers), or only where and how fast they are computed (Layout).
enum class Effect { Answers, Layout };

struct Field {
  std::string key;      // such as "sampling.top_p"
  std::string accepts;  // such as "a number above 0 and at most 1"; printed after "accepted: "
  Effect effect;
  std::function<bool(const yaml::Node&, RunConfig&)> read;  // false if the value is not accepted
  std::function<yaml::Node(const RunConfig&)> write;
};

const std::vector<Field>& config_fields();

}  // namespace moemill::mill
