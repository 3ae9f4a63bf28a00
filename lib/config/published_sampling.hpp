// The sampling settings that a model's publisher recommends in generation_config.json. parse_config uses them if
// sampling.from_model is set, and otherwise a warning mentions them.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace moemill::mill {

struct PublishedSampling {
  std::string file;
  std::vector<std::pair<std::string, std::string>> values;  // {"temperature", "0.6"}, for each setting in the file
};

// Empty if the file does not exist; UserError if it is not a JSON object.
PublishedSampling read_published_sampling(const std::string& model_dir);

}  // namespace moemill::mill
