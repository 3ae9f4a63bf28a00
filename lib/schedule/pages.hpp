// The KV pages of one group on one rank, by number only: who holds which page and who may yet ask for one. A page of
// prompt tokens may be held by several samples of the prompt, so holders are counted. Used by the scheduler; the layers
// own the memory.
//
// Layers with a window never look at a page that lies outside of it, so a list gives such pages back as its sequence
// gets on and holds only what the window can touch. What that takes is promised to a list when it is opened, which is
// why a sequence that has begun always gets on; a step of many rows may borrow pages that are promised to nobody.
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

// Pages that `positions` consecutive positions touch at most, wherever they begin.
constexpr std::uint32_t pages_touched(std::uint64_t positions) { return pages_for(positions + page_tokens - 1); }

// Pages of layers with a window that let `sequences` of up to `tokens` tokens run at a time while a step has `rows`
// rows of prompts; more are of no use to them.
std::uint64_t useful_window_pages(std::uint32_t window, std::uint64_t tokens, std::uint64_t sequences,
                                  std::uint32_t rows);
// Pages that one such sequence needs, and one at a time of several that share a prompt.
std::uint32_t least_window_pages(std::uint32_t window, std::uint64_t tokens);

// What a prompt or a sample holds of one group. Its pages before `own` are its prompt's; the others are its alone.
struct PageList {
  std::vector<PageId> pages;   // of positions from 0 on; PageId{-1} where given back
  std::uint32_t first = 0;     // pages before it were given back
  std::uint32_t own = 0;       // pages from it on were, or will be, taken for this list
  std::uint32_t end = 0;       // pages of the whole sequence
  std::uint32_t promised = 0;  // that it may take whatever others do
};

class PagePool {
 public:
  // `window`: positions that a row sees, its own included; 0: all.
  PagePool(std::uint32_t pages, std::uint32_t window);

  std::uint32_t capacity() const { return static_cast<std::uint32_t>(holders_.size()); }
  std::uint32_t free() const { return static_cast<std::uint32_t>(free_.size()); }
  // Free, and promised to nobody.
  std::uint32_t unpromised() const { return free() - promised_; }
  std::uint32_t holders(PageId page) const { return holders_[static_cast<std::size_t>(page.value)]; }

  // What a list of pages own .. end - 1 is promised. Rows that come one by one never need more at a time.
  std::uint32_t promise(std::uint32_t own, std::uint32_t end) const;
  // An empty list with that promise; broken invariant if it cannot be given: ask first.
  void open(PageList& list, std::uint32_t own, std::uint32_t end);
  // The first `pages` of another list become the first of this one; both hold them.
  void share(const PageList& from, std::uint32_t pages, PageList& list);
  // Of `rows` rows from `position` on, those that pages can be had for now. At least one, if all before it are computed
  // and slide() was told.
  std::uint32_t rows_within(const PageList& list, std::uint32_t position, std::uint32_t rows) const;
  // Takes pages until they cover `positions`. Broken invariant if there are too few, see rows_within().
  void reach(PageList& list, std::uint32_t positions);
  // The next row of the sequence is at `position`: gives back what it and its successors do not see.
  void slide(PageList& list, std::uint32_t position);
  // Gives back everything, the promise as well.
  void close(PageList& list);

 private:
  void release(PageId page);
  void renew_promise(PageList& list);

  std::uint32_t window_;
  std::uint32_t span_;                  // pages that a window touches at most
  std::uint32_t promised_ = 0;          // to all lists
  std::vector<std::uint32_t> holders_;  // [pages]
  std::vector<PageId> free_;            // a stack: pages used last are taken first, they are warm
};

}  // namespace moemill::schedule
