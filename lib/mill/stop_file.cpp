#include "mill/stop_file.hpp"

#include <filesystem>

#include "base/error.hpp"
#include "base/log.hpp"
#include "dataset/run_dir/run_dir.hpp"

namespace moemill::mill {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t most_bytes = 1024;  // the file may contain a reason

bool lies_inside(const std::string& dir, const std::string& path) {
  const fs::path way = fs::absolute(path).lexically_normal().lexically_relative(fs::absolute(dir).lexically_normal());
  return !way.empty() && *way.begin() != "..";
}

void check_is_free(const dataset::RunPaths& run, const std::string& path) {
  auto folder = [](const std::string& name) { return fs::path(name + "/").lexically_normal(); };
  for (const std::string& taken :
       {run.dir, run.manifest(), run.config(), run.metrics(), run.attempts(), run.summary(), run.outputs(),
        run.outputs_before(), run.log(), run.lock(), run.shards(), run.journals()})
    if (folder(path) == folder(taken))
      user_error("runtime.stop_file: {} is a file or folder of the run itself; choose another name", path);
}

}  // namespace

StopFile::StopFile(const std::string& dir, const std::string& name)
    : path_(fs::path(name).is_absolute() ? name : dir + "/" + name), inside_(lies_inside(dir, path_)) {
  check_is_free({dir}, path_);
  if (!inside_) return;
  old_ = files::stamp(path_);
  if (old_ && (!old_->is_regular || old_->size_bytes > most_bytes))
    user_error(
        "runtime.stop_file: {} exists, and the start of a job would remove it, but it is a folder or holds more than a "
        "few words: move it away, or choose a different name",
        path_);
}

bool StopFile::asks() {
  try {
    const auto now = files::stamp(path_);
    return now && now != old_;
  } catch (const SystemError& error) {
    if (!warned_) log::warning("cannot look for the stop file, the job continues: {}", error.what());
    warned_ = true;
    return false;
  }
}

void StopFile::remove_old() {
  if (!old_ || files::stamp(path_) != old_) return;
  log::info("{}: has stopped an earlier job and is removed", path_);
  files::remove(path_);
  old_.reset();
}

std::string StopFile::description() const {
  return inside_ ? path_ : path_ + " (it is outside the run directory: remove it to resume)";
}

}  // namespace moemill::mill
