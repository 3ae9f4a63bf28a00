#include "schedule/pages.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.hpp"

namespace moemill::schedule {

std::uint64_t useful_window_pages(std::uint32_t window, std::uint64_t tokens, std::uint64_t sequences,
                                  std::uint32_t rows) {
  const std::uint64_t whole = pages_for(tokens), promise = std::min<std::uint64_t>(whole, pages_touched(window));
  // One promise more than there are sequences, because samples of one prompt share its pages beside their own.
  return std::min(sequences * whole, (sequences + 1) * promise + pages_for(rows));
}

std::uint32_t least_window_pages(std::uint32_t window, std::uint64_t tokens) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(pages_for(tokens), 2 * std::uint64_t{pages_touched(window)}));
}

PagePool::PagePool(std::uint32_t pages, std::uint32_t window)
    : window_(window),
      span_(window == 0 ? std::numeric_limits<std::uint32_t>::max() : pages_touched(window)),
      holders_(pages, 0),
      lent_(pages, false) {
  free_.reserve(pages);
  for (std::uint32_t p = pages; p > 0; --p) free_.push_back(PageId{static_cast<std::int32_t>(p - 1)});
}

std::uint32_t PagePool::promise(std::uint32_t own, std::uint32_t end) const { return std::min(end - own, span_); }

void PagePool::open(PageList& list, std::uint32_t own, std::uint32_t end, std::uint32_t last) {
  expect(list.pages.empty() && own <= end && end <= last, "pages: a list is opened once");
  expect(promise(own, end) <= unpromised(), "pages: only free pages are promised");
  list.first = 0, list.own = own, list.end = list.expected = end, list.last = last;
  list.promised = list.owed = 0;
  renew_promise(list);
}

bool PagePool::take_back(PageList& list) {
  if (list.promised == 0) return false;
  list.end = std::max(list.own, static_cast<std::uint32_t>(list.pages.size())) + list.promised - 1;
  renew_promise(list);
  return true;
}

void PagePool::share(const PageList& from, std::uint32_t pages, PageList& list) {
  expect(list.pages.empty() && pages <= list.own && pages <= from.pages.size(),
         "pages: a list begins with its prompt's pages");
  list.pages.assign(from.pages.begin(), from.pages.begin() + pages);
  list.first = std::min(from.first, pages);
  for (std::uint32_t p = list.first; p < pages; ++p) ++holders_[static_cast<std::size_t>(list.pages[p].value)];
}

std::uint32_t PagePool::rows_within(const PageList& list, std::uint32_t position, std::uint32_t rows) const {
  const std::uint64_t pages = std::uint64_t{list.pages.size()} + list.promised + unpromised();
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(rows, pages * page_tokens - position));
}

void PagePool::reach(PageList& list, std::uint32_t positions) {
  const std::uint32_t pages = pages_for(positions);
  expect(pages <= list.last, "pages: a sequence does not exceed its announced length");
  while (list.pages.size() < pages) {
    expect(list.promised > 0 || unpromised() > 0, "pages: only free pages are taken");
    list.pages.push_back(free_.back());
    holders_[static_cast<std::size_t>(free_.back().value)] = 1;
    free_.pop_back();
    list.end = std::max(list.end, static_cast<std::uint32_t>(list.pages.size()));
    renew_promise(list);
  }
}

void PagePool::slide(PageList& list, std::uint32_t position) {
  const std::uint32_t to = std::min(first_seen(position), static_cast<std::uint32_t>(list.pages.size()));
  if (to <= list.first) return;
  const std::uint32_t released = to - std::min(to, std::max(list.first, list.own));
  for (; list.first < to; ++list.first) {
    release(list, list.first);
    list.pages[list.first] = PageId{-1};
  }
  // A sequence that is longer than expected takes its next pages in place of those that it leaves.
  const auto next = static_cast<std::uint32_t>(list.pages.size()) + released;
  list.end = std::min(list.last, std::max(list.end, next));
  renew_promise(list);
}

bool PagePool::keep(const PageList& from, std::uint32_t rows, PageList& list) {
  expect(list.pages.empty(), "pages: a list is opened once");
  const std::uint32_t pages = pages_for(rows), first = first_seen(std::max(rows, 2u) - 2);
  if (from.first > first || from.pages.size() < pages) return false;
  std::vector<std::size_t> lend;
  for (std::uint32_t p = std::max(first, from.own); window_ > 0 && p < pages; ++p)
    if (const auto page = static_cast<std::size_t>(from.pages[p].value); !lent_[page]) lend.push_back(page);
  if (lend.size() > unpromised()) return false;
  for (std::size_t page : lend) lent_[page] = true;
  lent_pages_ += static_cast<std::uint32_t>(lend.size());

  list.own = list.end = list.expected = list.last = pages;
  list.first = first;
  list.pages.assign(first, PageId{-1});
  list.pages.insert(list.pages.end(), from.pages.begin() + first, from.pages.begin() + pages);
  for (std::uint32_t p = first; p < pages; ++p) ++holders_[static_cast<std::size_t>(list.pages[p].value)];
  return true;
}

void PagePool::close(PageList& list) {
  for (auto p = static_cast<std::uint32_t>(list.pages.size()); p > list.first; --p) release(list, p - 1);
  promised_ -= list.promised;
  owed_ -= list.owed;
  list = {};
}

void PagePool::release(const PageList& list, std::uint32_t index) {
  release(list.pages[index], index >= list.own ? By::Owner : By::Guest);
}

void PagePool::release(PageId page, By by) {
  expect(holders(page) > 0, "pages: only a taken page is released");
  const auto number = static_cast<std::size_t>(page.value);
  const std::uint32_t left = --holders_[number];
  if (lent_[number] && (by == By::Owner || left <= 1)) {
    lent_[number] = false;
    --lent_pages_;
  }
  if (left == 0) free_.push_back(page);
}

// The first page that a row at `position`, or one behind it, sees.
std::uint32_t PagePool::first_seen(std::uint32_t position) const {
  return window_ == 0 || position < window_ ? 0 : (position - window_ + 1) / page_tokens;
}

// The initial promise less the own pages that the list holds, and never more than the pages it has yet to take.
std::uint32_t PagePool::promise_up_to(const PageList& list, std::uint32_t end) const {
  const auto size = static_cast<std::uint32_t>(list.pages.size());
  const std::uint32_t from = std::max(list.own, list.first);
  const std::uint32_t held = size > from ? size - from : 0;
  const std::uint32_t at_most = promise(list.own, end);
  return std::min(at_most - std::min(at_most, held), end - std::max(list.own, size));
}

void PagePool::renew_promise(PageList& list) {
  const std::uint32_t now = promise_up_to(list, list.end);
  const std::uint32_t owed = promise_up_to(list, std::max(list.end, list.expected)) - now;
  promised_ += now - list.promised, owed_ += owed - list.owed;
  list.promised = now, list.owed = owed;
}

}  // namespace moemill::schedule
