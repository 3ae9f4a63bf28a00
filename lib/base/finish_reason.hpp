// Why a sample ended. Used by the scheduler, the stopping rules, the journal and outputs.h5, which stores these numbers
// in /completions/finish_reason.
#pragma once

#include <cstdint>

namespace moemill {

enum class FinishReason : std::uint8_t { None = 0, Stop = 1, Length = 2, StopString = 3, Repetition = 4, Error = 5 };

}  // namespace moemill
