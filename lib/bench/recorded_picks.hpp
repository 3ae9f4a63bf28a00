// Picks of a run, from its picks.h5, in place of made-up ones. Used by `bench simulate`.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/ids.hpp"
#include "dataset/run_dir/picks_file.hpp"
#include "model/config.hpp"

namespace moemill::bench {

enum class SameWeights : std::uint8_t {
  Yes,
  Unknown  // the model's folder has no weights, or the run did not know its own
};

class PicksOfRun {
 public:
  // `config` is that of the model in `dir`. UserError if the file is none, or was recorded from another model: of
  // another type, shape, or, where `dir` has weights, of other ones.
  PicksOfRun(const std::string& path, const std::string& dir, const model::ModelConfig& config);

  // picks: [rows, picks] of the rows from number first_row on, again from the first where the file has no more.
  void copy(LayerId layer, std::uint64_t first_row, std::span<GlobalExpert> picks) const;
  const dataset::RecordedPicks& file() const { return file_; }
  SameWeights same_weights() const { return same_weights_; }

 private:
  dataset::RecordedPicks file_;
  SameWeights same_weights_;
};

}  // namespace moemill::bench
