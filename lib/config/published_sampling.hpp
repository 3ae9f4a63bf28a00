// What the publisher of a model recommends for sampling: generation_config.json. Read by parse_config where
// sampling.from_model asks for it, and by the warnings where nobody does.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace moemill::mill {

struct PublishedSampling {
  std::string file;
  std::vector<std::pair<std::string, std::string>> values;  // {"temperature", "0.6"}, those that are there
};

// Nothing where the file does not exist; UserError where it is no JSON object.
PublishedSampling read_published_sampling(const std::string& model_dir);

}  // namespace moemill::mill
