// The last step of a run: copies all finished shards, in order, into outputs.h5. One rank calls it. Memory does not
// grow with the run, and the datasets are byte for byte the same for any shard size.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "dataset/outputs/outputs.hpp"

namespace moemill::dataset {

// `shards` are the paths of all shards in the order of their prompts. The file is written under a temporary name, like
// a shard. Everything, carried columns too, comes from the shards, so the input is not needed. `between` is called
// between blocks of rows; what it throws ends the merge. SystemError, and no outputs.h5, when a shard belongs to
// another run, is not in its place or is damaged, or when the shards do not hold all `completions` rows.
void merge_shards(
    const std::vector<std::string>& shards, const std::string& path, const OutputLayout& layout,
    const RootAttributes& attributes, std::uint64_t completions, const std::function<void()>& between = [] {});

}  // namespace moemill::dataset
