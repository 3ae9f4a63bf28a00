// All tensors of a model, by the names and in the forms in which its files have them. Every rank makes the same list,
// and so finds the same faults in the files, whatever it holds itself. Private to weights/.
#pragma once

#include <string>
#include <vector>

#include "model/config.hpp"
#include "weights/files/safetensors.hpp"
#include "weights/load_plan.hpp"

namespace moemill::model {

// model.load_format: weights from the model's files, or random numbers.
enum class LoadFormat { Files, Dummy };
LoadFormat parse_load_format(const std::string& load_format);  // auto or dummy; UserError for anything else

// `config` with what only the files show: names, forms, and matrices that are stored differently from the others.
ModelConfig config_in_files(const ModelConfig& config, const ModelFiles& files);
// `config` for random weights, which are bf16 in whatever form the published files store them.
ModelConfig config_without_files(ModelConfig config);

// The tensors of all layers and experts, in the order of the walk.
std::vector<WantedTensor> all_tensors(const ModelConfig& config);

}  // namespace moemill::model
