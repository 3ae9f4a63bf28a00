// The folder of shapes and figures: configs/models, configs/hardware and configs/efficiency.yaml. Used by the command
// `plan` and by the readers of files that name models and machines.
#pragma once

#include <map>
#include <string>

#include "model/config.hpp"
#include "plan/estimate/hardware.hpp"

namespace moemill::estimate {

// The folder `configs` with efficiency.yaml: in the current folder, or the one that came with the program
// (shipped_path). UserError if there is none.
std::string shipped_configs();

class Catalog {
 public:
  // Reads efficiency.yaml of the folder.
  explicit Catalog(std::string folder);
  // Without a folder: only what is added.
  explicit Catalog(const Efficiencies& efficiencies) : efficiencies_(efficiencies) {}

  // By name, or a file (machines: the name holds a '/' or ends in .yaml) or a folder (models). Read once. UserError
  // with the nearest name for an unknown one.
  const Hardware& hardware(const std::string& name);
  const model::ModelConfig& model(const std::string& name);

  const Efficiencies& efficiencies() const { return efficiencies_; }
  void add(const Hardware& hardware) { hardware_[hardware.name] = hardware; }
  void add(const std::string& name, const model::ModelConfig& model) { models_[name] = model; }

 private:
  std::string folder_;
  Efficiencies efficiencies_;
  std::map<std::string, Hardware> hardware_;
  std::map<std::string, model::ModelConfig> models_;
};

}  // namespace moemill::estimate
