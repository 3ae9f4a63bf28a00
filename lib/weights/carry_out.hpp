// Carries out a load plan on a rank's team of threads: every piece is read, decoded and packed by one thread, in the
// order of the plan, while the bytes of later pieces are on their way. Private to weights/.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>

#include "base/log.hpp"
#include "system/machine/threads.hpp"
#include "weights/layout.hpp"
#include "weights/load_plan.hpp"
#include "weights/tensor_source.hpp"

namespace moemill::model {

enum class Announce { Nothing, Progress };

// Lines in the log, at info: how much of how much, and how fast, every few seconds and at the end. Silent where all is
// done in less.
class LoadProgress {
 public:
  LoadProgress(Announce announce, std::uint64_t goal_bytes) : announce_(announce), goal_(goal_bytes) {}

  void add(std::uint64_t bytes) { done_.fetch_add(bytes, std::memory_order_relaxed); }
  void tell();  // one thread calls it
  void tell_end();

 private:
  using Clock = std::chrono::steady_clock;
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  Announce announce_;
  std::uint64_t goal_;
  std::atomic<std::uint64_t> done_{0};
  Clock::time_point start_ = Clock::now();
  double told_ = 0;
};

template <class Source>
void carry_out(const Piece& piece, const CpuLayout& layout, const Source& source, ReadBuffers& buffers) {
  if (const auto* rows = std::get_if<RowsPiece>(&piece)) return layout.put(*rows, source.rows(*rows, buffers));
  const auto& p = std::get<FloatsPiece>(piece);
  const std::uint64_t span = (p.count - 1) * p.step + 1;
  float* values = p.step == 1 ? p.out : buffers.floats.reserve(span);
  source.floats(p.tensor, p.first, span, values, buffers);
  for (std::uint64_t i = 0; p.step != 1 && i < p.count; ++i) p.out[i] = values[i * p.step];
}

// Returns the digest of what was read.
template <class Source>
WeightsDigest carry_out(const LoadPlan& plan, const CpuLayout& layout, const Source& source, ThreadTeam& team,
                        Announce announce, const std::function<void()>& between) {
  // Far enough ahead that a disk of several GB/s stays busy while the pieces before are decoded.
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
      own.holders = plan.tensors[tensor_of(plan.pieces[i])].holders;
      own.is_copy = is_copy(plan.pieces[i]);
      carry_out(plan.pieces[i], layout, source, own);
      progress.add(source.bytes(plan.pieces[i]));
      if (thread == 0) progress.tell(), between();
    }
  };
  team.parallel_for(threads, 1, [&](std::size_t begin, std::size_t end, int thread) {
    try {
      for (std::size_t t = begin; t < end; ++t) work(thread);
    } catch (...) {
      next = count;  // the others need not go on
      throw;
    }
  });
  progress.tell_end();
  WeightsDigest read;
  for (const ReadBuffers& own : buffers) read.replicated += own.read.replicated, read.experts += own.read.experts;
  return read;
}

}  // namespace moemill::model
