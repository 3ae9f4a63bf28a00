// The commands, one file each. A command takes the words after its name and returns the process's exit code. It throws
// its faults, which main's guard maps to exit codes.
#pragma once

#include <string>
#include <vector>

namespace moemill::app {

using Words = std::vector<std::string>;

int run(const Words& words);
int validate(const Words& words);
int preview(const Words& words);
int status(const Words& words);
int verify(const Words& words);
int plan(const Words& words);
int bench(const Words& words);
int version(const Words& words);

}  // namespace moemill::app
