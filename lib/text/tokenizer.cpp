#include "text/tokenizer.hpp"

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/readable.hpp"
#include "base/text/json_values.hpp"
#include "base/text/lfs_pointer.hpp"
#include "base/text/utf8.hpp"
#include "text/side_files.hpp"
#include "text/stages/parts.hpp"
#include "text/tiktoken_file.hpp"

namespace moemill::text {
namespace {

std::string read_file(const std::string& path) {
  if (const auto why = why_unreadable(path)) user_error("{}: {}", path, *why);
  return read_text_file(path);
}

// If the folder has the tokenizer in a form that transformers can convert, the message says how to make tokenizer.json.
[[noreturn]] void refuse_without_tokenizer(const std::string& dir) {
  for (const char* convertible : {"tokenizer.model", "spiece.model", "vocab.json"})
    if (is_named(dir + "/" + convertible))
      user_error(
          "{}: has {}, but no tokenizer.json. Make it once (pip install transformers sentencepiece protobuf): python3 "
          "-c \"from transformers import AutoTokenizer; AutoTokenizer.from_pretrained('{}').save_pretrained('{}')\"",
          dir, convertible, dir, dir);
  user_error("{}: has no tokenizer.json, which the model folder needs for texts; download it with the model", dir);
}

// The file's contents; "" if it does not exist. An empty file, which an interrupted download leaves, must not read as
// missing, so it yields " ", which is not JSON.
std::string text_of(const std::string& path) {
  if (!is_named(path)) return "";
  const std::string text = read_file(path);
  return text.empty() ? " " : text;
}

std::string side_tokens_note(const nlohmann::json& appended, const std::string& file_name) {
  return fmt::format("{}: {} more added token{} (\"{}\", id {}{}) taken from the files beside it", file_name,
                     appended.size(), appended.size() == 1 ? "" : "s", appended[0]["content"].get<std::string>(),
                     appended[0]["id"].get<std::int64_t>(), appended.size() == 1 ? "" : ", ...");
}

TextStart start_of(std::size_t begin) { return begin == 0 ? TextStart::Yes : TextStart::No; }

}  // namespace

BadUtf8::BadUtf8(std::size_t offset) : TextError(fmt::format("not UTF-8 at byte {}", offset)), offset_(offset) {}

Tokenizer::Tokenizer(std::unique_ptr<TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::parse(std::string_view json, const std::string& file_name, const SideFiles& side) {
  TokenizerFile file = read_tokenizer_file(json, file_name);
  const nlohmann::json appended = append_side_tokens(file, side);
  Place root(file.tree, file_name, "");
  auto model = root.at("model");
  if (!file.has_vocabulary) model.refuse("\"vocab\" is missing or not an object; only BPE models are supported");
  if (!file.has_merges) model.refuse("\"merges\" is missing or not an array; only BPE models are supported");
  Tokenizer tokenizer(std::make_unique<TokenizerParts>(file, root));
  // If no side file adds tokens, the fingerprint is the hash of tokenizer.json alone.
  tokenizer.parts_->fingerprint =
      sha256_hex(appended.empty() ? std::string(json) : std::string(json) + appended.dump());
  if (!appended.empty()) tokenizer.parts_->warnings.push_back(side_tokens_note(appended, file_name));
  for (const char* key : {"truncation", "padding"})
    if (root.find(key))
      tokenizer.parts_->warnings.push_back(fmt::format("{}: \"{}\" is set; it is ignored", file_name, key));
  return tokenizer;
}

Tokenizer Tokenizer::parse_tiktoken(std::string_view ranks, const std::string& file_name, std::string_view config,
                                    const std::string& config_name) {
  TokenizerFile file = read_tiktoken_file(ranks, file_name, config, config_name);
  Tokenizer tokenizer(std::make_unique<TokenizerParts>(file, Place(file.tree, config_name, "")));
  // The fingerprint covers only the added tokens of tokenizer_config.json, because a changed chat template leaves the
  // tokenizer the same.
  tokenizer.parts_->fingerprint = sha256_hex(std::string(ranks) + file.tree["added_tokens"].dump());
  return tokenizer;
}

Tokenizer Tokenizer::load_tiktoken(const std::string& dir) {
  const std::string path = dir + "/tiktoken.model", config_path = dir + "/tokenizer_config.json";
  const std::string ranks = read_file(path), config = read_file(config_path);
  refuse_lfs_pointer(path, ranks);
  Tokenizer tokenizer = parse_tiktoken(ranks, path, config, config_path);
  tokenizer.warn_about_config(config_path, config);
  return tokenizer;
}

Tokenizer Tokenizer::load(const std::string& dir) {
  std::string path = dir + "/tokenizer.json";
  if (!is_named(path) && is_named(dir + "/tiktoken.model")) return load_tiktoken(dir);
  if (!is_named(path)) refuse_without_tokenizer(dir);
  const std::string contents = read_file(path);
  refuse_lfs_pointer(path, contents);
  const SideFiles side{dir, text_of(dir + "/tokenizer_config.json"), text_of(dir + "/added_tokens.json"),
                       text_of(dir + "/special_tokens_map.json")};
  Tokenizer tokenizer = parse(contents, path, side);
  tokenizer.warn_about_config(dir + "/tokenizer_config.json", side.tokenizer_config);
  return tokenizer;
}

// The post-processor alone decides which special tokens are added. tokenizer_config.json may ask for others, which
// older versions of transformers did add; the user is warned that they are not added.
void Tokenizer::warn_about_config(const std::string& path, const std::string& text) {
  if (text.empty()) return;
  const auto config = parse_json_object(text);
  if (!config) {
    parts_->warnings.push_back(fmt::format("{}: not a JSON object; it is ignored", path));
    return;
  }
  std::vector<TokenId> added = parts_->post_processor.apply({});
  auto check = [&](const char* switch_key, const char* token_key) {
    const auto token = token_text(*config, token_key);
    if (!json_value_or(*config, switch_key, false) || !token) return;
    auto id = id_of(*token);
    if (!id || std::find(added.begin(), added.end(), *id) == added.end())
      parts_->warnings.push_back(
          fmt::format("{}: {} is true, but the tokenizer's post-processor does not add \"{}\", so it is not added",
                      path, switch_key, *token));
  };
  check("add_bos_token", "bos_token");
  check("add_eos_token", "eos_token");
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, AddSpecial add) const {
  if (auto bad = first_bad_utf8(text)) throw BadUtf8(*bad);
  const TokenizerParts& p = *parts_;
  RegexScratch regex;
  BpeScratch bpe;
  std::vector<TokenId> ids;
  for (const Segment& raw : p.added.cut_raw(text, regex)) {
    if (raw.id) {
      ids.push_back(*raw.id);
      continue;
    }
    std::string normal = p.normalizer.apply(std::string(text.substr(raw.begin, raw.end - raw.begin)), regex);
    for (const Segment& part : p.added.cut_normalized(normal, regex)) {
      if (part.id) {
        ids.push_back(*part.id);
        continue;
      }
      Pieces pieces = p.pre_tokenizer.apply(normal.substr(part.begin, part.end - part.begin),
                                            start_of(raw.begin + part.begin), regex);
      for (std::size_t i = 0; i < pieces.spans.size(); i++) p.bpe.encode(pieces[i], bpe, ids);
    }
  }
  return add == AddSpecial::Yes ? p.post_processor.apply(std::move(ids)) : ids;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, SkipSpecial skip) const {
  const TokenizerParts& p = *parts_;
  Decoder::State state = p.decoder.begin();
  std::string text;
  for (TokenId id : ids) {
    if (skip == SkipSpecial::Yes && p.leaves_no_text(id)) continue;
    if (auto spelling = p.spelling(id)) p.decoder.push(state, *spelling, text);
  }
  p.decoder.finish(state, text);
  return text;
}

std::size_t Tokenizer::vocabulary_size() const {
  return std::max(parts_->bpe.vocabulary().highest_id_plus_one(), parts_->added.highest_id_plus_one());
}

bool Tokenizer::is_special(TokenId id) const { return parts_->is_special(id); }

std::optional<TokenId> Tokenizer::id_of(std::string_view token) const {
  if (const AddedToken* added = parts_->added.find(token)) return added->id;
  return parts_->bpe.vocabulary().find(token);
}

std::string Tokenizer::token_bytes(TokenId id) const {
  auto spelling = parts_->spelling(id);
  return spelling ? parts_->decoder.bytes_in_mid_text(*spelling) : std::string();
}

const std::string& Tokenizer::fingerprint() const { return parts_->fingerprint; }
const std::vector<std::string>& Tokenizer::warnings() const { return parts_->warnings; }

struct StreamDecoder::State {
  Decoder::State decoding;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, SkipSpecial skip)
    : parts_(tokenizer.parts_.get()), skip_(skip), state_(new State{parts_->decoder.begin()}) {}
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

void StreamDecoder::read_prompt(std::span<const TokenId> ids) {
  std::string prompt;
  for (TokenId id : ids) {
    push(id, prompt);
    prompt.clear();
  }
  parts_->decoder.end_prompt(state_->decoding);
}

void StreamDecoder::push(TokenId id, std::string& text) {
  if (skip_ == SkipSpecial::Yes && parts_->leaves_no_text(id)) return;
  if (auto spelling = parts_->spelling(id)) parts_->decoder.push(state_->decoding, *spelling, text);
}

void StreamDecoder::finish(std::string& text) { parts_->decoder.finish(state_->decoding, text); }

}  // namespace moemill::text
