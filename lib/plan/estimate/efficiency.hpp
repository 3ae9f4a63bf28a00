// What a program reaches of a machine's data sheet: few numbers for all models and machines, read from
// configs/efficiency.yaml, each rounded from measurements of single kernels. A machine may override some of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plan/estimate/section.hpp"

namespace moemill::estimate {

struct Efficiencies {
  // Shares of the memory's data-sheet rate while a kernel streams. The second one holds for 4-bit weights that are
  // multiplied by bf16 rows, whose decoding limits the stream.
  double memory = 0;
  double memory_mxfp4_bf16 = 0;
  // Shares of the dense data-sheet peak of the format that is computed in: 4-bit weights by fp8 rows compute at the
  // fp8 peak, by bf16 rows at the bf16 peak.
  double tensor_bf16 = 0, tensor_fp8 = 0, tensor_int8 = 0, tensor_fp4 = 0;
  double tensor_mxfp4_fp8 = 0, tensor_mxfp4_bf16 = 0;
  // The attention core: shares of the bf16 peak, for heads of at least 128 values and for narrower ones, and the factor
  // of that peak when generated rows read a cache in fp8.
  double core = 0, core_narrow_heads = 0, core_fp8_cache = 0;
  // Seconds that the core adds to its memory and arithmetic: per prompt row and query head, and per generated row and
  // layer of latent or of grouped attention.
  double core_prompt_row_head_ns = 0, core_latent_row_us = 0, core_grouped_row_us = 0;
  double kernel_us = 0;      // the least time of any kernel: its start and its end
  double small_kernels = 0;  // a layer: norms, rotation, routing, quantisation of rows
  double row_passes = 0;     // a layer: how often small kernels read or write a row of hidden values in bf16
  // The exchange of rows: shares of the one-way link rates, and the latency of one direction.
  double network = 0, network_latency_us = 0, scale_up = 0, scale_up_latency_us = 0;
  // The slowest GPU of a group of 2^k has 1 + k * imbalance times the mean of rows; with redundant experts placed by
  // load the second number holds.
  double imbalance = 0, imbalance_balanced = 0;
  double compute_beside_exchange = 0;  // the share of a GPU's processors that the exchange leaves to a prompt's kernels
  double outside_layers = 0;           // share of a step: scheduling, drawing of tokens, waiting
  double load_gbytes_per_second = 0;   // of a GPU while it reads its weights
  double usable_memory = 0;            // share of a GPU's memory for weights and cache
};

// Text of configs/efficiency.yaml: every efficiency with value, unit and measured. `file` is its name in messages.
Efficiencies read_efficiencies(std::string_view text, const std::string& file);
Efficiencies read_efficiencies(const yaml::Node& root, const std::string& file);
// Of a machine: overrides by name, each with value and source.
Efficiencies overridden(Efficiencies efficiencies, const Section& overrides);
const Words& efficiency_names();
// A single number by its name, for overrides; UserError for an unknown name.
double& efficiency_named(Efficiencies& efficiencies, std::string_view name);

}  // namespace moemill::estimate
