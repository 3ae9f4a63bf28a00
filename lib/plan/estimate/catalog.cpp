#include "plan/estimate/catalog.hpp"

#include <fmt/format.h>

#include <fmt/ranges.h>
#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/error.hpp"
#include "base/text/edit_distance.hpp"
#include "system/files/shipped_files.hpp"

namespace moemill::estimate {
namespace {

namespace fs = std::filesystem;

// The names in a folder that have this ending, without it.
Words names_in(const fs::path& folder, std::string_view ending) {
  Words names;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(ending)) names.push_back(name.substr(0, name.size() - ending.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

[[noreturn]] void refuse(const char* kind, const std::string& name, const Words& known) {
  const std::string near = likely_name(name, known);
  user_error("{}: is no {} that is known{}; known: {}; or give a path", name, kind,
             near.empty() ? "" : fmt::format(", did you mean '{}'?", near), fmt::join(known, ", "));
}

}  // namespace

std::string shipped_configs() {
  std::error_code failed;
  const fs::path file = shipped_path("configs/efficiency.yaml");
  if (!fs::exists(file, failed)) user_error("the folder configs, which came with moemill, is not there: --configs DIR");
  return file.parent_path();
}

Catalog::Catalog(std::string folder, std::vector<FigureChange> changes)
    : folder_(std::move(folder)), changes_(std::move(changes)) {
  const std::string file = folder_ + "/efficiency.yaml";
  yaml::Node root = read_mapping(read_figures(file), file);
  for (const FigureChange& change : changes_)
    if (change.key.starts_with("efficiency.") &&
        change_figure(root, change.key.substr(change.key.find('.') + 1) + ".value", change))
      changed_.insert(change.key);
  efficiencies_ = read_efficiencies(root, file);
}

// A machine's own efficiencies go before those of all, and so do their changes.
Hardware Catalog::read_machine(const std::string& file) {
  yaml::Node root = read_mapping(read_figures(file), file);
  for (const FigureChange& change : changes_)
    if (change_figure(root, change.key.starts_with("efficiency.") ? change.key + ".value" : change.key, change))
      changed_.insert(change.key);
  return read_hardware(root, file, efficiencies_);
}

void Catalog::check_changes() const {
  for (const FigureChange& change : changes_)
    if (!changed_.contains(change.key))
      user_error("--change {}: no machine that is asked for has this figure", change.key);
}

const Hardware& Catalog::hardware(const std::string& name) {
  if (const auto found = hardware_.find(name); found != hardware_.end()) return found->second;
  if (folder_.empty()) refuse("machine", name, {});
  if (name.find('/') != std::string::npos || name.ends_with(".yaml")) return hardware_[name] = read_machine(name);
  const std::string folder = folder_ + "/hardware/";
  const Words known = names_in(folder, ".yaml");
  if (std::find(known.begin(), known.end(), name) != known.end())
    return hardware_[name] = read_machine(folder + name + ".yaml");
  for (const std::string& other : known)
    if (Hardware machine = read_machine(folder + other + ".yaml"); machine.name == name)
      return hardware_[name] = machine;
  refuse("machine", name, known);
}

const model::ModelConfig& Catalog::model(const std::string& name) {
  if (const auto found = models_.find(name); found != models_.end()) return found->second;
  if (folder_.empty()) refuse("model", name, {});
  const std::string dir = model_folder(name, folder_ + "/models");
  std::error_code failed;
  if (name.find('/') == std::string::npos && !fs::exists(dir + "/config.json", failed))
    refuse("model", name, names_in(folder_ + "/models", ""));
  return models_[name] = model::read_config(dir);
}

}  // namespace moemill::estimate
