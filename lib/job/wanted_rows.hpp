// What the settings of now want of prompts whose rows are there: their tokens, how many samples, how long. Used where a
// run is changed.
#pragma once

#include <cstdint>
#include <vector>

#include "dataset/prompts/prompts.hpp"
#include "dataset/reopen/reopen.hpp"
#include "generate/model_folder.hpp"

namespace moemill::mill {

class WantedRows {
 public:
  // What the columns are said to be now and were when the rows were made.
  enum class Columns { Same, Changed };
  // `before`: the settings that the rows were made with. All but it must outlive this.
  WantedRows(const RunConfig& config, RunConfig before, Columns columns, const ModelFolder& model,
             const dataset::PromptFile& prompts);
  // Cheap where prompts are asked for in order.
  const PreparedPrompt& of(std::uint64_t prompt);
  // Whether a row that is there goes on. UserError where a run with these settings would not have begun with it.
  dataset::Fate fate_of(const dataset::Completion& row);
  // The end that a row had found, had it been allowed to be longer; None when it goes on.
  FinishReason ends_after_all(const dataset::Completion& row);
  // Whether the model read the same tokens of a prompt before as it would now: errors.too_long may have cut it.
  bool begins_as_before(std::uint64_t prompt);
  // Whether an answer that was broken off is the beginning of one that is wanted now.
  bool goes_on(const dataset::PartialSample& partial);

 private:
  const RunConfig& config_;
  RunConfig before_;
  Columns columns_;
  const ModelFolder& model_;
  const dataset::PromptFile& prompts_;
  PrepareRules rules_, rules_before_;
  std::uint64_t first_ = 0;
  std::vector<PreparedPrompt> block_;
};

}  // namespace moemill::mill
