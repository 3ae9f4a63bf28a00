// How prompts that already have rows look under the present settings: their tokens, number of samples and length. Used
// when a run is changed.
#pragma once

#include <cstdint>
#include <vector>

#include "dataset/prompts/prompts.hpp"
#include "dataset/reopen/reopen.hpp"
#include "generate/model_folder.hpp"

namespace moemill::mill {

class WantedRows {
 public:
  // Whether the input's columns may have changed since the rows were made.
  enum class Columns { Same, Changed };
  // `before` are the settings with which the rows were made. The remaining arguments must outlive this object.
  WantedRows(const RunConfig& config, RunConfig before, Columns columns, const ModelFolder& model,
             const dataset::PromptFile& prompts);
  // Fast if prompts are asked for in order.
  const PreparedPrompt& of(std::uint64_t prompt);
  // Whether an existing row continues. UserError if a run with these settings would not have begun with it.
  dataset::Fate fate_of(const dataset::Completion& row);
  // The finish reason that the row would have had with a larger max_tokens; None if it continues.
  FinishReason ends_after_all(const dataset::Completion& row);
  // Whether the model read the same tokens of a prompt before as it would now: errors.too_long may have cut it.
  bool begins_as_before(std::uint64_t prompt);
  // Whether an unfinished answer is the beginning of the answer that is wanted now.
  bool is_beginning(const dataset::PartialSample& partial);

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
