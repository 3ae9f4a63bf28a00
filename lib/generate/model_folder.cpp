#include "generate/model_folder.hpp"

#include "base/error.hpp"
#include "generate/advice.hpp"
#include "generate/backend/backend.hpp"
#include "system/files/shipped_files.hpp"

namespace moemill::mill {

ModelFolder open_model(const ModelSettings& settings, std::optional<ExpertSum> of_run) {
  if (settings.path.empty())
    user_error("model.path is missing: set it in the config, or give --model DIR (a Hugging Face model folder)");
  if (const std::string shapes = shipped_model(settings.path);
      shapes != settings.path && settings.path.find('/') == std::string::npos)
    user_error(
        "model folder {}: no such folder; {} has only the model's sizes, for plan, for bench and for validate without "
        "prompts; prompts need the folder with its tokenizer, and a run its weights",
        settings.path, shapes);
  ModelFolder model{model::read_config(settings.path), {}, {}, 0};
  model.config.quantization.keep = settings.keep_quantized == "auto";
  model.config.arithmetic = settings.arithmetic;
  const bool has_groups = model.config.moe.groups > 1;
  if (has_groups && of_run) model.config.expert_sum = *of_run;
  model.config.expert_sum = settings.expert_sum.value_or(model.config.expert_sum);
  if (model.config.expert_sum == ExpertSum::Groups && !has_groups)
    user_error(
        "model.expert_sum: groups: the router of {} ({}) has no groups of experts; write auto or picks, which are the "
        "same for it",
        settings.path, model.config.model_type);
  try {
    model.tokenizer = text::Tokenizer::load(settings.path);
  } catch (const UserError& e) {
    model.why_no_tokenizer = e.what();
  }
  model.max_model_len = settings.max_model_len.value_or(model.config.max_positions);
  if (model.max_model_len > model.config.max_positions)
    user_error(
        "model.max_model_len: {} is more than the {} positions that config.json gives the model "
        "(max_position_embeddings, or YaRN's original positions times its factor); lower it",
        model.max_model_len, model.config.max_positions);
  return model;
}

dataset::PromptFile open_prompts(const RunConfig& config) {
  if (config.input.path.empty())
    user_error("input.path is missing: set it in the config, or give -i FILE (an HDF5 file with a dataset 'prompt')");
  return dataset::PromptFile(config.input, config.output.carry_columns);
}

void check_model_can(const ModelFolder& model, const RunConfig& config, const dataset::PromptFile& prompts) {
  backend_name(config.runtime.backend, config.model.arithmetic);  // refuses what this program was built without
  const std::uint32_t logprobs = prompts.most_logprobs(config.sampling.logprobs).value_or(0);
  if (logprobs > model.config.vocabulary)
    user_error(
        "logprobs (sampling.logprobs, or the column of {}): {} is more than the model's vocabulary has, {} tokens; "
        "lower it",
        prompts.path(), logprobs, model.config.vocabulary);
  for (const std::int32_t id : config.sampling.stop_token_ids)
    if (static_cast<std::uint32_t>(id) >= model.config.vocabulary)
      user_error(
          "sampling.stop_token_ids: {} can never occur: the model's ids are 0 to {}; correct it, or leave it out", id,
          std::int64_t{model.config.vocabulary} - 1);
  if (model.tokenizer) return;
  auto refuse = [&](std::string_view what) {
    user_error(
        "{}. No tokenizer is needed for prompt_token_ids with output.store: [token_ids] and no stop strings, but {}",
        model.why_no_tokenizer, what);
  };
  if (prompts.form() == dataset::PromptForm::Text) refuse(fmt::format("the prompts of {} are text", prompts.path()));
  if (config.output.store_text) refuse("output.store has text");
  if (!config.sampling.stop.empty()) refuse("sampling.stop is set; sampling.stop_token_ids needs none");
  if (prompts.has_stop_column())
    refuse(fmt::format("{} has a column 'stop'; sampling.stop_token_ids needs none", prompts.path()));
}

PrepareRules prepare_rules(const RunConfig& config, const ModelFolder& model) {
  return {config.errors.too_long, model.max_model_len, model.config.vocabulary};
}

RunConfig with_settings_of(RunConfig config, const ModelFolder& model, const dataset::PromptFile& prompts) {
  config.model.expert_sum = model.config.expert_sum;
  config.input.add_special_tokens = prompts.add_special_tokens();
  return config;
}

std::string columns_text(const dataset::PromptFile& prompts) {
  constexpr std::size_t most = 20;
  std::vector<std::string> carried;
  for (const auto& column : prompts.carried()) carried.push_back(column.name);
  const std::size_t left_out = carried.size() > most ? carried.size() - most : 0;
  carried.resize(carried.size() - left_out);
  std::string text;
  if (!prompts.used().empty()) text += fmt::format("used: {}", fmt::join(prompts.used(), ", "));
  if (!carried.empty()) text += fmt::format("{}carried along: {}", text.empty() ? "" : "; ", fmt::join(carried, ", "));
  return left_out > 0 ? text + fmt::format(" and {} more", left_out) : text;
}

std::vector<std::string> warnings_of(const ModelFolder& model, const RunConfig& config,
                                     const dataset::PromptFile& prompts) {
  std::vector<std::string> warnings = model.config.warnings;
  if (model.tokenizer && prompts.form() == dataset::PromptForm::Text) {
    const auto& more = model.tokenizer->warnings();
    warnings.insert(warnings.end(), more.begin(), more.end());
  }
  if (model.tokenizer && model.tokenizer->vocabulary_size() > model.config.vocabulary)
    warnings.push_back(
        fmt::format("the tokenizer has ids up to {}, but the model's vocabulary is {}: prompts with larger ids "
                    "fail with bad_token",
                    model.tokenizer->vocabulary_size() - 1, model.config.vocabulary));
  for (auto& more :
       {advice_on_endings(model, config), advice_on_row_stops(model, config, prompts), advice_on_sampling(config)})
    warnings.insert(warnings.end(), more.begin(), more.end());
  if (config.sampling.max_tokens == 0 && !config.sampling.prompt_logprobs)
    warnings.push_back(
        "sampling.max_tokens is 0 and prompt_logprobs is off: prompts without a max_tokens of their own make "
        "empty rows");
  if (config.model.load_format == "dummy")
    warnings.push_back("model.load_format is dummy: weights are random and so are the answers");
  return warnings;
}

}  // namespace moemill::mill
