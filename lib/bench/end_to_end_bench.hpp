// `moemill bench decode` and `bench prefill`: steps of a whole model with dummy weights, from embedding to drawn token,
// on all ranks of the launch, compared with the FMA peak and the memory reads that the same cores reached just before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/arithmetic.hpp"
#include "bench/options.hpp"
#include "bench/peak/peak.hpp"
#include "bench/predicted_step.hpp"
#include "bench/step_needs.hpp"
#include "kernels/cpu/stream.hpp"
#include "system/comm/comm.hpp"

namespace moemill::bench {

struct EndToEndOptions : CommonOptions {
  Workload workload = Workload::Decode;
  std::string model;              // folder with a config.json
  std::uint32_t sequences = 256;  // of all ranks: sequences in a decode step, prompts in a prefill step
  std::uint32_t tokens = 128;     // decode: positions before the generated token; prefill: length of each prompt
  std::uint32_t steps = 8;        // timed, after one untimed step, or those in which micro-batches are tried
  std::optional<std::uint32_t> micro_batches = 1;  // nothing: as schedule::MicroBatchRule decides
  Arithmetic arithmetic = Arithmetic::Bf16;
  std::string sampling = "temperature";  // how tokens are drawn (bench/drawing.hpp)
  std::uint32_t nodes = 0;               // as if the ranks were on so many; 0: as they are
  std::string calibration = {};          // file that predicts the step; "": none
};

// One step of all ranks, as medians over the steps. Operations and bytes are those that the model needs
// (bench/step_needs.hpp), not those that were executed or moved.
struct EndToEndResult {
  std::uint32_t ranks = 1;
  std::uint32_t steps_with_two = 0;  // micro-batches, of the measured steps
  double seconds_per_step = 0;
  double tokens_per_second = 0;               // generated tokens, or prompt tokens
  double needed_gflops = 0;                   // per second, of all ranks
  NeededOperations needed;                    // per step, of all ranks
  Peaks peaks;                                // of all ranks' cores, measured at the same time
  std::uint64_t experts = 0;                  // pairs of a layer and a routed expert
  double experts_picked = 0;                  // those that some row of a step went to, the mean over the steps
  NeededBytes bytes;                          // per step
  double bytes_per_second = 0;                // bytes over seconds_per_step
  double peak_bandwidth = 0;                  // of all ranks' cores, measured at the same time
  double work_max_over_mean = 1;              // experts' work of a node's busiest rank over the mean, all layers
  double work_unsplit = 1;                    // the same if each rank computed its own experts
  PassSeconds passes{};                       // rank 0's shares of the time of all steps; together 1
  std::optional<Comparison> comparison = {};  // with a calibration

  // The time that the needed operations take at the peaks of their units over the time that they took: int8 products at
  // the peak of int8, products of rows in bf16 at the higher one of FMA and bf16 dot, fp32 values at that of FMA.
  double share_of_peaks() const;
  // What most of the measured steps had.
  std::uint32_t micro_batches(const EndToEndOptions& o) const { return 2 * steps_with_two > o.steps ? 2 : 1; }
};

EndToEndResult measure_end_to_end(const EndToEndOptions& options, const Comm& world);
int run_decode_bench(const std::vector<std::string>& args, const Comm& world);
int run_prefill_bench(const std::vector<std::string>& args, const Comm& world);

}  // namespace moemill::bench
