// The layouts that a machine offers for a piece of work, with their time and cost, and why others are left out.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/numbers/rounding.hpp"
#include "plan/answer/question.hpp"
#include "plan/estimate/catalog.hpp"
#include "plan/estimate/throughput.hpp"

namespace moemill::estimate {

// One phase of the work on one kind of group.
struct PhasePlan {
  Layout layout;
  double groups = 0;        // replicas of the layout
  double rows_per_gpu = 0;  // of a step
  Rate rate;                // of a GPU

  double gpus() const { return groups * layout.gpus; }
};

struct Plan {
  const Hardware* hardware = nullptr;
  const model::ModelConfig* model = nullptr;
  std::uint32_t gpus = 0;
  Precision precision;
  bool is_split = false;  // the phases have GPUs of their own; otherwise all GPUs do both in turn
  PhasePlan prefill, decode;
  double hours = 0;       // with loading and the tail
  double load_hours = 0;  // while weights are read
  double tail_hours = 0;  // while the last sequences end and no new ones begin
  double user_tokens_per_second = 0;
  double gpu_hour_price = 0;
  bool is_priced = false;

  double gpu_hours() const { return hours * gpus; }
  double cost() const { return gpu_hours() * gpu_hour_price; }
  Setting setting(const PhasePlan& phase) const;
  std::uint32_t nodes() const { return divide_up(gpus, hardware->gpus_per_node); }
};

// Sizes of groups that are tried, and those of a curve over GPUs.
inline constexpr std::uint32_t group_sizes[] = {1, 2, 4, 8, 16, 24, 32, 48, 64, 72, 96, 128, 144, 256};

struct Search {
  std::vector<Plan> plans;   // that keep all limits, the best one of each machine and number of GPUs
  std::vector<Plan> beyond;  // the best ones that do not, by machine and number of GPUs
  std::map<std::string, std::vector<std::string>> left_out;  // layouts by reason
};

// Plans in order of their cost; without prices, of their GPU-hours.
Search search_plans(const Question& question, Catalog& catalog);
bool keeps(const Plan& plan, const Limits& limits);

// Weights as published, if the chip computes in that format: fp8, mxfp4, else bf16.
Precision published_precision(const model::ModelConfig& model, const Hardware& hardware);

}  // namespace moemill::estimate
