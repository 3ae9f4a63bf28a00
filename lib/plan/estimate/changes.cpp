#include "plan/estimate/changes.hpp"

#include <fmt/format.h>

#include <fmt/ranges.h>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "base/text/edit_distance.hpp"
#include "config/config_field_kinds.hpp"
#include "plan/estimate/efficiency.hpp"

namespace moemill::estimate {
namespace {

constexpr std::size_t most_bytes = std::size_t{256} << 20;

Words figure_names() {
  Words names = {"memory.gbytes",
                 "memory.gbytes_per_second",
                 "peak_tflops.bf16",
                 "peak_tflops.fp8",
                 "peak_tflops.int8",
                 "peak_tflops.fp4",
                 "scale_up.gpus",
                 "scale_up.gbytes_per_second",
                 "network.gbytes_per_second",
                 "price.per_hour",
                 "power_watts",
                 "gpus_per_node"};
  for (const std::string& name : efficiency_names()) names.push_back("efficiency." + name);
  return names;
}

yaml::Node* value_of(yaml::Node& map, std::string_view key) {
  if (!map.is_map()) return nullptr;
  for (std::size_t i = 0; i + 1 < map.items.size(); i += 2)
    if (map.items[i].scalar == key) return &map.items[i + 1];
  return nullptr;
}

}  // namespace

FigureChange read_change(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == text.npos) user_error("--change {}: write KEY=VALUE, such as network.gbytes_per_second=+20%", text);
  FigureChange change{text.substr(0, equals), 0, false};
  const Words known = figure_names();
  if (std::find(known.begin(), known.end(), change.key) == known.end()) {
    const std::string near = likely_name(change.key, known);
    user_error("--change {}: '{}' is no figure{}; there are {}", text, change.key,
               near.empty() ? "" : fmt::format(", did you mean '{}'?", near), fmt::join(known, ", "));
  }
  std::string_view value = std::string_view(text).substr(equals + 1);
  change.is_relative = value.ends_with('%');
  if (change.is_relative) value.remove_suffix(1);
  if (value.starts_with('+')) value.remove_prefix(1);
  const auto number = mill::number_in<double>(value);
  if (!number || !std::isfinite(*number) || (change.is_relative && *number <= -100))
    user_error("--change {}: '{}' is no number, nor a change such as +20% or -10%", text, text.substr(equals + 1));
  change.value = change.is_relative ? 1 + *number / 100 : *number;
  return change;
}

std::vector<FigureChange> read_changes(const std::vector<std::string>& texts) {
  std::vector<FigureChange> changes;
  for (const std::string& text : texts) {
    changes.push_back(read_change(text));
    const auto before =
        std::find_if(changes.begin(), changes.end(), [&](const auto& one) { return one.key == changes.back().key; });
    if (before + 1 != changes.end())
      user_error("--change {}: {} is changed twice; leave one of them out", text, before->key);
  }
  return changes;
}

bool change_figure(yaml::Node& root, const std::string& keys, const FigureChange& change) {
  yaml::Node* node = &root;
  for (std::size_t at = 0; node && at < keys.size();) {
    const std::size_t dot = std::min(keys.find('.', at), keys.size());
    node = value_of(*node, std::string_view(keys).substr(at, dot - at));
    at = dot + 1;
  }
  if (!node || !node->is_scalar()) return false;
  const auto before = mill::number<double>(*node);
  if (!before) return false;  // whoever reads the file refuses it
  node->scalar = fmt::format("{}", change.is_relative ? *before * change.value : change.value);
  return true;
}

std::string read_figures(const std::string& path) {
  std::error_code unreadable;  // reported below
  if (std::filesystem::is_directory(path, unreadable)) user_error("{}: is a folder, not a file", path);
  std::ifstream in(path, std::ios::binary);
  if (!in) user_error("{}: {}", path, why_unreadable(path).value_or("cannot be opened"));
  std::string text;
  std::vector<char> block(1 << 20);
  while (in) {
    in.read(block.data(), static_cast<std::streamsize>(block.size()));
    text.append(block.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > most_bytes)
      user_error("{}: holds more than 256 MiB, or never ends: it is no file of figures", path);
  }
  if (in.bad()) user_error("{}: cannot be read", path);
  return text;
}

}  // namespace moemill::estimate
