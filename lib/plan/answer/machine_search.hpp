// The search on one machine with one number of GPUs: every layout, batch and division of the GPUs between the phases.
// Used by search_plans.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "plan/answer/search.hpp"

namespace moemill::estimate {

// The cheapest plan that keeps the limits, and the cheapest at all.
struct BestPlans {
  std::optional<Plan> kept, any;
};

class MachineSearch {
 public:
  // What is left out is added to `found`.
  MachineSearch(const Question& question, const model::ModelConfig& model, const Hardware& hardware, std::uint32_t gpus,
                Search& found);

  BestPlans best();

 private:
  // A group for answers, with the fastest way to compute prompts on such a group.
  struct Group {
    Layout layout;
    double room = 0;  // sequences of a GPU
    PhasePlan prefill;
    double load_hours = 0;
  };
  // A batch of answers on a group.
  struct Batch {
    const Group& group;
    PhasePlan decode;
    double generated_seconds = 0;  // GPU-seconds of an answer
    double lone_seconds = 0;       // of a step with a row per GPU
  };

  Setting setting(const Layout& layout) const { return {model_, hardware_, precision_, layout}; }
  void leave_out(const std::string& reason, const std::string& what);
  std::string described(const Layout& layout) const;

  std::vector<Layout> layouts();
  void add_layouts(std::uint32_t size, std::vector<Layout>& all) const;
  std::optional<Group> group_of(const Layout& layout);
  std::vector<Group> groups();
  std::vector<const Group*> fastest_prefills(const std::vector<Group>& groups) const;
  PhasePlan best_prefill(const Layout& group) const;
  void consider(const Group& group);
  void consider_batch(const Group& group, Exchange exchange, double sequences, double lone_seconds);
  void offer_pool(const Batch& batch);
  void offer_split(const Batch& batch, const Group& prefill, double prefill_groups);
  void offer(Plan plan, const Batch& batch, double prompt_seconds, double prompts_per_second);
  double prompt_seconds(const PhasePlan& prefill) const;
  bool is_dearer(double prompt_seconds, const Batch& batch);

  const Question& q_;
  const model::ModelConfig& model_;
  const Hardware& hardware_;
  const std::uint32_t gpus_;
  Search& found_;
  Precision precision_;
  std::optional<double> price_;
  std::vector<const Group*> prefills_;  // the fastest group of each size
  bool layout_is_open_ = false;         // the layout keeps the limits, or costs more than one that does
  BestPlans best_;
};

}  // namespace moemill::estimate
