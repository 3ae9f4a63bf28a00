#include "mill/published_sampling.hpp"

#include "model/json_object.hpp"
#include "system/files.hpp"

namespace moemill::mill {

PublishedSampling read_published_sampling(const std::string& model_dir) {
  constexpr std::uint64_t most_bytes = 1 << 20;
  PublishedSampling published{model_dir + "/generation_config.json", {}};
  if (model_dir.empty() || !files::exists(published.file)) return published;
  const auto json = model::JsonObject::read(published.file, most_bytes);
  for (const char* key : {"temperature", "top_p", "top_k", "min_p", "repetition_penalty"})
    if (json.has(key)) published.values.emplace_back(key, json.json().at(key).dump());
  return published;
}

}  // namespace moemill::mill
