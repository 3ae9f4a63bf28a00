// A machine's peak rates, measured by `moemill bench calibrate` and kept at the beginning of its file for planning.
// Every rate is a measurement, none is taken from a data sheet; a rate that was not measured is absent.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "model/json_object.hpp"

namespace moemill::mill {

struct Machine {
  // Operations per second, where a multiplication and an addition count as two, and bytes per second.
  struct Rates {
    double fma_flops = 0;              // fused multiply-adds of fp32
    double bf16_dot_flops = 0;         // dot products of bf16 pairs; 0: not measured, or the processor has none
    double int8_dot_ops = 0;           // dot products of int8; 0 has the same meaning
    double read_bytes_per_second = 0;  // from memory
  };
  // Transfers from one rank to another, one way, while nothing else runs.
  struct Link {
    double latency_seconds = 0;  // of a message of 8 bytes
    double bytes_per_second = 0;
  };

  std::string cpu;           // as the system names it
  std::string isa;           // the kernel bodies that were measured: plain, avx2, avx512, avx512_bf16 or amx
  std::string measured_utc;  // "2026-11-22T21:46:05Z"
  std::string moemill_version, git_commit;
  std::uint32_t nodes = 1, ranks_per_node = 1, threads_per_rank = 1;  // of the measurement
  Rates core;                                                         // one thread alone
  Rates node;  // all ranks of a node at the same time; the slowest node's
  std::optional<Link> within_node;
  std::optional<Link> between_nodes;
};

// The keys of a machine in the JSON object of a calibration.
nlohmann::ordered_json json_of(const Machine& machine);
// UserError that names the file and the key of what is wrong.
Machine read_machine(const model::JsonObject& json);

}  // namespace moemill::mill
