// What `moemill bench calibrate` measures of this machine under a job's launcher, ranks and threads, and keeps as a
// JSON file: the machine's peaks and links, and the seconds of a model's steps, stage by stage, over the rows of a
// rank. plan/calibration/predict.hpp makes predictions of it. All ranks measure at the same time, and the steps are
// whole ones, so that weights come from where they come from in a run and waiting for other ranks is part of the stages
// that wait.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/arithmetic.hpp"
#include "base/run_config.hpp"
#include "model/config.hpp"
#include "plan/calibration/curve.hpp"
#include "plan/machine.hpp"

namespace moemill::calibration {

// The sizes of a model that its stages' work follows from. Parameters and operations are of one layer, those of the
// head of the whole model.
struct ModelShape {
  std::string model_type;
  std::uint32_t moe_layers = 0, dense_layers = 0;
  std::uint32_t hidden = 0, vocabulary = 0;
  std::uint32_t experts = 0, picks = 0;                      // routed experts of a layer, and those of a row
  double prompt_projections = 0, generated_projections = 0;  // parameters
  double prompt_core_flops = 0, generated_core_flops = 0;    // a row and position
  double kv_width = 0;                                       // values cached a position
  double expert = 0, shared_expert = 0, dense_mlp = 0;       // parameters
  friend bool operator==(const ModelShape&, const ModelShape&) = default;
};
ModelShape shape_of(const model::ModelConfig& config);

// What the seconds of a draw depend on.
enum class Drawing { Greedy, Temperature, TopK, TopP, Logprobs, Score };
constexpr std::size_t drawings = 6;
const char* name_of(Drawing drawing);
Drawing drawing_of(const SamplingParams& params);  // the dearest that the settings ask for; never Score

// Stages that had less of their cores are said to be disturbed.
constexpr double least_share_on_core = 0.95;

// The stages of whole steps with 1 or 2 micro-batches. Unless said otherwise: seconds of one layer over the rows of one
// rank in a step. A row's context is the number of positions up to it, itself included, whatever window a layer has.
struct Stages {
  std::uint32_t micro_batches = 1;
  double share_on_core = 1;  // of the measured time, in which the ranks had their cores; the rest other programs took
  Curve prompt_projections, generated_projections;
  Curve small;          // norms, router
  Curve dense, shared;  // MLPs of all rows
  // Routed experts: the seconds of one touched expert over the rows that it gets, both as means of a rank.
  // Micro-batches count their experts apart.
  Curve expert;
  Curve dispatch, combine;     // with the waiting for other ranks
  Curve outside;               // of the whole step: embedding, planning, and what no stage claims
  Curve generated_core;        // at contexts.front() of generated_contexts, over rows
  Curve generated_by_context;  // a row of many, over its context
  Curve prompt_by_context;     // a row of many, over the mean context of its prompt's rows
  Curve head;                  // over the rows whose logits are wanted
};

// One message between two ranks while nothing else runs, one way: seconds over bytes.
struct Messages {
  std::optional<Curve> within_node, between_nodes;
};

struct Calibration {
  mill::Machine machine;  // with the ranks, threads and nodes of the measurement
  std::string mpi;        // its name and version
  std::uint32_t ranks = 1;
  Arithmetic arithmetic = Arithmetic::Bf16;
  std::string model;  // the folder whose config.json was measured
  ModelShape shape;   // as published; of a model too large for the ranks' memory fewer layers or experts are measured
  std::uint32_t measured_layers = 0;
  std::uint32_t measured_experts = 0;
  std::vector<Stages> stages;                            // by micro_batches: of 1, and of 2
  std::array<double, drawings> drawing_seconds_a_row{};  // by Drawing
  double agreeing_seconds = 0;                           // what ranks exchange before a step, without a wait
  double start_seconds = 0;                              // of a run before it reads weights: MPI, kernels, tokenizer
  Messages messages;
  // Bytes per second and rank; nothing if the folder has no weights or no tokenizer, or no shard was written.
  std::optional<double> load_bytes_per_second, tokenize_bytes_per_second, shard_bytes_per_second;
};

std::string to_json(const Calibration& calibration);
// UserError that names the file, the key of what is wrong, and the command that writes a right one.
Calibration read_calibration(const std::string& path);

}  // namespace moemill::calibration
