#include "generate/advice.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "base/text/json_values.hpp"
#include "config/config.hpp"
#include "config/published_sampling.hpp"
#include "system/files/files.hpp"
#include "text/side_files.hpp"

namespace moemill::mill {
namespace {

// Tokens that end a chat turn in every model that has them.
constexpr const char* turn_ends[] = {"<|im_end|>", "<|eot_id|>", "<|eot|>", "<end_of_turn>", "<|end_of_turn|>"};

struct ChatFiles {
  std::string end_token;  // tokenizer_config.json's eos_token, or ""
  std::string templates;  // all chat templates, concatenated
};

ChatFiles read_chat_files(const std::string& dir) {
  ChatFiles found;
  if (const std::string path = dir + "/chat_template.jinja"; files::exists(path))
    found.templates = read_text_file(path);
  const std::string path = dir + "/tokenizer_config.json";
  if (!files::exists(path)) return found;
  const auto config = parse_json_object(read_text_file(path));
  if (!config) return found;  // the tokenizer has reported it
  found.end_token = text::token_text(*config, "eos_token").value_or("");
  if (config->contains("chat_template")) found.templates += (*config)["chat_template"].dump();
  return found;
}

bool ends_a_row(TokenId id, const ModelFolder& model, const RunConfig& config) {
  const auto& more = config.sampling.stop_token_ids;
  return std::find(model.config.eos.begin(), model.config.eos.end(), id) != model.config.eos.end() ||
         std::find(more.begin(), more.end(), id) != more.end();
}

// The special tokens in a stop string. Text without special tokens never contains them.
std::vector<TokenId> special_tokens_of(const std::string& stop, const text::Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  try {
    ids = tokenizer.encode(stop, text::AddSpecial::No);
  } catch (const text::TextError&) {
    return {};  // then it is no special token either
  }
  std::erase_if(ids, [&](TokenId id) { return !tokenizer.is_special(id); });
  return ids;
}

std::string never_matches(const char* where, const std::string& stop, const char* instead,
                          const std::vector<TokenId>& special) {
  return fmt::format(
      "{}: \"{}\" has a special token, and text has none, so it never matches; set {}: [{}], or "
      "output.skip_special_tokens: false",
      where, stop, instead, fmt::join(special, ", "));
}

// The config with a recommended value for a key, or nothing if moemill does not accept the value ("top_p": 0.0). This
// is no error, because the user did not ask for it.
std::optional<std::string> taken(const RunConfig& config, const std::string& key, const std::string& value,
                                 const std::string& file) {
  try {
    return value_of(with_value(config, key, value, file), key);
  } catch (const UserError&) {
    return std::nullopt;
  }
}

}  // namespace

std::vector<std::string> advice_on_endings(const ModelFolder& model, const RunConfig& config) {
  std::vector<std::string> advice;
  if (!model.tokenizer) return advice;
  if (config.output.skip_special_tokens) {
    for (const std::string& stop : config.sampling.stop) {
      const auto special = special_tokens_of(stop, *model.tokenizer);
      if (!special.empty()) advice.push_back(never_matches("sampling.stop", stop, "sampling.stop_token_ids", special));
    }
  }
  if (config.sampling.ignore_eos || model.config.eos.empty()) return advice;  // asked for, or reported elsewhere
  const ChatFiles chat = read_chat_files(config.model.path);
  auto check = [&](const std::string& token, const char* what) {
    const auto id = model.tokenizer->id_of(token);
    if (!id || ends_a_row(*id, model, config)) return;
    advice.push_back(
        fmt::format("\"{}\" (token {}) is {}, but no eos_token_id of generation_config.json or config.json ({}): rows "
                    "continue after it; set sampling.stop_token_ids: [{}] to end them there",
                    token, *id, what, fmt::join(model.config.eos, ", "), *id));
  };
  if (!chat.end_token.empty()) check(chat.end_token, "tokenizer_config.json's eos_token");
  for (const char* token : turn_ends)
    if (token != chat.end_token && chat.templates.find(token) != std::string::npos)
      check(token, "the end of a turn in the chat template");
  return advice;
}

std::vector<std::string> advice_on_row_stops(const ModelFolder& model, const RunConfig& config,
                                             const dataset::PromptFile& prompts) {
  constexpr std::size_t most = 5;
  std::vector<std::string> advice;
  if (!model.tokenizer || !config.output.skip_special_tokens || !prompts.has_stop_column()) return advice;
  for (const std::string& stop : prompts.row_stops()) {
    const auto special = special_tokens_of(stop, *model.tokenizer);
    if (special.empty()) continue;
    advice.push_back(never_matches("column stop", stop, "the column stop_token_ids of these rows", special));
    if (advice.size() == most) break;  // the remaining rows are alike
  }
  return advice;
}

std::vector<std::string> advice_on_sampling(const RunConfig& config) {
  const PublishedSampling published = read_published_sampling(config.model.path);
  if (config.sampling.from_model) {
    if (!published.values.empty()) return {};
    return {fmt::format("sampling.from_model is true, but {} recommends nothing", published.file)};
  }
  // A setting that is not the default was chosen by the user. With greedy sampling, only penalties matter.
  std::vector<std::string> recommended, used;
  for (const auto& [name, value] : published.values) {
    const std::string key = "sampling." + name, now = value_of(config, key);
    const auto theirs = taken(config, key, value, published.file);
    if (!theirs || now != value_of(RunConfig(), key) || now == *theirs) continue;
    if (config.sampling.temperature == 0 && name != "repetition_penalty") continue;
    recommended.push_back(fmt::format("{} {}", name, value));
    used.push_back(fmt::format("{} {}", name, now));
  }
  if (recommended.empty()) return {};
  return {fmt::format("{} recommends {}; this run uses {} (sampling.from_model: true takes the model's)",
                      published.file, fmt::join(recommended, ", "), fmt::join(used, ", "))};
}

}  // namespace moemill::mill
