// How the files of one folder name and store the model that its config.json describes: tools save the same weights
// under several names. Found by looking at the files' headers; used by whoever reads them. Private to weights/.
#pragma once

#include "model/config.hpp"
#include "weights/files/safetensors.hpp"

namespace moemill::model {

// `config` with its names as they are in `files`: what stands before the layers (model., nothing,
// model.language_model., what wrappers add), Mixtral's experts by either name, experts that transformers 5 saved as two
// tensors a layer. Also whether a router is kept in more than bf16. Where neither form is found, names stay as
// published. UserError where two models are in the files.
ModelConfig as_stored(ModelConfig config, const ModelFiles& files);

}  // namespace moemill::model
