// The paged KV cache of one rank: kv_width bf16 values per layer and token. Latent attention keeps kv_lora + rope
// values per token, row by row; grouped attention keeps keys and values page by page in the order that its kernel
// reads. The two kinds of attention read and write it; the scheduler decides which sequence owns which page.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "base/numbers/bf16.hpp"
#include "base/rows.hpp"
#include "kernels/cpu/stream.hpp"
#include "layers/attention_plan.hpp"
#include "model/config.hpp"
#include "schedule/step.hpp"
#include "system/files/mapped_file.hpp"

namespace moemill::cpu {

using layers::token_slot;
using layers::TokenSlot;

// Offsets in a page of grouped attention: for each key-value head the keys, then the values; see
// kernels/cpu/attention_pages.hpp.
struct GroupedPage {
  std::size_t head_dim;

  std::size_t head(std::size_t kv_head) const { return kv_head * 2 * schedule::page_tokens * head_dim; }
  std::size_t key(std::size_t kv_head, std::size_t token, std::size_t d) const {
    const bool unpaired = d + 1 == head_dim && head_dim % 2 == 1;
    return head(kv_head) +
           (unpaired ? d * schedule::page_tokens + token : (d / 2 * schedule::page_tokens + token) * 2 + d % 2);
  }
  std::size_t value(std::size_t kv_head, std::size_t token, std::size_t d) const {
    return head(kv_head) + schedule::page_tokens * head_dim + (token / 2 * head_dim + d) * 2 + token % 2;
  }
};

class KvCache {
 public:
  // pages: how many, by PageGroup. All of them are one mapping, to which the operating system gives memory as it is
  // first written, in huge pages where it has them. Throws UserError when the allocation fails.
  KvCache(const model::ModelConfig& config, std::array<std::uint32_t, schedule::page_groups> pages);

  std::size_t width() const { return width_; }  // values per token and layer
  schedule::PageGroup group(LayerId layer) const { return layers_[static_cast<std::size_t>(layer.value)].group; }
  // [token slots, width] of a layer; page p begins at row p * page_tokens. Latent: row s holds the token of slot
  // s, first its latent (after the norm), then its rotated key. Grouped: GroupedPage gives the order in a page.
  Rows<bf16> layer(LayerId layer) { return slots(layer); }
  Rows<const bf16> layer(LayerId layer) const { return slots(layer); }
  // The cached values of a token: for Latent as they are stored; for Grouped [kv_heads, head_dim] keys, then as many
  // values.
  void read(LayerId layer, TokenSlot slot, float* out) const;

  void copy(std::span<const schedule::PageCopy> copies);
  // Fills all pages with random values of magnitude 0.5 to 1, about that of normed latents and keys. For benchmarks.
  void fill(Stream& stream, std::uint64_t seed);
  std::uint64_t bytes() const { return count_ * sizeof(bf16); }

 private:
  struct Layer {
    schedule::PageGroup group;
    std::size_t offset;  // values
  };
  Rows<bf16> slots(LayerId layer) const;
  void copy_page(const bf16* from, std::size_t tokens, bf16* to) const;

  model::AttentionKind kind_;
  model::Gqa gqa_;
  std::size_t width_;
  std::array<std::uint32_t, schedule::page_groups> pages_;
  std::vector<Layer> layers_;
  std::size_t count_;  // values in all
  MappedMemory memory_;
  bf16* data_;  // memory_
};

}  // namespace moemill::cpu
