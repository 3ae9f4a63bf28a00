// --retry-failed: takes the failed rows out of a run's shards and journals, so that the next attempt makes them again;
// what went well stays. And how finished rows are read back from a file, which replay needs too.
#pragma once

#include <vector>

#include "dataset/outputs.hpp"
#include "dataset/run_dir.hpp"

namespace moemill::mill {

// Rank 0, under the run's lock. A kill at any moment leaves either the old rows or the new state.
// SystemError, and nothing is changed, when a byte of any finished shard is not as it was sealed.
void reopen_failed(const dataset::RunPaths& paths, const dataset::RunManifest& manifest);

// Rows first .. first+count-1 as completions (without errors' codes and messages). The file must store token ids.
std::vector<dataset::Completion> read_completions(const dataset::OutputReader& reader, std::uint64_t first,
                                                  std::uint64_t count);

}  // namespace moemill::mill
