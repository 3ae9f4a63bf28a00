// Checks from disk that a run's outputs are whole, for `moemill verify [--deep]`. Read-only. commands/verify.cpp has
// --replay.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/run_dir/run_dir.hpp"

namespace moemill::dataset {

// Form: every byte of outputs.h5, or of the shards if it does not exist yet, is as it was sealed (dataset/seal.hpp);
// every (prompt, sample) of the input is there exactly once; attributes, types, offsets, values and errors are legal.
// Deep: also the shards beside an outputs.h5 have equal rows, token ids are within the vocabulary, texts are UTF-8 and
// carried columns are as in the input.
enum class VerifyDepth { Form, Deep };

struct VerifyRequest {
  std::string dir;
  VerifyDepth depth = VerifyDepth::Form;
  SamplingParams defaults;                  // for n
  std::optional<std::uint32_t> vocabulary;  // token ids must be below it
  bool merge = true;                        // output.merge: whether a whole run has an outputs.h5
};

struct VerifyReport {
  std::uint64_t rows_checked = 0;
  std::uint64_t rows_unfinished = 0;      // rows of missing shards, when there is no outputs.h5
  std::vector<std::string> whole_files;   // outputs.h5, then the shards that were checked, with every byte as sealed
  std::vector<std::string> broken_files;  // files with faults, and files that cannot be read
  std::vector<std::string> faults;  // "file: dataset, row: fault"; at most `most_faults`, and a line about the rest
};
constexpr std::size_t most_faults = 100;

// UserError if `dir` holds no run. The missing rows of an unfinished run are faults.
VerifyReport verify_run(const VerifyRequest& request, const PromptFile& prompts);

}  // namespace moemill::dataset
