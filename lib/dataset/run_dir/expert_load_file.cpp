#include "dataset/run_dir/expert_load_file.hpp"

#include <algorithm>
#include <filesystem>

#include "base/build_info.hpp"
#include "base/error.hpp"
#include "base/text/json_values.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t most_count = std::uint64_t{1} << 53;  // whole numbers that any JSON reader keeps
constexpr std::uint32_t most_experts = 1u << 16;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  user_error("{}: {}; it should be the expert_load.json of a run with parallel.rebalance.policy: measured", path, why);
}

template <class T>
T required(const nlohmann::json& object, const std::string& path, const char* name) {
  if (const auto value = json_value<T>(object, name)) return *value;
  refuse(path, fmt::format("'{}' is absent or no value of its kind", name));
}

// A layer's counts, of so many experts.
void take_layer(const nlohmann::json& layer, const std::string& path, MeasuredLoad& load) {
  if (!layer.is_object()) refuse(path, "'layers' holds something that is no layer");
  const auto number = required<std::int32_t>(layer, path, "layer");
  if (number < 0 || (!load.layers.empty() && number <= load.layers.back()))
    refuse(path, "the layers are not in ascending order");
  load.layers.push_back(number);
  const auto counts = layer.find("counts");
  if (counts == layer.end() || !counts->is_array() || counts->size() != load.experts)
    refuse(path, fmt::format("layer {} has no counts of {} experts", number, load.experts));
  for (const nlohmann::json& count : *counts) {
    if (!count.is_number_unsigned() || count.get<std::uint64_t>() > most_count)
      refuse(path, fmt::format("layer {} has a count that is no whole number up to 2^53", number));
    load.counts.push_back(count.get<std::uint64_t>());
  }
}

}  // namespace

bool MeasuredLoad::is_of(const MeasuredLoad& other) const {
  return model_type == other.model_type && model_sha256 == other.model_sha256 && experts == other.experts &&
         layers == other.layers;
}

void MeasuredLoad::add(const MeasuredLoad& other) {
  expect(is_of(other), "expert load: counts of one model are added");
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = std::min(most_count, counts[i] + other.counts[i]);
}

void write_expert_load(const std::string& path, const MeasuredLoad& load) {
  nlohmann::ordered_json j = {{"format_version", expert_load_format_version},
                              {"moemill_version", build_info::version()},
                              {"model_type", load.model_type},
                              {"model_sha256", load.model_sha256},
                              {"experts", load.experts},
                              {"layers", nlohmann::ordered_json::array()}};
  for (std::size_t l = 0; l < load.layers.size(); ++l) {
    const auto first = load.counts.begin() + static_cast<std::ptrdiff_t>(l * load.experts);
    j["layers"].push_back(
        {{"layer", load.layers[l]}, {"counts", std::vector<std::uint64_t>(first, first + load.experts)}});
  }
  files::write_atomically(path, j.dump() + "\n");
}

std::optional<MeasuredLoad> read_expert_load(const std::string& path) {
  std::error_code ignored;
  const auto bytes = std::filesystem::file_size(path, ignored);
  if (!ignored && bytes > most_expert_load_bytes)
    refuse(path, fmt::format("has more than {} MiB", most_expert_load_bytes >> 20));
  const std::optional<std::string> text = files::read_text(path);
  if (!text) return std::nullopt;
  const auto j = parse_json_object(*text);
  if (!j) refuse(path, "is no JSON object");
  if (required<std::int64_t>(*j, path, "format_version") != expert_load_format_version)
    refuse(path, "has another format_version");
  MeasuredLoad load;
  load.model_type = required<std::string>(*j, path, "model_type");
  load.model_sha256 = required<std::string>(*j, path, "model_sha256");
  load.experts = required<std::uint32_t>(*j, path, "experts");
  if (load.experts == 0 || load.experts > most_experts)
    refuse(path, fmt::format("'experts' is not from 1 to {}", most_experts));
  const auto layers = j->find("layers");
  if (layers == j->end() || !layers->is_array() || layers->empty()) refuse(path, "has no layers");
  for (const nlohmann::json& layer : *layers) take_layer(layer, path, load);
  return load;
}

}  // namespace moemill::dataset
