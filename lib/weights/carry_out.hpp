// Carries out a load plan on a rank's team of threads: one thread reads, decodes and packs a piece, in the order of the
// plan, while the bytes of later pieces are read ahead. Private to weights/.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>

#include "system/machine/threads.hpp"
#include "weights/load_plan.hpp"
#include "weights/tensor_source.hpp"

namespace moemill::model {

enum class Announce { Nothing, Progress };

// Logs, at level info, how much has been loaded and how fast: every few seconds and at the end. Short loads log
// nothing.
class LoadProgress {
 public:
  LoadProgress(Announce announce, std::uint64_t goal_bytes) : announce_(announce), goal_(goal_bytes) {}

  void add(std::uint64_t bytes) { done_.fetch_add(bytes, std::memory_order_relaxed); }
  // Called by one thread.
  void report();
  void report_end();

 private:
  using Clock = std::chrono::steady_clock;
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  Announce announce_;
  std::uint64_t goal_;
  std::atomic<std::uint64_t> done_{0};
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

// Returns the digest of the bytes that were read.
template <class Layout, class Source>
WeightsDigest carry_out(const LoadPlan& plan, const Layout& layout, const Source& source, ThreadTeam& team,
                        Announce announce, const std::function<void()>& between) {
  // So many that a disk of several GB/s stays busy while earlier pieces are decoded.
  constexpr std::size_t pieces_ahead = 16;
  const auto threads = static_cast<std::size_t>(team.size());
  const std::size_t count = plan.pieces.size(), ahead = pieces_ahead * threads;
  std::uint64_t goal = 0;
  for (const Piece& piece : plan.pieces) goal += source.bytes(piece);
  LoadProgress progress(announce, goal);
  for (std::size_t i = 0; i < std::min(ahead, count); ++i) source.read_ahead(plan.pieces[i]);
  std::vector<ReadBuffers> buffers(threads);
  std::atomic<std::size_t> next{0};
  auto work = [&](int thread) {
    ReadBuffers& own = buffers[static_cast<std::size_t>(thread)];
    for (std::size_t i = next++; i < count; i = next++) {
      if (i + ahead < count) source.read_ahead(plan.pieces[i + ahead]);
      own.readers = readers_of(plan.pieces[i]);
      read_piece(plan.pieces[i], layout, source, own);
      progress.add(source.bytes(plan.pieces[i]));
      if (thread == 0) progress.report(), between();
    }
  };
  team.parallel_for(threads, 1, [&](std::size_t begin, std::size_t end, int thread) {
    try {
      for (std::size_t t = begin; t < end; ++t) work(thread);
    } catch (...) {
      next = count;  // the remaining threads stop early
      throw;
    }
  });
  progress.report_end();
  WeightsDigest digest;
  for (const ReadBuffers& own : buffers) digest += own.digest;
  return digest;
}

}  // namespace moemill::model
