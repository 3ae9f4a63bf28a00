// The loop: facts, decision, lots, a step, rows to their keepers and into journals, until nothing is left anywhere. All
// ranks of the world take the same number of steps. Called by run_job once everything is loaded.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "generate/backend/backend.hpp"
#include "generate/generator.hpp"
#include "mill/keeper.hpp"
#include "mill/mail.hpp"
#include "mill/open_lot.hpp"
#include "mill/predicted.hpp"
#include "mill/progress.hpp"
#include "mill/shard_inputs.hpp"
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
  std::span<const ShardId> unfinished;
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
  Mill(MillParts parts, schedule::LotList lots);
  // Returns when all rows are done, or when a drain has saved everything. Throws AgreedFailure if a rank cannot
  // continue.
  MillEnd run();
  const Totals& totals() const { return totals_; }
  // Why the mill drained, the same on all ranks; "" when it did not.
  const std::string& drain_reason() const { return drain_reason_; }

 private:
  schedule::Decision agree_on_step();
  void report_progress();
  void open_shards(const schedule::Decision& decision);
  void open_lots(const schedule::Decision& decision);
  void take_step(const schedule::Decision& decision);
  void store();
  template <class Row>
  void send_home(const Row& row);
  void receive();
  void deliver();
  void take(const dataset::Completion& row) { keeper_.take(row, totals_); }
  void take(const dataset::PromptScore& score) { keeper_.take(score); }
  void take(const dataset::PartialSample& partial) { keeper_.take(partial); }
  MillEnd leave(const schedule::Decision& decision);
  std::string agree_on_reason() const;
  void save_partials();
  void flush_all();
  [[noreturn]] void throw_failure_of(WorldRank rank, std::int32_t code) const;
  void throw_agreed_failure() const;
  Totals progress_totals() const;
  template <class Work>
  void attempt(Work&& work);

  MillParts parts_;
  schedule::LotList lots_;
  Keeper keeper_;
  Mail mail_;
  std::map<std::pair<std::uint64_t, std::uint32_t>, BegunLot>
      begun_;  // by first prompt and sample, for lots just dealt
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
