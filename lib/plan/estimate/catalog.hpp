// The folder of shapes and figures: configs/models, configs/hardware and configs/efficiency.yaml. Used by the command
// `plan` and by the readers of files that name models and machines.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/config.hpp"
#include "plan/estimate/changes.hpp"
#include "plan/estimate/hardware.hpp"

namespace moemill::estimate {

// The folder `configs` with efficiency.yaml: in the current folder, or the one that came with the program
// (shipped_path). UserError if there is none.
std::string shipped_configs();

class Catalog {
 public:
  // Reads efficiency.yaml of the folder. The changes are of that file and of every machine that has the figure.
  explicit Catalog(std::string folder, std::vector<FigureChange> changes = {});
  // Without a folder: only what is added.
  explicit Catalog(const Efficiencies& efficiencies) : efficiencies_(efficiencies) {}

  // By name, or a file (machines: the name holds a '/' or ends in .yaml) or a folder (models). Read once. UserError
  // with the nearest name for an unknown one.
  const Hardware& hardware(const std::string& name);
  const model::ModelConfig& model(const std::string& name);

  // UserError for a change of a figure that nothing has that was read.
  void check_changes() const;

  const Efficiencies& efficiencies() const { return efficiencies_; }
  void add(const Hardware& hardware) { hardware_[hardware.name] = hardware; }
  void add(const std::string& name, const model::ModelConfig& model) { models_[name] = model; }

 private:
  Hardware read_machine(const std::string& file);

  std::string folder_;
  std::vector<FigureChange> changes_;
  std::set<std::string> changed_;  // keys that some file has
  Efficiencies efficiencies_;
  std::map<std::string, Hardware> hardware_;
  std::map<std::string, model::ModelConfig> models_;
};

}  // namespace moemill::estimate
