// The loop: facts, decisions, lots, a step, rows to their keepers and into journals, until nothing is left anywhere.
// The ranks of an expert domain take their steps together; domains do not wait for each other. Called by run_job once
// everything is loaded.
//
// Why no turn waits for ever: a turn waits only for the facts and the step of its domain's own ranks, which are in the
// same turn. Nobody waits for a letter: whatever is on its way, every rank takes letters in each turn, with a step or
// without. A rank whose letters do not leave keeps its domain from steps, not from turns, so it takes the letters that
// others wait to get rid of, and hears of the end. Only the end is collective over the world, and then no rank is in a
// step that another domain has to finish.
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
#include "mill/rounds.hpp"
#include "mill/shard_inputs.hpp"
#include "mill/stop.hpp"
#include "mill/totals.hpp"
#include "schedule/facts.hpp"
#include "schedule/micro_batches.hpp"
#include "system/comm/agree.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

struct MillParts {
  const Comm& world;
  const Comm& domain;  // this rank's expert domain
  Generator& generator;
  Backend& backend;
  const ShardInputs& inputs;
  std::span<const ShardId> unfinished;
  const dataset::OutputLayout& layout;
  const dataset::RootAttributes& attributes;
  StopWish& stop;
  Progress* progress;  // rank 0's, for reports while the loop runs
  double flush_seconds;
  double progress_seconds;
  PredictedSteps* predicted = nullptr;             // null: nothing is predicted
  std::optional<std::uint32_t> micro_batches = 1;  // as parallel.micro_batches
};

enum class MillEnd { Finished, Drained };

class Mill {
 public:
  // Collective over the world.
  Mill(MillParts parts, schedule::LotList lots);
  ~Mill();
  Mill(const Mill&) = delete;
  Mill& operator=(const Mill&) = delete;
  // Returns when all rows are done, or when a drain has saved everything. Throws AgreedFailure if a rank cannot
  // continue.
  MillEnd run();
  const Totals& totals() const { return totals_; }
  // Why the mill drained, the same on all ranks; "" when it did not.
  const std::string& drain_reason() const { return drain_reason_; }

 private:
  schedule::Facts facts();
  void answer_within_step();
  schedule::Decision agree_on_turn();
  void report_progress();
  void open_shards();
  void take_lots();
  void open_lots();
  void expect_more();
  void take_step(const schedule::Decision& decision);
  void wait_a_little();
  void count_tail(double seconds);
  void store();
  template <class Row>
  void send_home(const Row& row);
  bool receive();
  void open_letter(const std::vector<std::byte>& letter);
  void deliver();
  void take(const dataset::Completion& row) { keeper_.take(row, totals_); }
  void take(const dataset::PromptScore& score) { keeper_.take(score); }
  void take(const dataset::PartialSample& partial) { keeper_.take(partial); }
  MillEnd leave();
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
  Rounds rounds_;
  schedule::Round round_;                                  // what the domain was told in this turn
  using LotKey = std::pair<std::uint64_t, std::uint32_t>;  // first prompt and sample
  std::map<LotKey, schedule::Lot> unopened_;               // lots of this rank that wait to be opened
  std::map<LotKey, BegunLot> begun_;                       // what has come of lots that are begun
  struct {
    schedule::Lot lot;
    std::vector<TokenId> tokens;  // of the prompt at its last place
  } last_placed_;                 // the lot of prompts that begin alike which was opened last
  struct RankState {
    schedule::Facts facts;
    StepCounts counts;
    StepShare step;                 // of the last step
    std::uint32_t steps_ahead = 0;  // on a leader
    bool has_news = false;
    schedule::StepTime time;  // of the last step
  };
  std::vector<RankState> states_;       // [domain's ranks], gathered in this turn
  std::vector<schedule::Facts> facts_;  // [domain's ranks]
  std::vector<StepCounts> counts_;      // [domain's ranks]
  std::vector<StepShare> shares_;       // [domain's ranks], of the last step
  bool took_letters_ = false;           // in this turn
  Failure failure_;                     // this rank reports it with its next facts
  Totals totals_;
  schedule::MicroBatchRule micro_batches_;
  schedule::StepTime step_time_;  // of the last step
  std::uint64_t steps_ = 0;
  double first_step_ = 0, last_step_ = 0;  // now_seconds() when the first began and the last ended
  std::string drain_reason_;
  double next_flush_;
  double next_progress_;
};

}  // namespace moemill::mill
