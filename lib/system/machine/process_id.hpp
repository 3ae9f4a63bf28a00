// A process of this machine that can be told from a later one with the same number. Ranks that share memory use it to
// notice that a mate has died.
#pragma once

#include <cstdint>
#include <string>

namespace moemill {

// Trivially copyable, because ranks gather it as bytes.
struct ProcessId {
  std::int32_t number = 0;
  std::uint64_t started = 0;  // clock ticks after the machine's start
  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

ProcessId this_process();
ProcessId process_of(std::int32_t number);  // `started` is 0 if there is none
// Whether the process still runs. One that has ended and whose parent has not noticed yet does not run. For `root` see
// control_groups.
bool runs(const ProcessId& process, const std::string& root = "");

}  // namespace moemill
