#include "weights/files/stored_form.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace moemill::model {

namespace {

constexpr std::string_view embedding = "embed_tokens.weight", language_model = "language_model.";

// The prefix of embed_tokens and of the layers, usually "model.". A folder with several models (for images and for
// language) has several prefixes; the language model's is returned.
std::string body_of(const ModelFiles& files, const std::string& published) {
  std::vector<std::string> found;
  for (const TensorInfo& t : files.tensors()) {
    if (!t.name.ends_with(embedding)) continue;
    const std::string prefix = t.name.substr(0, t.name.size() - embedding.size());
    const bool whole_word = prefix.empty() || prefix.ends_with('.');
    if (whole_word && files.find(prefix + "layers.0.input_layernorm.weight") != nullptr) found.push_back(prefix);
  }
  if (found.empty() || std::find(found.begin(), found.end(), published) != found.end()) return published;
  if (found.size() > 1) {
    std::erase_if(found, [](const std::string& body) { return body.find(language_model) == std::string::npos; });
  }
  if (found.size() != 1) {
    user_error(
        "{}: the files hold several models; none of them is under \"model.\", and not exactly one is under "
        "\"language_model.\": save only the one that config.json describes",
        files.origin());
  }
  return found.front();
}

// The name of the head. Its prefix is the body's or a shorter one: "model.language_model.", "model.", "".
std::string head_of(const ModelFiles& files, const std::string& body, const std::string& published) {
  std::string prefix = body;
  while (files.find(published + ".weight") == nullptr && !prefix.empty()) {
    if (files.find(prefix + published + ".weight") != nullptr) return prefix + published;
    prefix.pop_back();  // the dot
    prefix.resize(prefix.rfind('.') + 1);
  }
  return published;
}

// Sets the names of a layer's experts. In memory, transformers 5 gives the experts of all families the same names, and
// it may save them under these.
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
