#include "layers/kv_cache.hpp"

#include <cstring>

#include "base/error.hpp"

namespace moemill::layers {

namespace {
constexpr std::size_t line_bytes = 64;
constexpr std::size_t slack_bytes = 256;  // kernels load and prefetch whole vectors past the last value
}  // namespace

// calloc: large blocks come from the kernel zeroed and untouched, so an unused page costs no memory.
KvCache::KvCache(const model::ModelConfig& config, std::uint32_t pages)
    : width_(config.mla.kv_lora_rank + config.mla.qk_rope_dim),
      layers_(config.layers),
      pages_(pages),
      layer_stride_(static_cast<std::size_t>(pages) * schedule::page_tokens * width_),
      memory_(std::calloc(layers_ * layer_stride_ * sizeof(bf16) + line_bytes + slack_bytes, 1), &std::free) {
  if (!memory_) {
    user_error("parallel.kv_cache_tokens: no memory for {} tokens ({} bytes); ask for fewer",
               static_cast<std::uint64_t>(pages) * schedule::page_tokens, bytes());
  }
  auto address = reinterpret_cast<std::uintptr_t>(memory_.get());
  data_ = reinterpret_cast<bf16*>((address + line_bytes - 1) / line_bytes * line_bytes);
}

void KvCache::copy(std::span<const schedule::PageCopy> copies) {
  const auto pages = static_cast<std::int32_t>(pages_);
  for (const schedule::PageCopy& c : copies) {
    expect(c.tokens <= schedule::page_tokens && c.from.value >= 0 && c.to.value >= 0 && c.from.value < pages &&
               c.to.value < pages,
           "kv cache: a page copy names pages of this rank");
    const std::size_t from = token_slot(c.from, 0) * width_;
    const std::size_t to = token_slot(c.to, 0) * width_;
    for (std::size_t l = 0; l < layers_; ++l) {
      bf16* base = data_ + l * layer_stride_;
      std::memcpy(base + to, base + from, c.tokens * width_ * sizeof(bf16));
    }
  }
}

}  // namespace moemill::layers
