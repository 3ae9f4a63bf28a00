#include "job/run_log.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "dataset/json_lines.hpp"

namespace moemill::mill {
namespace {

// Opens and closes the file for every text, because network file systems show a write to other clients only after
// close.
void append(const std::string& path, std::string_view text) {
  dataset::JsonLines file(path);
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    file.append(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

}  // namespace

RunLog::RunLog() {
  log::also_to([this](std::string_view line) { take(line); });
}

RunLog::~RunLog() { log::also_to({}); }

void RunLog::open(const dataset::RunPaths& paths, std::string_view header) {
  std::vector<std::string> lines{fmt::format("{} info: ==== {}", utc_now(), header)};
  {
    const std::lock_guard<std::mutex> alone(mutex_);
    path_ = paths.log();
    lines.insert(lines.end(), kept_.begin(), kept_.end());
    kept_.clear();
  }
  for (const auto& line : lines) take(line);
}

void RunLog::take(std::string_view line) {
  std::string fault;
  {
    const std::lock_guard<std::mutex> alone(mutex_);
    if (given_up_) return;
    if (path_.empty()) {
      kept_.emplace_back(line);
      return;
    }
    try {
      append(path_, line);
      return;
    } catch (const SystemError& e) {
      given_up_ = true;
      fault = e.what();
    }
  }
  log::warning("the log in the run directory ends here; the job continues: {}", fault);  // this warning comes back here
}

void append_to_run_log(const dataset::RunPaths& paths, std::string_view fault) {
  try {
    append(paths.log(), fmt::format("{} error: {}", utc_now(), fault));
  } catch (const SystemError& e) {
    log::warning("this rank's error could not be written to the log of the run directory: {}", e.what());
  }
}

}  // namespace moemill::mill
