#include "job/take_lock.hpp"

#include <poll.h>
#include <unistd.h>

#include <string>

#include "base/error.hpp"

namespace moemill::mill {
namespace {

constexpr int most_wait_ms = 1000;

// Not the way all other faults take: agreeing on one ends with journals, attempts.jsonl and run.json, and those are the
// other job's by now. The launcher ends the other ranks, as it does when one is killed; they get no further than the
// step they are in, and what they leave is as after a kill: shards in the making have temporary names, and rows have
// the same bytes whoever writes them.
[[noreturn]] void leave_to(const std::string& dir, const std::string& holder) noexcept {
  try {
    const std::string line = fmt::format(
        "moemill: error: {}: another job works in this run directory ({}): this one gave no sign of life for long "
        "(suspended?) and was taken for dead; leaving at once, without writing any more\n",
        dir, holder);
    // Not for ever, when nobody reads what stands there.
    pollfd ready{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&ready, 1, most_wait_ms) > 0) (void)!::write(STDERR_FILENO, line.data(), line.size());
  } catch (...) {  // no memory for the text: the end does not depend on it
  }
  ::_exit(static_cast<int>(ExitCode::Usage));  // as a job that is refused
}

}  // namespace

void take_lock(std::optional<dataset::RunLock>& lock, const dataset::RunPaths& paths, StopWish& stop) {
  try {
    lock.emplace(paths, dataset::LockCalls{[&stop] { stop.check(); },
                                           [dir = paths.dir](const std::string& holder) { leave_to(dir, holder); }});
  } catch (const StopRequested& e) {
    throw StopRequested(fmt::format("stopped by {} while waiting for {}", e.what(), paths.lock()));
  }
}

}  // namespace moemill::mill
