// The paged latent cache of one rank: for every layer and token kv_lora + rope bf16 values and nothing more. Read and
// written by layers/mla; which sequence owns which page is the scheduler's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "base/bf16.hpp"
#include "base/ids.hpp"
#include "model/config.hpp"
#include "schedule/step.hpp"

namespace moemill::layers {

// Place of a token in its layer: the same in every layer.
using TokenSlot = std::uint32_t;

inline TokenSlot token_slot(PageId page, std::uint32_t position) {
  return static_cast<std::uint32_t>(page.value) * schedule::page_tokens + position % schedule::page_tokens;
}

class KvCache {
 public:
  // One allocation for all. Memory is taken from the machine when a page is first written. Throws UserError when the
  // address space does not hold it.
  KvCache(const model::ModelConfig& config, std::uint32_t pages);

  std::size_t width() const { return width_; }  // values a token: kv_lora (after its norm), then rope (rotated)
  // The row of token slot s of this layer is at layer(l) + s * width().
  bf16* layer(LayerId layer) { return data_ + static_cast<std::size_t>(layer.value) * layer_stride_; }
  const bf16* layer(LayerId layer) const { return data_ + static_cast<std::size_t>(layer.value) * layer_stride_; }

  void copy(std::span<const schedule::PageCopy> copies);
  std::uint64_t bytes() const { return layers_ * layer_stride_ * sizeof(bf16); }

 private:
  std::size_t width_;
  std::size_t layers_;
  std::uint32_t pages_;
  std::size_t layer_stride_;  // values
  std::unique_ptr<void, decltype(&std::free)> memory_;
  bf16* data_;  // memory_, aligned to a cache line
};

}  // namespace moemill::layers
