// How the files store each matrix: quantised as config.json's quantization_config says, or not. Known before a weight
// is read, so that a rank's memory can be laid out for it. Private to weights/.
#pragma once

#include <string>
#include <vector>

#include "model/config.hpp"
#include "weights/files/safetensors.hpp"
#include "weights/load_plan.hpp"

namespace moemill::model {

// Of the tensor `name`, made of matrices [rows, columns]: what config.json says of all matrices but embedding and head,
// or an exception. Plain if nothing is to be kept as stored.
StoredMatrix stored_matrix(const ModelConfig& config, const std::string& name, std::uint64_t rows,
                           std::uint32_t columns);

// Finds the exceptions among the tensors: modules that were not quantised, and scales that cover something different.
void find_exceptions(ModelConfig& config, const ModelFiles& files, const std::vector<WantedTensor>& tensors);

}  // namespace moemill::model
