#include "weights/files/stored_form.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace moemill::model {

namespace {

constexpr std::string_view table = "embed_tokens.weight", language = "language_model.";

// What stands before embed_tokens and the layers: usually "model.". A folder of several models (one that sees, one that
// speaks) has several; the language model is meant.
std::string body_of(const ModelFiles& files, const std::string& published) {
  std::vector<std::string> found;
  for (const TensorInfo& t : files.tensors()) {
    if (!t.name.ends_with(table)) continue;
    const std::string before = t.name.substr(0, t.name.size() - table.size());
    const bool whole_word = before.empty() || before.ends_with('.');
    if (whole_word && files.find(before + "layers.0.input_layernorm.weight") != nullptr) found.push_back(before);
  }
  if (found.empty() || std::find(found.begin(), found.end(), published) != found.end()) return published;
  if (found.size() > 1) {
    std::erase_if(found, [](const std::string& body) { return body.find(language) == std::string::npos; });
  }
  if (found.size() != 1) {
    user_error(
        "{}: has tensors of several models, none of them under \"model.\" and not one under \"language_model.\": which "
        "one is meant? Save the one that config.json describes alone",
        files.origin());
  }
  return found.front();
}

// The head stands beside the body or in a part of what stands before it: "model.language_model.", "model.", "".
std::string head_of(const ModelFiles& files, const std::string& body, const std::string& published) {
  std::string before = body;
  while (files.find(published + ".weight") == nullptr && !before.empty()) {
    if (files.find(before + published + ".weight") != nullptr) return before + published;
    before.pop_back();  // the dot
    before.resize(before.rfind('.') + 1);
  }
  return published;
}

// Names of a layer's experts. transformers 5 has one name for all families in memory and writes it on request.
void find_experts(const ModelFiles& files, const std::string& layer, TensorNames& names) {
  auto has = [&](const std::string& name) { return files.find(name) != nullptr; };
  auto router = [&](const std::string& moe) { return layer + moe + "." + names.router + ".weight"; };
  if (!has(router(names.moe)) && has(router("mlp"))) names.moe = "mlp";
  const std::string experts = layer + names.moe + ".experts.";
  if (names.experts != ExpertStorage::Separate || has(experts + "0." + names.gate + ".weight")) return;
  if (has(experts + "gate_up_proj")) {
    names.experts = ExpertStorage::FusedHalves;
  } else if (has(experts + "0.gate_proj.weight")) {
    names.gate = "gate_proj", names.up = "up_proj", names.down = "down_proj";
  } else if (has(experts + "0.w1.weight")) {
    names.gate = "w1", names.up = "w3", names.down = "w2";
  }
}

bool has_exact_router(const ModelFiles& files, const ModelConfig& config) {
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    const TensorNames& n = config.names;
    const TensorInfo* router = files.find(fmt::format("{}layers.{}.{}.{}.weight", n.body, layer, n.moe, n.router));
    if (router != nullptr && (router->dtype == "F32" || router->dtype == "F16")) return true;
  }
  return false;
}

}  // namespace

ModelConfig as_stored(ModelConfig config, const ModelFiles& files) {
  config.names.body = body_of(files, config.names.body);
  config.names.head = head_of(files, config.names.body, config.names.head);
  config.moe.router_exact = false;
  const auto moe = std::find(config.layer_is_moe.begin(), config.layer_is_moe.end(), true);
  if (moe == config.layer_is_moe.end()) return config;
  const auto layer = std::to_string(moe - config.layer_is_moe.begin());
  find_experts(files, config.names.body + "layers." + layer + ".", config.names);
  config.moe.router_exact = has_exact_router(files, config);
  return config;
}

}  // namespace moemill::model
