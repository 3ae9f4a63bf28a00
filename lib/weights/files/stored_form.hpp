// How the files of a folder name and store the model that its config.json describes. Tools save the same weights under
// different names; the headers of the files show which. Private to weights/.
#pragma once

#include "model/config.hpp"
#include "weights/files/safetensors.hpp"

namespace moemill::model {

// `config` with the names that `files` have: the prefix of the layers (model., none, model.language_model., or what
// wrappers add), Mixtral's experts by either name, experts that transformers 5 saved as two tensors per layer. Also
// sets whether a router is stored in more than bf16. Names that are not found stay as published. UserError if the files
// hold several models and none is clearly meant.
ModelConfig as_stored(ModelConfig config, const ModelFiles& files);

}  // namespace moemill::model
