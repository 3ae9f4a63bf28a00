#include "job/take_lock.hpp"

#include <poll.h>
#include <unistd.h>

#include <string>

#include "base/error.hpp"

namespace moemill::mill {
namespace {

constexpr int most_wait_ms = 1000;

// This does not use the normal way of errors: agreeing on one ends with writing journals, attempts.jsonl and run.json,
// which belong to the other job by now. The launcher ends the other ranks as it does after a kill; they finish at most
// their current step, and what they leave is as after a kill: unfinished shards have temporary names, and rows have the
// same bytes whoever writes them.
[[noreturn]] void leave_to(const std::string& dir, const std::string& holder) noexcept {
  try {
    const std::string line = fmt::format(
        "moemill: error: {}: another job works in this run directory ({}): this one gave no sign of life for a long "
        "time "
        "(suspended?) and was taken for dead; leaving at once, without writing anything more\n",
        dir, holder);
    // The time is limited, in case nobody reads stderr.
    pollfd ready{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&ready, 1, most_wait_ms) > 0) (void)!::write(STDERR_FILENO, line.data(), line.size());
  } catch (...) {  // no memory for the text: the process ends in any case
  }
  ::_exit(static_cast<int>(ExitCode::Usage));  // the code of a job that is refused
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
