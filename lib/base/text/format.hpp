// Numbers as people read them. Used by progress lines, the ledger, validate and status.
#pragma once

#include <cstdint>
#include <string>

namespace moemill {

std::string thousands(std::uint64_t number);  // 1,234,567
// "1 rank", "1,234 ranks"
std::string counted(std::uint64_t count, const char* one, const char* many);
std::string clock_text(double seconds);  // 59s, 4m05s, 3h07m
std::string gib(std::uint64_t bytes);    // "1.25 GiB", "310 MiB"

}  // namespace moemill
