// Proof from disk that a run's outputs are whole: for `moemill verify [--deep]`. Read-only. (--replay is mill's.)
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/run_dir/run_dir.hpp"

namespace moemill::dataset {

// Form: every byte of outputs.h5, or of the shards where it is not there yet, against its seal (dataset/seal.hpp);
// every (prompt, sample) exactly once against the input, attributes, types, offsets, legal values, errors. Deep: also
// the shards beside an outputs.h5, whose rows must be equal, and every stored value: token ids within the vocabulary,
// text as UTF-8, carried columns as in the input.
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
  std::uint64_t rows_unfinished = 0;     // of shards that are not there, without an outputs.h5
  std::vector<std::string> whole_files;  // outputs.h5, then shards, as far as looked at: every byte is as it was sealed
  std::vector<std::string> broken_files;  // or this is not so, or they cannot be read
  std::vector<std::string> faults;        // file, dataset, row, what; at most `most_faults`, then one line that says so
};
constexpr std::size_t most_faults = 100;

// UserError when `dir` holds no run. An unfinished run has faults: its missing rows.
VerifyReport verify_run(const VerifyRequest& request, const PromptFile& prompts);

}  // namespace moemill::dataset
