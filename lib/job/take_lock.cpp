#include "job/take_lock.hpp"

#include <poll.h>
#include <unistd.h>

#include <string>

#include "base/error.hpp"

namespace moemill::mill {
namespace {

constexpr int most_wait_ms = 1000;

// Ends the process at once, because an agreed error would still write journals, attempts.jsonl and run.json, which the
// new holder owns by now. The launcher then ends the remaining ranks as after a kill. They finish at most their current
// step, and their files do no harm: unfinished shards have temporary names, and a row has the same bytes whichever job
// writes it.
[[noreturn]] void leave_to(const std::string& dir, const std::string& holder) noexcept {
  try {
    const std::string line = fmt::format(
        "moemill: error: {}: another job works in this run directory ({}): this one gave no sign of life for a long "
        "time (suspended?) and was taken for dead; leaving at once, without writing anything more\n",
        dir, holder);
    // Waits for a limited time, because nothing may be reading stderr.
    pollfd ready{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&ready, 1, most_wait_ms) > 0) (void)!::write(STDERR_FILENO, line.data(), line.size());
  } catch (...) {  // there is no memory for the text: the process ends without it
  }
  ::_exit(static_cast<int>(ExitCode::Usage));  // the code of a refused job
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
