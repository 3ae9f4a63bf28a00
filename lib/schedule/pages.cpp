#include "schedule/pages.hpp"

#include "base/error.hpp"

namespace moemill::schedule {

PagePool::PagePool(std::uint32_t pages) : holders_(pages, 0) {
  free_.reserve(pages);
  for (std::uint32_t p = pages; p > 0; --p) free_.push_back(PageId{static_cast<std::int32_t>(p - 1)});
}

void PagePool::take(std::uint32_t count, std::vector<PageId>& pages) {
  expect(count <= free_.size(), "pages: no more are taken than are free");
  for (; count > 0; --count) {
    pages.push_back(free_.back());
    holders_[static_cast<std::size_t>(free_.back().value)] = 1;
    free_.pop_back();
  }
}

void PagePool::hold(PageId page) {
  expect(holders(page) > 0, "pages: only a taken page gets another holder");
  ++holders_[static_cast<std::size_t>(page.value)];
}

void PagePool::release(PageId page) {
  expect(holders(page) > 0, "pages: only a taken page is released");
  if (--holders_[static_cast<std::size_t>(page.value)] == 0) free_.push_back(page);
}

void PagePool::release(std::span<const PageId> pages) {
  for (std::size_t p = pages.size(); p > 0; --p) release(pages[p - 1]);
}

}  // namespace moemill::schedule
