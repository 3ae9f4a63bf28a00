#include "layers/cpu/attention/kv_cache.hpp"

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "base/numbers/random.hpp"
#include "base/numbers/rounding.hpp"
#include "layers/cache_pages.hpp"

namespace moemill::cpu {

namespace {

using schedule::page_tokens;

constexpr std::size_t slack_bytes = 256;  // kernels load and prefetch whole vectors past the last value

// The kernel gives zeroed memory when it is first touched, so an unused page costs nothing.
MappedMemory map(std::uint64_t bytes, std::uint64_t tokens) try {
  return {bytes + slack_bytes, "the KV cache"};
} catch (const SystemError&) {
  user_error("parallel.kv_cache_tokens: no memory for {} tokens ({} bytes); ask for fewer", tokens, bytes);
}

}  // namespace

KvCache::KvCache(const model::ModelConfig& config, std::array<std::uint32_t, schedule::page_groups> pages)
    : kind_(config.attention),
      gqa_(config.gqa),
      width_(model::kv_width(config)),
      pages_(pages),
      count_(0),
      data_(nullptr) {
  for (std::size_t l = 0; l < config.layers; ++l) {
    layers_.push_back({layers::page_group(config, {static_cast<std::int32_t>(l)}), count_});
    count_ += static_cast<std::size_t>(pages_[static_cast<std::size_t>(layers_[l].group)]) * page_tokens * width_;
  }
  memory_ = map(bytes(), std::uint64_t{std::max(pages_[0], pages_[1])} * page_tokens);
  data_ = reinterpret_cast<bf16*>(memory_.data());
}

Rows<bf16> KvCache::slots(LayerId layer) const {
  const Layer& l = layers_[static_cast<std::size_t>(layer.value)];
  return {data_ + l.offset, std::size_t{pages_[static_cast<std::size_t>(l.group)]} * page_tokens, width_};
}

void KvCache::read(LayerId layer, TokenSlot slot, float* out) const {
  const Rows<const bf16> slots = this->layer(layer);
  if (kind_ == model::AttentionKind::Latent) {
    for (std::size_t i = 0; i < width_; ++i) out[i] = to_float(slots.row(slot)[i]);
    return;
  }
  const GroupedPage page{gqa_.head_dim};
  const std::size_t token = slot % page_tokens;
  const bf16* from = slots.row(slot - token);
  for (std::size_t h = 0; h < gqa_.kv_heads; ++h) {
    for (std::size_t d = 0; d < gqa_.head_dim; ++d) {
      out[h * gqa_.head_dim + d] = to_float(from[page.key(h, token, d)]);
      out[width_ / 2 + h * gqa_.head_dim + d] = to_float(from[page.value(h, token, d)]);
    }
  }
}

void KvCache::copy(std::span<const schedule::PageCopy> copies) {
  for (const schedule::PageCopy& c : copies) {
    const auto pages = static_cast<std::int32_t>(pages_[static_cast<std::size_t>(c.group)]);
    expect(
        c.tokens <= page_tokens && c.from.value >= 0 && c.to.value >= 0 && c.from.value < pages && c.to.value < pages,
        "kv cache: a page copy names pages of this rank");
    for (const Layer& layer : layers_) {
      if (layer.group != c.group) continue;
      bf16* base = data_ + layer.offset;
      copy_page(base + token_slot(c.from, 0) * width_, c.tokens, base + token_slot(c.to, 0) * width_);
    }
  }
}

void KvCache::fill(Stream& stream, std::uint64_t seed) {
  constexpr std::size_t at_a_time = 8;  // values, 16 bits of one random number each
  stream.team().parallel_for(divide_up(count_, at_a_time), 1 << 12, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      const auto words = philox(seed, i);
      for (std::size_t j = 0; j < std::min(at_a_time, count_ - i * at_a_time); ++j) {
        constexpr std::uint32_t sign_and_mantissa = 0x807f, exponent = 0x3f00;
        const std::uint32_t bits = words[j / 2] >> (16 * (j % 2));
        data_[i * at_a_time + j] = {static_cast<std::uint16_t>((bits & sign_and_mantissa) | exponent)};
      }
    }
  });
}

// The first `tokens` of a page and nothing else.
void KvCache::copy_page(const bf16* from, std::size_t tokens, bf16* to) const {
  if (kind_ == model::AttentionKind::Latent || tokens == page_tokens) {
    std::memcpy(to, from, tokens * width_ * sizeof(bf16));
    return;
  }
  const GroupedPage page{gqa_.head_dim};
  for (std::size_t h = 0; h < gqa_.kv_heads; ++h) {
    for (std::size_t d = 0; d < gqa_.head_dim; d += 2) {
      const std::size_t at = page.key(h, 0, d);
      std::memcpy(to + at, from + at, tokens * (d + 1 < gqa_.head_dim ? 2 : 1) * sizeof(bf16));
    }
    const std::size_t at = page.value(h, 0, 0);
    std::memcpy(to + at, from + at, tokens / 2 * 2 * gqa_.head_dim * sizeof(bf16));
    if (tokens % 2 == 0) continue;
    for (std::size_t d = 0; d < gqa_.head_dim; ++d) {
      const std::size_t last = page.value(h, tokens - 1, d);
      to[last] = from[last];
    }
  }
}

}  // namespace moemill::cpu
