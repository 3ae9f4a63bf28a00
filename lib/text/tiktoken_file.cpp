#include "text/tiktoken_file.hpp"

#include <charconv>
#include <functional>
#include <map>
#include <unordered_map>

#include "base/error.hpp"
#include "base/text/json_values.hpp"
#include "text/stages/byte_alphabet.hpp"

namespace moemill::text {
namespace {

using nlohmann::json;

// The class that is published with these files (tokenization_kimi.py, tokenization_moonshot.py). It defines the split
// pattern below, and that the 256 ids after the ranks are special tokens with names from tokenizer_config.json.
constexpr std::string_view known_class = "TikTokenTokenizer";
constexpr std::size_t reserved_ids = 256;
constexpr std::string_view split_pattern =
    R"([\p{Han}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string bytes;
  for (std::size_t at = 0; at < text.size(); at += 4) {
    std::uint32_t bits = 0;
    for (std::size_t i = at; i < at + 4; i++) {
      const bool pad = i >= text.size() - padding;
      const int value = pad ? 0 : base64_value(text[i]);
      if (value < 0) return std::nullopt;
      bits = bits << 6 | static_cast<std::uint32_t>(value);
    }
    for (int shift : {16, 8, 0}) bytes += static_cast<char>(bits >> shift & 0xFF);
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

// The tokens in the order of their ranks.
class Ranks {
 public:
  Ranks(std::string_view text, const std::string& file) : file_(file) {
    std::size_t line = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      std::string_view content = text.substr(at, end - at);
      if (content.ends_with('\r')) content.remove_suffix(1);
      at = end + 1;
      line++;
      if (!content.empty()) add(content, line);
    }
    for (int byte = 0; byte < 256; byte++)
      if (!ids_.contains(std::string(1, static_cast<char>(byte))))
        user_error("{}: no token is the single byte 0x{:02X}, so some texts have no tokens; is the file complete?",
                   file_, byte);
  }

  std::size_t size() const { return tokens_.size(); }
  const std::string& token(std::size_t rank) const { return tokens_[rank]; }
  bool contains(const std::string& token) const { return ids_.contains(token); }

 private:
  void add(std::string_view content, std::size_t line) {
    const std::size_t space = content.find(' ');
    auto bytes = from_base64(content.substr(0, std::min(space, content.size())));
    if (space == content.npos || !bytes)
      user_error("{}:{}: must be the base64 of a token's bytes, a space, and its rank", file_, line);
    const std::string_view digits = content.substr(space + 1);
    std::uint64_t rank = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (error != std::errc() || end != digits.data() + digits.size() || rank != tokens_.size())
      user_error("{}:{}: the rank \"{}\" should be {}: ranks count up from 0 without gaps", file_, line, digits,
                 tokens_.size());
    if (rank + reserved_ids >= static_cast<std::uint64_t>(id_limit))
      user_error("{}:{}: more than {} tokens are not supported", file_, line, id_limit);
    if (!ids_.emplace(*bytes, rank).second)
      user_error("{}:{}: this token also has the rank {}", file_, line, ids_.at(*bytes));
    tokens_.push_back(std::move(*bytes));
  }

  const std::string& file_;
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, std::uint64_t> ids_;
};

// Adds every merge of two tokens into a third, at the third token's rank.
void add_merges(const Ranks& ranks, TokenizerFile& file) {
  constexpr std::size_t longest = 4096;  // bytes; a token of n bytes takes about n * n steps
  const ByteAlphabet alphabet;
  std::string left, right;
  for (std::size_t rank = 0; rank < ranks.size(); rank++) {
    const std::string& token = ranks.token(rank);
    for (std::size_t cut = 1; cut < token.size() && token.size() <= longest; cut++) {
      if (!ranks.contains(token.substr(0, cut)) || !ranks.contains(token.substr(cut))) continue;
      left.clear();
      right.clear();
      alphabet.spell(std::string_view(token).substr(0, cut), left);
      alphabet.spell(std::string_view(token).substr(cut), right);
      file.left.add(left);
      file.right.add(right);
      file.merge_ranks.push_back(static_cast<std::uint32_t>(rank));
    }
  }
}

json added_token(std::size_t id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", false}};
}

// The added tokens that tokenizer_config.json names, and reserved tokens for the remaining ids after the ranks.
json added_tokens(const Place& config, std::size_t ranks) {
  std::map<std::size_t, json> tokens;
  for (std::size_t id = ranks; id < ranks + reserved_ids; id++)
    tokens[id] = added_token(id, fmt::format("<|reserved_token_{}|>", id));
  if (auto named = config.find("added_tokens_decoder")) {
    for (const auto& [key, token] : named->members()) {
      std::size_t id = 0;
      auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || id < ranks || id >= ranks + reserved_ids)
        named->refuse(fmt::format("the key \"{}\" must be an id from {} to {}, after the ranks of tiktoken.model", key,
                                  ranks, ranks + reserved_ids - 1));
      tokens[id] = added_token(id, token.at("content").string());
      tokens[id]["special"] = token.boolean_or("special", false);
    }
  }
  json all = json::array();
  for (auto& [id, token] : tokens) all.push_back(std::move(token));
  return all;
}

}  // namespace

TokenizerFile read_tiktoken_file(std::string_view text, const std::string& file_name, std::string_view config_text,
                                 const std::string& config_name) {
  const auto config = parse_json_object(config_text);
  if (!config) user_error("{}: not a JSON object; {} needs its special tokens", config_name, file_name);
  const Place place(*config, config_name, "");
  if (const std::string name = place.string_or("tokenizer_class", ""); name != known_class)
    user_error(
        "{}: tokenizer_class is \"{}\", and only {}'s way to split texts for tiktoken.model is known; make a "
        "tokenizer.json with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
        config_name, name, known_class);
  const Ranks ranks(text, file_name);
  TokenizerFile file;
  const ByteAlphabet alphabet;
  std::string spelling;
  for (std::size_t rank = 0; rank < ranks.size(); rank++) {
    spelling.clear();
    alphabet.spell(ranks.token(rank), spelling);
    file.vocabulary.add(spelling);
    file.ids.push_back(static_cast<TokenId>(rank));
  }
  add_merges(ranks, file);
  file.has_vocabulary = file.has_merges = true;
  file.tree["model"] = {{"type", "BPE"}, {"ignore_merges", true}};
  file.tree["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", split_pattern}}}, {"behavior", "Isolated"}, {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  file.tree["decoder"] = {{"type", "ByteLevel"}};
  file.tree["added_tokens"] = added_tokens(place, ranks.size());
  return file;
}

}  // namespace moemill::text
