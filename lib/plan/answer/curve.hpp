// What changes if one thing does: the batch, the GPUs of a group, the speed promised to a user, the length of prompts,
// the network, the price. `moemill plan --curve`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "plan/answer/costs.hpp"
#include "plan/answer/search.hpp"

namespace moemill::estimate {

enum class Axis { Batch, Gpus, Speed, Context, Network, Price };
const std::vector<std::string>& axis_names();
Axis axis_named(const std::string& name);  // UserError for an unknown name
const char* name_of(Axis axis);
const char* unit_of(Axis axis);  // in JSON names: sequences_per_gpu, prompt_tokens

struct PlanCurvePoint {
  double value = 0;
  std::optional<Plan> plan;  // nothing if no layout is possible
  double batch_limit = 0;    // sequences of a GPU that memory has room for
  MillionPrices prices;      // GPU-hours instead of money if there is no price
  const char* answers_bound = "";
  const char* prompts_bound = "";

  bool memory_ends() const;  // the batch is as large as memory allows
};

struct PlanCurve {
  Axis axis = Axis::Batch;
  std::string machine, currency;
  std::string about;  // what is held and what is free, in a sentence
  std::vector<PlanCurvePoint> points;
  std::vector<std::string> notes;  // what the points show together, a line each
};

// Around the best plan of its machine. `plans` keep the limits, on any machine: a curve over price names where they
// cost the same. Adds machines with other networks to the catalog.
PlanCurve curve_of(Axis axis, const Question& question, const std::vector<Plan>& plans, const Plan& best,
                   Catalog& catalog);
std::string curve_text(const PlanCurve& curve);

}  // namespace moemill::estimate
