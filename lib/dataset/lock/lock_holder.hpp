// The one line of run.lock: which process holds the run directory, and its heartbeat. The holder's run_lock writes it;
// the run_lock of other jobs and `status` read it, on the same machine or on another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moemill::dataset {

// Every line has this length, so that a line is written over the previous one in place and a reader never sees the rest
// of a longer one. A reader in the middle of a write sees at most a mixture of two beats, which is a heartbeat as well.
constexpr std::size_t holder_line_bytes = 640;

struct Holder {
  std::string token;  // 32 hex digits, different for every lock that is ever taken
  std::int64_t process = 0;
  std::uint64_t started = 0;  // when the process started, clock ticks after the machine's boot
  std::string boot;           // id of the machine's boot
  std::string processes;      // namespace of the process numbers: a container has its own
  std::string host;
  std::string slurm_job;    // "" without
  std::string since;        // UTC
  std::uint64_t beat = 0;   // counts heartbeats
  bool released = false;    // the job ended cleanly
  double held_seconds = 0;  // from the first line to the beat, by a steady clock; below 0: not known
};

Holder this_process();
std::string to_line(const Holder& holder);
std::optional<Holder> parse_holder(std::string_view line);  // nothing unless it is such a line, and whole
std::string describe(const Holder& holder);                 // "process 12 on node7, Slurm job 3, since ..."

// Elsewhere: on another machine, or in a container whose processes cannot be seen from here.
enum class ProcessState { Alive, Gone, Elsewhere };
ProcessState process_state(const Holder& holder);

}  // namespace moemill::dataset
