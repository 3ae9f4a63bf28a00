// What can be known of a model folder before its weights are loaded: how it stores the model, whether it is complete,
// and which model it is. Called by planning, validate, verify and the start of a run.
#pragma once

#include <string>
#include <vector>

#include "model/config.hpp"

namespace moemill::model {

// Whether the folder has safetensors files, or their index: shapes alone are config.json.
bool has_weights(const std::string& dir);
// `config` with what only the files show: how they name and store its tensors. A rank's memory depends on it.
// load_format is auto or dummy, otherwise UserError; random weights depend on no file.
ModelConfig stored_config(const std::string& dir, const ModelConfig& config, const std::string& load_format);
// Checks everything that does not need the weights' values: all files are there, headers are well formed, and every
// tensor of the model exists with its shape and a supported dtype. Throws UserError on the first fault. Returns what a
// user should know: weights that are rounded, tensors that are not used.
std::vector<std::string> check_model_files(const std::string& dir, const ModelConfig& config,
                                           const std::string& load_format);
// The fingerprint of config.json and of the weights' headers and sampled bytes: `model_sha256` of the outputs. Defined
// in fingerprint.cpp.
std::string model_fingerprint(const std::string& dir, const std::string& load_format);

}  // namespace moemill::model
