// A shard in the hands of its keeper: the journal that its rows go to, from whichever rank they come, and finally its
// file. It remembers how many rows are missing and where the journal has what earlier attempts left, not the rows. Used
// by the keeper.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataset/journal/index.hpp"
#include "dataset/journal/journal.hpp"
#include "mill/open_lot.hpp"
#include "mill/shard_inputs.hpp"
#include "mill/totals.hpp"

namespace moemill::mill {

class KeptShard {
 public:
  // Reads what the journal has. SystemError unless exactly `missing` rows are missing, as the job has planned.
  KeptShard(ShardId shard, const ShardInputs& inputs, std::uint64_t missing);

  void take(const dataset::Completion& row, Totals& totals);
  void take(const dataset::PromptScore& score) { journal_.append(score); }
  void take(const dataset::PartialSample& partial) { journal_.append(partial); }
  // What earlier attempts left of the lot's prompts.
  BegunLot begun(const schedule::Lot& lot, const schedule::PrefixPlan& prefixes) const;
  void flush() { journal_.flush(); }
  bool complete() const { return missing_ == 0; }
  // Reads the rows back, renames the shard's file to its final name, then removes the journal. The shard must be
  // complete.
  void finish(const ShardInputs& inputs, const dataset::OutputLayout& layout,
              const dataset::RootAttributes& attributes);
  void close() { journal_.close(); }

 private:
  void count(std::uint64_t prompt_index, dataset::RowStatus status, Totals& totals);
  BegunPrompt begun(const schedule::Lot& lot, std::uint64_t prompt_index) const;

  ShardId id_;
  dataset::ShardRange range_;
  std::string path_;             // of the journal
  dataset::JournalIndex index_;  // of what the journal had when this attempt began
  dataset::JournalWriter journal_;
  struct Prompt {
    std::uint32_t samples = 0;
    std::uint32_t missing = 0;
    std::uint32_t failed = 0;
  };
  std::vector<Prompt> prompts_;  // [prompts of the range]
  std::uint64_t missing_ = 0;    // rows
};

}  // namespace moemill::mill
