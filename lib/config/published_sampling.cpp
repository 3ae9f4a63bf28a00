#include "config/published_sampling.hpp"

#include <cmath>
#include <cstdint>

#include "base/readable.hpp"
#include "model/json_object.hpp"

namespace moemill::mill {
namespace {

// Some tools write whole numbers as floats: 50.0 is 50.
std::string number_text(const nlohmann::json& value) {
  constexpr double most = 1e15;  // all smaller whole numbers are exact
  if (!value.is_number_float()) return value.dump();
  const auto number = value.get<double>();
  if (std::abs(number) > most || number != std::trunc(number)) return value.dump();
  return std::to_string(static_cast<std::int64_t>(number));
}

}  // namespace

PublishedSampling read_published_sampling(const std::string& model_dir) {
  constexpr std::uint64_t most_bytes = 1 << 20;
  PublishedSampling published{model_dir + "/generation_config.json", {}};
  if (model_dir.empty() || !is_named(published.file)) return published;
  const auto json = model::JsonObject::read(published.file, most_bytes);
  for (const char* key : {"temperature", "top_p", "top_k", "min_p", "repetition_penalty"})
    if (json.has(key)) published.values.emplace_back(key, number_text(json.json().at(key)));
  return published;
}

}  // namespace moemill::mill
