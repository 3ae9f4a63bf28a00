// How fast a rank reads a model's weights and makes tokens and files, while all ranks do the same. Used by
// `bench calibrate`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/arithmetic.hpp"
#include "system/comm/comm.hpp"
#include "system/machine/threads.hpp"

namespace moemill::bench {

// Bytes of the weights in the ranks' memory, per second and rank. Of a model beyond `most_bytes` a rank the first
// layers are read. Nothing if the folder has no weights. Collective; AgreedFailure if they cannot be read.
std::optional<double> measure_loading(const std::string& model_dir, Arithmetic arithmetic, const Comm& world,
                                      ThreadTeam& team, std::uint64_t most_bytes);
// Seconds before a run reads weights: MPI starts, kernels are proved and timed, the tokenizer is read. Collective.
double measure_starting(const std::string& model_dir, const Comm& world);
// Bytes of text per second and rank; nothing if the folder has no tokenizer. Collective.
std::optional<double> measure_tokenizing(const std::string& model_dir, const Comm& world);
// Bytes of texts and token ids per second and rank, in files in `dir`, which are removed. Collective.
std::optional<double> measure_writing(const std::string& dir, const Comm& world);

}  // namespace moemill::bench
