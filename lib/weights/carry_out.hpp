// Carries out a load plan on a rank's team of threads: one thread reads, decodes and packs a piece, in the order of the
// plan, while the bytes of later pieces are read ahead. The ranks of a node, which have the same plan, take its pieces
// from one board, as threads do. Private to weights/.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>

#include "system/files/node_memory.hpp"
#include "system/machine/threads.hpp"
#include "weights/load_board.hpp"
#include "weights/load_plan.hpp"
#include "weights/load_request.hpp"
#include "weights/tensor_source.hpp"

namespace moemill::model {

// Logs, at level info, how much the ranks of the node have loaded and how fast: every few seconds and at the end. Short
// loads log nothing.
class LoadProgress {
 public:
  LoadProgress(Announce announce, std::uint64_t goal_bytes, std::atomic<std::uint64_t>& done_bytes)
      : announce_(announce), goal_(goal_bytes), done_(done_bytes) {}

  void add(std::uint64_t bytes) { done_.fetch_add(bytes, std::memory_order_relaxed); }
  // Called by one thread.
  void report();
  void report_end();

 private:
  using Clock = std::chrono::steady_clock;
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  Announce announce_;
  std::uint64_t goal_;
  std::atomic<std::uint64_t>& done_;
  Clock::time_point start_ = Clock::now();
  double reported_ = 0;  // seconds from start_ to the last line
};

template <class Layout, class Source>
void read_piece(const Piece& piece, const Layout& layout, const Source& source, ReadBuffers& buffers) {
  if (const auto* rows = std::get_if<RowsPiece>(&piece)) return layout.put(*rows, source.rows(*rows, buffers));
  const auto& floats = std::get<FloatsPiece>(piece);
  const std::uint64_t count = (floats.count - 1) * floats.step + 1;
  float* values = buffers.floats.reserve(count);
  source.floats(floats.tensor, floats.first, count, values, buffers);
  layout.put(floats, values);
}

// Calls work(thread) on all threads of the team. What one of them throws is thrown here, when all have ended.
template <class Work>
void on_all_threads(LoadBoard& board, ThreadTeam& team, const Work& work) {
  const auto threads = static_cast<std::size_t>(team.size());
  team.parallel_for(threads, 1, [&](std::size_t begin, std::size_t end, int thread) {
    try {
      for (std::size_t t = begin; t < end; ++t) work(thread);
    } catch (...) {
      board.failed = 1;  // the other threads of the node stop early
      throw;
    }
  });
}

// Gives shared memory its pages before values are put there; private memory has no blocks.
void make_blocks(const NodeMemory& memory, LoadBoard& board, ThreadTeam& team, const std::function<void()>& between);

template <class Layout, class Source>
void carry_out_plan(const LoadPlan& plan, const Layout& layout, const Source& source, LoadBoard& board,
                    ThreadTeam& team, std::size_t ranks, Announce announce, const std::function<void()>& between) {
  // So many that a disk of several GB/s stays busy while earlier pieces are decoded, by all threads of the node.
  constexpr std::size_t pieces_ahead = 16;
  const auto threads = static_cast<std::size_t>(team.size());
  const std::size_t count = plan.pieces.size(), ahead = pieces_ahead * threads * ranks;
  std::uint64_t goal = 0;
  for (const Piece& piece : plan.pieces) goal += source.bytes(piece);
  LoadProgress progress(announce, goal, board.read_bytes);
  for (std::size_t i = 0; i < std::min(ahead, count); ++i) source.read_ahead(plan.pieces[i]);
  std::vector<ReadBuffers> buffers(threads);
  on_all_threads(board, team, [&](int thread) {
    ReadBuffers& own = buffers[static_cast<std::size_t>(thread)];
    for (std::size_t i = board.next_piece++; i < count && board.failed == 0; i = board.next_piece++) {
      if (i + ahead < count) source.read_ahead(plan.pieces[i + ahead]);
      own.sum = {};
      read_piece(plan.pieces[i], layout, source, own);
      board.add(part_of(plan.pieces[i]), own.sum);
      progress.add(source.bytes(plan.pieces[i]));
      if (thread == 0) progress.report(), between();
    }
  });
  progress.report_end();
}

}  // namespace moemill::model
