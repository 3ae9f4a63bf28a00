#include "commands/status.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "commands.hpp"
#include "options.hpp"

namespace moemill::app {

int status(const Words& words) {
  Options options(
      "moemill status RUN_DIR [options]",
      "Reports the progress of a run: done, failed, pending, tokens/s, ETA. Read-only, during the run or after it.");
  options.examples({"moemill status runs/first", "moemill status runs/first --watch",
                    "moemill status runs/first --exit-code; echo $?", "moemill status runs/first --json | jq .done"});
  options.positional("RUN_DIR", "the run directory");
  options.add()("json", "as one JSON object");
  options.add()("exit-code", "exit with the run's own code: 0, 1, 2, 3 or 75; also 75 if it was killed");
  options.add()("watch", "print it again every two seconds until the run ends");
  if (!options.parse(words)) return 0;
  const std::string dir = options.get<std::string>("RUN_DIR");
  const auto form = options.has("json") ? mill::StatusForm::Json : mill::StatusForm::Text;
  const bool redraw = options.has("watch") && form == mill::StatusForm::Text && isatty(STDOUT_FILENO) == 1;
  dataset::RunCounter counter(64u << 20);  // limits the time that one look at a run takes
  for (bool first = true;; first = false) {
    const dataset::RunStatus status = mill::read_run_status(dir, counter);
    if (redraw)
      fmt::print("\x1b[H\x1b[J");
    else if (!first && form == mill::StatusForm::Text)
      fmt::print("\n");
    fmt::print("{}", mill::status_text(status, form));
    std::fflush(stdout);
    if (!options.has("watch") || !status.running) return options.has("exit-code") ? mill::exit_code_of(status) : 0;
    std::this_thread::sleep_for(std::chrono::seconds(2));
  }
}

}  // namespace moemill::app
