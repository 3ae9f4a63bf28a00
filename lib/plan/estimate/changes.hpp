// Single figures that a user wants to be different, without copies of the files: `--change memory.gbytes=96`,
// `--change efficiency.network=+20%`. Used by the catalog before it reads a machine or the efficiencies.
#pragma once

#include <string>
#include <vector>

#include "config/yaml.hpp"

namespace moemill::estimate {

struct FigureChange {
  std::string key;  // of a machine's file, or efficiency.NAME
  double value = 0;
  bool is_relative = false;  // value 1.2: 20 % more
};
// UserError for a text that is no change of a known figure.
FigureChange read_change(const std::string& text);
// UserError also for two changes of one figure.
std::vector<FigureChange> read_changes(const std::vector<std::string>& texts);

// Changes the figure at the path `keys` (with dots between) of a file's mapping. False if the file does not have it.
bool change_figure(yaml::Node& root, const std::string& keys, const FigureChange& change);

// A file with figures, or a pipe. UserError if it cannot be read or holds more than 256 MiB.
std::string read_figures(const std::string& path);

}  // namespace moemill::estimate
