// `moemill verify`: the checks of dataset/checks/verify.hpp, and with --replay a check that the rows are what the model
// generates: some rows are generated again, on any number of ranks, and compared byte for byte.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "dataset/checks/verify.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

struct VerifyRunRequest {
  std::string dir;
  dataset::VerifyDepth depth = dataset::VerifyDepth::Form;
  std::uint64_t replay = 0;  // rows to generate again
  std::uint64_t seed = 0;    // chooses these rows
};
// Rank 0 prints what was checked and what is wrong on stdout. Done, or Internal (exit 1) with faults. Collective: rank
// 0 checks the files, all ranks generate for --replay.
ExitCode verify(const Comm& world, const VerifyRunRequest& request);

}  // namespace moemill::mill
