// Goldens of the tokenizer tests: lines of JSON, and one check that all of them use.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "text/tokenizer.hpp"

namespace moemill::text {

using nlohmann::json;

inline std::string test_data(const std::string& name) { return std::string(MOEMILL_TEST_DATA) + "/text/" + name; }

inline std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  REQUIRE_MESSAGE(in, path);
  return bytes.str();
}

inline std::vector<json> read_lines(const std::string& path) {
  std::istringstream in(read_all(path));
  std::vector<json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

// The folder of published models and goldens, or "" if there is none.
inline std::string shared_folder(const std::string& inside) {
  const char* set = std::getenv("MOEMILL_SHARED");
  std::string path = (set ? std::string(set) : std::string(MOEMILL_SOURCE_DIR) + "/../shared") + "/" + inside;
  if (std::filesystem::exists(path)) return path;
  MESSAGE("SKIPPED: no " << path << " (set MOEMILL_SHARED)");
  return "";
}

inline std::string stream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  StreamDecoder decoder(tokenizer, SkipSpecial::Yes);
  std::string text;
  for (TokenId id : ids) decoder.push(id, text);
  decoder.finish(text);
  return text;
}

// The text that a model's answer adds to the text of its prompt.
inline std::string answer(const Tokenizer& tokenizer, std::span<const TokenId> prompt, std::span<const TokenId> ids,
                          SkipSpecial skip) {
  StreamDecoder decoder(tokenizer, skip);
  decoder.read_prompt(prompt);
  std::string text;
  for (TokenId id : ids) decoder.push(id, text);
  decoder.finish(text);
  return text;
}

// Checks that prompt and answer together are the library's text of all ids, wherever the answer begins. If the library
// changes its text of the prompt (because of a cut character, for example), that place is skipped. Returns the number
// of places that were checked.
inline int check_answers(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, const std::string& text,
                         SkipSpecial skip) {
  int known = 0;
  for (std::size_t cut = 0; cut <= ids.size(); cut++) {
    auto prompt = std::span(ids).first(cut);
    const std::string before = tokenizer.decode(prompt, skip);
    if (!text.starts_with(before) || before.ends_with("\xEF\xBF\xBD")) continue;
    CAPTURE(ids);
    CAPTURE(cut);
    CHECK(before + answer(tokenizer, prompt, std::span(ids).subspan(cut), skip) == text);
    known++;
  }
  return known;
}

inline void check_encode(const Tokenizer& tokenizer, const std::string& text, const std::vector<TokenId>& ids,
                         const std::vector<TokenId>& ids_no_special) {
  CAPTURE(text);
  CHECK(tokenizer.encode(text, AddSpecial::Yes) == ids);
  CHECK(tokenizer.encode(text, AddSpecial::No) == ids_no_special);
}

inline void check_decode(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, const std::string& text,
                         const std::string& text_no_special) {
  CAPTURE(ids);
  CHECK(tokenizer.decode(ids, SkipSpecial::No) == text);
  CHECK(tokenizer.decode(ids, SkipSpecial::Yes) == text_no_special);
  CHECK(stream(tokenizer, ids) == text_no_special);
}

}  // namespace moemill::text
