// `moemill bench calibrate`: what this machine does under the job's launcher, ranks and threads, measured on all ranks
// at the same time, printed and written to a file (plan/calibration/calibration.hpp) that predicts a model's steps. The
// peaks and links of an existing file are compared with the new ones; then it is replaced.
#pragma once

#include <string>
#include <vector>

#include "base/arithmetic.hpp"
#include "bench/options.hpp"
#include "plan/calibration/calibration.hpp"
#include "system/comm/comm.hpp"

namespace moemill::bench {

struct CalibrateOptions : CommonOptions {
  std::string model;    // folder with a config.json
  std::string output;   // "": nothing is written
  double seconds = 10;  // about, for the steps of each number of micro-batches
  double gbytes = 1.5;  // of weights on each rank, at most
  Arithmetic arithmetic = Arithmetic::Bf16;
};

// Collective; the same value on all ranks.
calibration::Calibration calibrate(const CalibrateOptions& options, const Comm& world);
int run_calibrate(const std::vector<std::string>& args, const Comm& world);

}  // namespace moemill::bench
