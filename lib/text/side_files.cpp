#include "text/side_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/error.hpp"
#include "base/text/json_values.hpp"

namespace moemill::text {
namespace {

using nlohmann::json;

constexpr const char* flags[] = {"single_word", "lstrip", "rstrip"};
constexpr const char* named_tokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
constexpr const char* listed_tokens[] = {"additional_special_tokens", "extra_special_tokens"};

enum class Special { No, Yes };

// Makes an entry of "added_tokens" without its id. A token is a string or an object with "content"; anything else
// yields null. A special token is not normalised unless its object asks for it, which is AddedToken's default.
json entry_of(const json& token, Special otherwise) {
  const json object = token.is_object() ? token : json{{"content", token}};
  const auto content = json_value<std::string>(object, "content");
  if (!content) return nullptr;
  json entry = {{"content", *content}, {"special", json_value_or(object, "special", otherwise == Special::Yes)}};
  for (const char* key : flags) entry[key] = json_value_or(object, key, false);
  entry["normalized"] = json_value_or(object, "normalized", !entry["special"].get<bool>());
  return entry;
}

json object_in(const std::string& text) { return parse_json_object(text).value_or(json::object()); }

// The tokens that have a role (bos_token, pad_token, ...), in transformers' order.
std::vector<json> special_tokens(const json& config) {
  std::vector<json> found;
  auto take = [&](const json& token) {
    if (json entry = entry_of(token, Special::Yes); !entry.is_null()) {
      entry["special"] = true;
      found.push_back(std::move(entry));
    }
  };
  for (const char* key : named_tokens)
    if (config.contains(key)) take(config[key]);
  for (const char* key : listed_tokens)
    if (config.contains(key) && config[key].is_structured())
      for (const json& token : config[key]) take(token);  // a list, or an object of name and token
  return found;
}

class Appender {
 public:
  explicit Appender(TokenizerFile& file) : file_(file) {
    json& there = file.tree["added_tokens"];
    if (there.is_null()) there = json::array();
    if (!there.is_array()) return;  // refused by name when the tokens are read
    next_id_ = static_cast<std::int64_t>(file.vocabulary.size());
    for (const json& token : there) {
      if (!token.is_object() || !token.contains("content") || !token["content"].is_string()) continue;
      known_.insert(token["content"].get<std::string>());
      if (token.contains("id") && token["id"].is_number_unsigned())
        next_id_ = std::max(next_id_, std::min(token["id"].get<std::int64_t>(), id_limit) + 1);
    }
  }

  // `where` names file and key for the error message. A token known only by its role has no id in its file.
  void append(json entry, std::optional<std::int64_t> id, const std::string& where) {
    const std::string content = entry["content"];
    if (content.empty() || !file_.tree["added_tokens"].is_array() || !known_.insert(content).second) return;
    const std::optional<std::int64_t> in_vocabulary = id_in_vocabulary(content);
    const std::int64_t given = in_vocabulary.value_or(next_id_);
    if (id && *id != given)
      user_error(
          "{}: \"{}\" has the id {} here, but tokenizer.json lacks the token among its added_tokens, and its id would "
          "be {} ({}). Save the tokenizer again with transformers (AutoTokenizer.from_pretrained, save_pretrained)",
          where, content, *id, given, in_vocabulary ? "that of model.vocab" : "the next free one");
    next_id_ = std::max(next_id_, given + 1);
    entry["id"] = static_cast<std::uint64_t>(given);
    file_.tree["added_tokens"].push_back(entry);
    appended_.push_back(std::move(entry));
  }

  json take() { return std::move(appended_); }

 private:
  std::optional<std::int64_t> id_in_vocabulary(const std::string& content) const {
    for (std::size_t i = 0; i < file_.vocabulary.size() && i < file_.ids.size(); i++)
      if (file_.vocabulary[i] == content) return file_.ids[i];
    return std::nullopt;
  }

  TokenizerFile& file_;
  std::set<std::string> known_;
  std::int64_t next_id_ = 0;
  json appended_ = json::array();
};

std::int64_t id_of_key(const std::string& key, const std::string& where) {
  std::int64_t id = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= id_limit)
    user_error("{}: the key \"{}\" is not a token id (a whole number from 0 to {})", where, key, id_limit - 1);
  return id;
}

void append_decoder(const json& decoder, const std::string& where, Appender& appender) {
  if (!decoder.is_object()) user_error("{}: must be an object of token ids", where);
  std::map<std::int64_t, json> by_id;
  for (const auto& [key, token] : decoder.items()) {
    json entry = token.is_object() ? entry_of(token, Special::No) : json();
    if (entry.is_null()) user_error("{}: the token {} has no \"content\"", where, key);
    by_id[id_of_key(key, where)] = std::move(entry);
  }
  for (auto& [id, entry] : by_id) appender.append(std::move(entry), id, where);
}

// Reads the older form, {"content": id}. A token is special if another file gives it a role.
void append_added_tokens(const std::string& text, const std::string& where, const std::vector<json>& special,
                         Appender& appender) {
  const json tokens = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!tokens.is_object()) user_error("{}: not a JSON object", where);
  std::multimap<std::int64_t, std::string> by_id;
  for (const auto& [content, id] : tokens.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= static_cast<std::uint64_t>(id_limit))
      user_error("{}: \"{}\" has no token id (a whole number from 0 to {})", where, content, id_limit - 1);
    by_id.emplace(id.get<std::int64_t>(), content);
  }
  for (const auto& [id, content] : by_id) {
    const std::string& name = content;  // clang 14 captures no structured binding
    const bool has_role =
        std::any_of(special.begin(), special.end(), [&name](const json& s) { return s["content"] == name; });
    appender.append(entry_of(content, has_role ? Special::Yes : Special::No), id, where);
  }
}

}  // namespace

json append_side_tokens(TokenizerFile& file, const SideFiles& side) {
  json config = object_in(side.tokenizer_config);
  Appender appender(file);
  // transformers reads the older files only if the newer form does not exist.
  if (config.contains("added_tokens_decoder")) {
    append_decoder(config["added_tokens_decoder"], side.dir + "/tokenizer_config.json: added_tokens_decoder", appender);
  } else {
    config.update(object_in(side.special_tokens_map));
    if (!side.added_tokens.empty())
      append_added_tokens(side.added_tokens, side.dir + "/added_tokens.json", special_tokens(config), appender);
  }
  for (json& token : special_tokens(config)) appender.append(std::move(token), std::nullopt, "");
  return appender.take();
}

std::optional<std::string> token_text(const json& config, const char* key) {
  const auto token = config.find(key);
  if (token == config.end() || !token->is_object()) return json_value<std::string>(config, key);
  return json_value<std::string>(*token, "content");
}

}  // namespace moemill::text
