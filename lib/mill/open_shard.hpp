// A shard that this rank has claimed: its rows as they end, its journal, and finally its file. Used by the loop.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "dataset/journal/journal.hpp"
#include "dataset/outputs/shard.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "generate/generator.hpp"
#include "generate/prepare.hpp"
#include "mill/totals.hpp"

namespace moemill::mill {

struct ShardInputs {
  const dataset::PromptFile& prompts;
  const dataset::RunPaths& paths;
  const dataset::RunManifest& manifest;
  const SamplingParams& defaults;
  const text::Tokenizer* tokenizer;
  PrepareRules rules;
};

class OpenShard {
 public:
  // Reads the shard's prompts and journal, and hands the missing samples to `generator`. A prompt with a fault becomes
  // failed rows at once. UserError if a prompt does not fit the KV cache at all.
  OpenShard(ShardId shard, const ShardInputs& inputs, Generator& generator, Totals& totals);

  ShardId id() const { return id_; }
  dataset::ShardRange range() const { return range_; }
  void take(dataset::Completion row, Totals& totals);
  void take(dataset::PromptScore score);
  void take(const dataset::PartialSample& partial) { journal_.append(partial); }
  void flush() { journal_.flush(); }
  bool complete() const { return missing_ == 0; }
  // Renames the shard's file to its final name, then removes the journal. The shard must be complete.
  void finish(const ShardInputs& inputs, const dataset::OutputLayout& layout,
              const dataset::RootAttributes& attributes);
  void close() { journal_.close(); }

 private:
  OpenShard(ShardId shard, const ShardInputs& inputs, Generator& generator, Totals& totals,
            dataset::JournalContents contents);
  void count(const dataset::Completion& row, Totals& totals);

  ShardId id_;
  dataset::ShardRange range_;
  dataset::JournalWriter journal_;
  dataset::ShardRows rows_;
  struct Remaining {
    std::uint32_t samples = 0;
    std::uint32_t failed = 0;
  };
  std::vector<Remaining> remaining_;  // [prompts of the range]
  std::uint64_t missing_ = 0;
};

}  // namespace moemill::mill
