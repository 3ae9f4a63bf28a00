// The KV pages of one rank, by number only: who holds which page. A page of prompt tokens may be held by several
// samples of the prompt, so holders are counted. Used by the scheduler; the layers own the memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "schedule/step.hpp"

namespace moemill::schedule {

constexpr std::uint32_t pages_for(std::uint64_t tokens) {
  return static_cast<std::uint32_t>((tokens + page_tokens - 1) / page_tokens);
}

class PagePool {
 public:
  explicit PagePool(std::uint32_t pages);

  std::uint32_t capacity() const { return static_cast<std::uint32_t>(holders_.size()); }
  std::uint32_t free() const { return static_cast<std::uint32_t>(free_.size()); }
  // Appends `count` pages with one holder each. Broken invariant if fewer are free: ask first.
  void take(std::uint32_t count, std::vector<PageId>& pages);
  void hold(PageId page);  // one more holder
  void release(PageId page);
  void release(std::span<const PageId> pages);
  std::uint32_t holders(PageId page) const { return holders_[static_cast<std::size_t>(page.value)]; }

 private:
  std::vector<std::uint32_t> holders_;  // [pages]
  std::vector<PageId> free_;            // a stack: pages used last are taken first, they are warm
};

}  // namespace moemill::schedule
