#include "weights/carry_out.hpp"

#include "base/log.hpp"

namespace moemill::model {

namespace {

constexpr double seconds_between_lines = 5;

double gigabytes(std::uint64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

}  // namespace

void LoadProgress::report() {
  const double now = seconds();
  if (announce_ == Announce::Nothing || now - reported_ < seconds_between_lines) return;
  reported_ = now;
  const double done = gigabytes(done_.load(std::memory_order_relaxed));
  log::info("weights: {:.1f} GB of {:.1f} GB, {:.2f} GB/s", done, gigabytes(goal_), done / now);
}

void LoadProgress::report_end() {
  const double now = seconds();
  if (announce_ == Announce::Nothing || now < 1) return;
  log::info("weights: {:.1f} GB in {:.1f} s, {:.2f} GB/s", gigabytes(goal_), now, gigabytes(goal_) / now);
}

void make_blocks(const NodeMemory& memory, LoadBoard& board, ThreadTeam& team, const std::function<void()>& between) {
  on_all_threads(board, team, [&](int thread) {
    const std::uint64_t blocks = memory.blocks();
    for (std::uint64_t b = board.next_block++; b < blocks && board.failed == 0; b = board.next_block++) {
      board.huge_blocks += memory.make_block(b) == NodeMemory::Pages::Huge ? 1 : 0;
      if (thread == 0) between();
    }
  });
}

}  // namespace moemill::model
