// How the files store each matrix: quantised as the quantization_config of config.json says, or not. This is known
// before a weight is read, so that a rank's memory can be laid out for it. Private to weights/.
#pragma once

#include <string>
#include <vector>

#include "model/config.hpp"
#include "weights/files/safetensors.hpp"
#include "weights/load_plan.hpp"

namespace moemill::model {

// Rows [first_row, first_row + rows) of a stored matrix, which become columns of a rank's matrix.
struct StoredRows {
  StoredMatrix stored;
  std::uint64_t first_row, rows;
};

// How tensor `name`, made of matrices [rows, columns], is stored: as config.json says of all matrices but embedding and
// head, or as `config` lists it among the exceptions. Plain if nothing is to be kept as stored.
StoredMatrix stored_matrix(const ModelConfig& config, const std::string& name, std::uint64_t rows,
                           std::uint32_t columns);

// Finds the exceptions among the tensors: modules that were not quantised, and scales that cover different blocks.
void find_exceptions(ModelConfig& config, const ModelFiles& files, const std::vector<WantedTensor>& tensors);

}  // namespace moemill::model
