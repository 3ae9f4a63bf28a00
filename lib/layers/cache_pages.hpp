// Which pages of the KV cache a layer keeps its tokens in, and what a page takes: rules of the model that the memory
// plan and every backend's cache share.
#pragma once

#include <cstdint>

#include "base/ids.hpp"
#include "model/config.hpp"
#include "schedule/step.hpp"

namespace moemill::layers {

schedule::PageGroup page_group(const model::ModelConfig& config, LayerId layer);

// Bytes of one KV page (page_tokens tokens) over all layers of the group.
std::uint64_t page_bytes(const model::ModelConfig& config, schedule::PageGroup group);

}  // namespace moemill::layers
