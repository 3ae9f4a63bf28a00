// The loop: facts, decision, claims, a step, rows to the journals, until nothing is left anywhere. All ranks of the
// world take the same number of steps. Called by run_job once everything is loaded.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "generate/backend/backend.hpp"
#include "generate/generator.hpp"
#include "mill/open_shard.hpp"
#include "mill/predicted.hpp"
#include "mill/progress.hpp"
#include "mill/stop.hpp"
#include "mill/totals.hpp"
#include "schedule/facts.hpp"
#include "system/comm/agree.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

struct MillParts {
  const Comm& world;
  Generator& generator;
  const Backend& backend;
  const ShardInputs& inputs;
  const dataset::OutputLayout& layout;
  const dataset::RootAttributes& attributes;
  StopWish& stop;
  Progress* progress;  // rank 0's, for reports while the loop runs
  double flush_seconds;
  double progress_seconds;
  PredictedSteps* predicted = nullptr;  // null: nothing is predicted
};

enum class MillEnd { Finished, Drained };

class Mill {
 public:
  Mill(MillParts parts, schedule::ClaimState claims);
  // Returns when all rows are done, or when a drain has saved everything. Throws AgreedFailure if a rank cannot
  // continue.
  MillEnd run();
  const Totals& totals() const { return totals_; }
  // Why the mill drained, the same on all ranks; "" when it did not.
  const std::string& drain_reason() const { return drain_reason_; }

 private:
  schedule::Decision agree_on_step();
  void report_progress();
  void open(std::span<const schedule::Claim> claims);
  void take_step(const schedule::Decision& decision);
  void store();
  MillEnd leave(const schedule::Decision& decision);
  std::string agree_on_reason() const;
  void save_partials();
  void flush_all();
  Totals progress_totals() const;
  template <class Work>
  void attempt(Work&& work);
  OpenShard& shard_of(std::uint64_t prompt_index);

  MillParts parts_;
  schedule::ClaimState claims_;
  std::vector<std::unique_ptr<OpenShard>> open_;
  struct RankState {
    schedule::Facts facts;
    StepCounts counts;
    StepShare step;  // of the last step
  };
  std::vector<RankState> states_;       // [ranks], gathered at this step
  std::vector<schedule::Facts> facts_;  // [ranks]
  std::vector<StepCounts> counts_;      // [ranks]
  std::vector<StepShare> shares_;       // [ranks], of the last step
  Failure failure_;                     // this rank reports it with its next facts
  Totals totals_;
  std::string drain_reason_;
  double next_flush_;
  double next_progress_;
};

}  // namespace moemill::mill
