// The last act of a run: all finished shards, in order, into outputs.h5. Called by one rank. Memory is flat in the size
// of the run, and the datasets come out byte for byte the same whatever the shards' size was.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "dataset/outputs/outputs.hpp"

namespace moemill::dataset {

// `shards` are the paths of all shards in the order of their prompts. By the same rename rule as a shard. Everything,
// carried columns too, comes from the shards, so the input may be gone. `between` is called between blocks of rows;
// what it throws ends the merging. SystemError, and no outputs.h5, where a shard is of another run, not in its place or
// damaged, or where they do not hold all `completions` rows.
void merge_shards(
    const std::vector<std::string>& shards, const std::string& path, const OutputLayout& layout,
    const RootAttributes& attributes, std::uint64_t completions, const std::function<void()>& between = [] {});

}  // namespace moemill::dataset
