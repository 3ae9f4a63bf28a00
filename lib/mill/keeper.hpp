// The shards that this rank keeps. A shard has one keeper, which alone writes its journal and its file; it is opened
// when the first of its lots is dealt. A rank of another domain may be told of that first, so a row opens it as well.
// Used by the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "mill/kept_shard.hpp"
#include "schedule/facts.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

class Keeper {
 public:
  // `lots` are all lots of the attempt; an unfinished shard without a lot lacks nothing but its file.
  Keeper(const Comm& world, const ShardInputs& inputs, std::span<const ShardId> unfinished,
         std::span<const schedule::Lot> lots);

  // The rank that keeps the shard of a prompt.
  int keeper_of(std::uint64_t prompt_index) const;
  // Opens the shards of this rank that a lot was dealt from.
  void open(std::span<const schedule::Dealt> dealt);
  // What earlier attempts left of a lot of one of this rank's open shards.
  BegunLot begun(const schedule::Lot& lot) { return shard_of(lot.first_prompt).begun(lot, inputs_.prefixes); }

  void take(const dataset::Completion& row, Totals& totals) { shard_of(row.prompt_index).take(row, totals); }
  void take(const dataset::PromptScore& score) { shard_of(score.prompt_index).take(score); }
  void take(const dataset::PartialSample& partial) { shard_of(partial.prompt_index).take(partial); }

  // Writes the files of the shards that are complete, and of at most one that was complete from the start.
  void finish_complete(const dataset::OutputLayout& layout, const dataset::RootAttributes& attributes);
  // Calls body(shard) for each open shard.
  void for_open(const std::function<void(KeptShard&)>& body);
  // Shards that are begun and not written.
  std::uint32_t unwritten() const { return static_cast<std::uint32_t>(open_.size() + complete_.size()); }

 private:
  KeptShard& shard_of(std::uint64_t prompt_index);
  KeptShard& open(ShardId shard, std::uint64_t missing);

  int ranks_;
  int rank_;
  const ShardInputs& inputs_;
  std::map<ShardId, std::uint64_t> missing_;  // rows of this rank's shards that have lots and are not written
  std::vector<ShardId> complete_;             // this rank's shards that lack nothing but their files
  std::map<ShardId, KeptShard> open_;
};

}  // namespace moemill::mill
