#include "model/config.hpp"

#include <filesystem>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "model/family.hpp"

namespace moemill::model {

namespace {

constexpr std::uint64_t max_config_bytes = 16u << 20;  // published files are below 10 KB

constexpr Family families[] = {
    {"deepseek_v2", read_deepseek_v2},
    {"deepseek_v3", read_deepseek_v3},
    {"kimi_k2", read_deepseek_v3},
    {"mixtral", read_mixtral},
    {"qwen2_moe", read_qwen2_moe},
    {"qwen3_moe", read_qwen3_moe},
    {"olmoe", read_olmoe},
    {"glm4_moe", read_glm4_moe},
    {"gpt_oss", read_gpt_oss},
};

const Family& family_of(const JsonObject& json) {
  std::string type = json.text("model_type");
  std::string known;
  for (const Family& family : families) {
    if (family.model_type == type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  json.refuse("model_type", "a supported one: " + known);
}

void require_folder(const std::string& dir) {
  namespace fs = std::filesystem;
  constexpr const char* holds =
      "a model folder holds config.json, tokenizer.json and model.safetensors (or its parts and "
      "model.safetensors.index.json), as downloaded from Hugging Face";
  std::error_code ignored;
  if (!fs::exists(dir, ignored)) {
    if (is_named(dir)) user_error("model folder {}: {}", dir, why_unreadable(dir).value_or("try again"));
    const std::size_t slash = dir.find('/');
    if (slash != std::string::npos && slash > 0 && slash + 1 < dir.size() &&
        dir.find('/', slash + 1) == std::string::npos && dir[0] != '.')
      user_error(
          "model folder {0}: no such folder, and nothing is downloaded: on a machine with network access run "
          "`hf download {0} --local-dir {1}`, then use --model {1} (model.path)",
          dir, dir.substr(slash + 1));
    user_error("model folder {}: no such folder (model.path, --model); {}", dir, holds);
  }
  if (!fs::is_directory(dir, ignored)) user_error("model folder {}: is not a directory; {}", dir, holds);
  if (!is_named(dir + "/config.json")) {
    user_error("model folder {}: has no config.json; {}", dir, holds);
  }
}

// Refuses files beside config.json in which some tools declare that weights are quantised.
void refuse_quantized_beside(const std::string& dir, const JsonObject& json) {
  if (json.has("quantization_config")) return;
  for (const char* name : {"hf_quant_config.json", "quantize_config.json", "quant_config.json"}) {
    const std::filesystem::path path = std::filesystem::path(dir) / name;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) continue;
    user_error(
        "{}: declares quantised weights (ModelOpt writes hf_quant_config.json; GPTQ and AWQ tools write the other "
        "two), which are not supported; use a copy of the model in FP8 or bfloat16, or remove this file if the weights "
        "are in one of these",
        path.string());
  }
}

void read_special_tokens(const std::string& dir, const JsonObject& json, ModelConfig& config) {
  std::filesystem::path generation = std::filesystem::path(dir) / "generation_config.json";
  if (is_named(generation.string())) {
    config.eos = JsonObject::read(generation.string(), max_config_bytes).token_ids("eos_token_id");
  }
  if (config.eos.empty()) config.eos = json.token_ids("eos_token_id");
  for (TokenId eos : config.eos) {
    if (static_cast<std::uint32_t>(eos) < config.vocabulary) continue;
    config.warnings.push_back(
        fmt::format("{}: eos_token_id {} is outside the vocabulary of {} tokens: it never ends a row", dir, eos,
                    config.vocabulary));
  }
  if (config.eos.empty()) {
    config.warnings.push_back(fmt::format(
        "{}: no eos_token_id here or in generation_config.json; only max_tokens and stop settings end a row",
        json.file()));
  }
}

}  // namespace

ModelConfig read_config(const std::string& dir) {
  require_folder(dir);
  JsonObject json = JsonObject::read((std::filesystem::path(dir) / "config.json").string(), max_config_bytes);
  const Family& family = family_of(json);
  ModelConfig config;
  config.model_type = family.model_type;
  family.read(json, config);
  if (config.moe.groups_kept < config.moe.groups) config.expert_sum = ExpertSum::Groups;
  read_quantization(json, config);
  refuse_quantized_beside(dir, json);
  read_special_tokens(dir, json, config);
  return config;
}

}  // namespace moemill::model
