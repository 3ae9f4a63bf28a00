// picks.h5 of a run directory: which experts the router picked for the rows of some steps. Written by the job if
// runtime.record_picks asks for it, read by `bench simulate`.
//
// Attributes of the root: format "moemill-picks", format_version, moemill_version, model_type, model_sha256, attempt,
// experts, picks, steps. `layers` int32 [layers]: the model's layers with experts, ascending. `picks` uint16 [layers,
// rows, picks]: experts of each row, as the router ordered them; the rows of one step follow those of the step before.
// Both are stored in one piece each, so that a file has at least as many bytes as reading it takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moemill::dataset {

constexpr std::int64_t picks_format_version = 1;
constexpr std::uint64_t most_picks_bytes = std::uint64_t{256} << 20;  // of the picks of all layers

struct RecordedPicks {
  std::string model_type;
  std::string model_sha256;   // as in outputs.h5
  std::uint32_t attempt = 0;  // of the run, from 1
  std::uint32_t experts = 0;  // of a layer
  std::uint32_t picks = 0;    // of a row
  std::uint32_t steps = 0;
  std::vector<std::int32_t> layers;
  std::vector<std::vector<std::uint16_t>> of_layer;  // [layers] of [rows, picks], of the same number of rows

  std::uint64_t rows() const { return of_layer.empty() ? 0 : of_layer.front().size() / picks; }
};

// The file is whole or absent, whatever happens meanwhile. Rows beyond most_picks_bytes are left out.
void write_picks(const std::string& path, const RecordedPicks& picks);
// UserError with path and cause if it is no such file, damaged, larger than most_picks_bytes, or has no rows.
RecordedPicks read_picks(const std::string& path);

}  // namespace moemill::dataset
