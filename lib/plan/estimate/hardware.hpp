// A machine as its data sheets describe it: configs/hardware/NAME.yaml. Peaks are dense, link rates one way and per
// GPU. Used by the step model; nothing in it is measured by moemill (plan/machine.hpp has what is).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/estimate/efficiency.hpp"

namespace moemill::estimate {

class MeasuredSteps;  // plan/estimate/step.hpp

struct Price {
  double per_hour = 0;
  std::string unit;  // gpu or node; of a CPU node: node or core
  std::string currency, date, source;
};

struct Hardware {
  std::string name;
  std::string family;  // of chips, for the summaries of `plan --check`
  double memory_bytes = 0;
  double memory_bytes_per_second = 0;
  // Operations per second; absent: the chip does not compute in this format.
  std::optional<double> bf16_flops, fp8_flops, int8_ops, fp4_flops;
  std::uint32_t scale_up_gpus = 1;  // GPUs that one fast link domain joins, such as NVLink's
  double scale_up_bytes_per_second = 0;
  std::optional<double> network_bytes_per_second;
  std::uint32_t gpus_per_node = 1;     // a CPU node: its ranks
  std::uint32_t threads_per_rank = 0;  // of a CPU node
  std::optional<Price> price;
  std::optional<double> power_watts;  // per GPU, with its share of the machine
  Efficiencies efficiencies;          // configs/efficiency.yaml with the machine's own overrides
  std::string calibration;            // file of a CPU node; "": a GPU
  const MeasuredSteps* measured =
      nullptr;  // of a machine that was calibrated: its steps, in place of the figures above
  std::vector<std::string> sources;
  std::vector<std::string> assumed;   // figures that have no two sources
  std::vector<std::string> warnings;  // what looks like a mistake, such as peaks of sparse matrices
};

// Text of a machine's file. UserError names file, line and key.
Hardware read_hardware(std::string_view text, const std::string& file, const Efficiencies& efficiencies);
Hardware read_hardware(const yaml::Node& root, const std::string& file, const Efficiencies& efficiencies);

}  // namespace moemill::estimate
