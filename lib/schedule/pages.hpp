// The KV pages of one page group on one rank, as numbers only: which list holds which page, and how many more pages
// each list is promised. Several samples of a prompt may hold one page of prompt tokens, so holders are counted. Used
// by the scheduler; the layers own the memory.
//
// Layers with a window never read a page that lies outside it, so a list frees such pages as its sequence advances and
// holds only those that the window can touch. A list is promised the pages of its expected length when it is opened. A
// sequence that becomes longer takes pages that no list was promised, or, when there are none, one that was promised to
// another list and is owed to it from then on. A step of many rows may also borrow pages that no list was promised.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "base/numbers/rounding.hpp"
#include "schedule/step.hpp"

namespace moemill::schedule {

constexpr std::uint32_t pages_for(std::uint64_t tokens) {
  return static_cast<std::uint32_t>(divide_up<std::uint64_t>(tokens, page_tokens));
}

// The largest number of pages that `positions` consecutive positions can touch, wherever they begin.
constexpr std::uint32_t pages_touched(std::uint64_t positions) { return pages_for(positions + page_tokens - 1); }

// The number of pages with which windowed layers can run `sequences` sequences of up to `tokens` tokens at the same
// time while a step has `rows` prompt rows. More pages would never be used.
std::uint64_t useful_window_pages(std::uint32_t window, std::uint64_t tokens, std::uint64_t sequences,
                                  std::uint32_t rows);
// The number of pages that one such sequence needs, including the prompt's own pages if several samples share it.
std::uint32_t least_window_pages(std::uint32_t window, std::uint64_t tokens);

// The pages of one group that a prompt or a sample holds. Pages before `own` belong to the prompt, the others to this
// list alone.
struct PageList {
  std::vector<PageId> pages;   // for positions from 0 on; PageId{-1} where freed
  std::uint32_t first = 0;     // index of the first page that is not freed
  std::uint32_t own = 0;       // index of the first page that is, or will be, allocated for this list
  std::uint32_t end = 0;       // number of pages up to which some are promised
  std::uint32_t expected = 0;  // the same when the list was opened
  std::uint32_t last = 0;      // the most pages of the whole sequence
  std::uint32_t promised = 0;  // pages that are reserved for this list but not taken yet
  std::uint32_t owed = 0;      // pages that were promised to it and that others have taken
};

class PagePool {
 public:
  // `window` is the number of positions that a row sees, its own included; 0 means all.
  PagePool(std::uint32_t pages, std::uint32_t window);

  std::uint32_t capacity() const { return static_cast<std::uint32_t>(holders_.size()); }
  std::uint32_t free() const { return static_cast<std::uint32_t>(free_.size()); }
  // Pages that are free and not promised to any list.
  std::uint32_t unpromised() const { return free() - promised_ - lent_pages_; }
  // Pages that are free, promised or not, and not set aside.
  std::uint32_t unlent() const { return free() - lent_pages_; }
  // Unpromised pages that are not owed either: a list may be opened with so many.
  std::uint32_t available() const { return unpromised() - std::min(unpromised(), owed_); }
  std::uint32_t holders(PageId page) const { return holders_[static_cast<std::size_t>(page.value)]; }

  // The number of pages that a list with pages own .. end - 1 is promised. A sequence that advances by one row at a
  // time never holds more.
  std::uint32_t promise(std::uint32_t own, std::uint32_t end) const;
  // What is promised to the list if it is to have pages up to `end`.
  std::uint32_t promise_up_to(const PageList& list, std::uint32_t end) const;
  // Opens an empty list with that promise; it may get `last` pages. Callers check available() first: it is our bug if
  // there are too few.
  void open(PageList& list, std::uint32_t own, std::uint32_t end, std::uint32_t last);
  // Takes back a promised page, which is owed to the list from then on. False if none is promised.
  bool take_back(PageList& list);
  // Makes the first `pages` pages of `from` the first pages of `list`; both lists hold them.
  void share(const PageList& from, std::uint32_t pages, PageList& list);
  // How many of `rows` rows starting at `position` can get pages now. At least one if all rows before `position` are
  // computed and slide() was called.
  std::uint32_t rows_within(const PageList& list, std::uint32_t position, std::uint32_t rows) const;
  // Takes pages until they cover `positions` positions. Callers check rows_within() first: it is our bug if there are
  // too few.
  void reach(PageList& list, std::uint32_t positions);
  // Frees the pages that no row from `position` on sees; `position` is that of the sequence's next row.
  void slide(PageList& list, std::uint32_t position);
  // Frees all pages and ends the promise.
  void close(PageList& list);
  // Makes `list` hold those pages of `from` that rows from `rows` - 2 on see before row `rows`, beside `from` and for
  // longer. False, and nothing is done, if the window has left such a page, or if there are too few free pages for
  // `from` to go on with when it gives back one that is not freed by that.
  bool keep(const PageList& from, std::uint32_t rows, PageList& list);

 private:
  enum class By { Owner, Guest };
  void release(PageId page, By by);
  void release(const PageList& list, std::uint32_t index);
  std::uint32_t first_seen(std::uint32_t position) const;
  void renew_promise(PageList& list);

  std::uint32_t window_;
  std::uint32_t span_;                  // the largest number of pages that a window can touch
  std::uint32_t promised_ = 0;          // pages promised to all lists together
  std::uint32_t owed_ = 0;              // pages owed to all lists together
  std::uint32_t lent_pages_ = 0;        // free pages set aside: one for each page that is lent
  std::vector<std::uint32_t> holders_;  // [pages]
  // [pages] Whether a list with a window has lent the page to one that may hold it longer. When it gives back such a
  // page its promise is renewed though nothing becomes free.
  std::vector<bool> lent_;
  std::vector<PageId> free_;  // a stack: pages freed last are taken first, as they may still be in cache
};

}  // namespace moemill::schedule
