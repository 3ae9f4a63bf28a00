// The one line of run.lock: which process holds the run directory, and its sign of life. Written by run_lock of the
// holder, read by the run_lock of other jobs and by `status`, here or on another machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moemill::dataset {

// Every line has this length, so that one is written over another in place and a reader never sees the end of a longer
// one. A reader in the middle of a write sees digits of two beats at most, which is a sign of life as well.
constexpr std::size_t holder_line_bytes = 640;

struct Holder {
  std::string token;  // 32 hex digits, another one for every lock that was ever taken
  std::int64_t process = 0;
  std::uint64_t started = 0;  // of the process, clock ticks after the machine's start
  std::string boot;           // id of the machine's start
  std::string processes;      // the process numbers' namespace: a container has its own
  std::string host;
  std::string slurm_job;    // "" without
  std::string since;        // UTC
  std::uint64_t beat = 0;   // counts signs of life
  bool released = false;    // its job ended in order
  double held_seconds = 0;  // from the first line to the beat, by a clock that nobody sets; below 0: not told
};

Holder this_process();
std::string to_line(const Holder& holder);
std::optional<Holder> parse_holder(std::string_view line);  // nothing when it is no such line, or not whole
std::string describe(const Holder& holder);                 // "process 12 on node7, Slurm job 3, since ..."

// Elsewhere: on another machine, or in a container whose processes cannot be seen from here.
enum class ProcessState { Alive, Gone, Elsewhere };
ProcessState process_state(const Holder& holder);

}  // namespace moemill::dataset
