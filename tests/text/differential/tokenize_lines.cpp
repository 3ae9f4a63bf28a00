// Development tool: tokenises lines, so that a script can hold the tokenizer against another one.
//
//   tokenize_lines TOKENIZER.json < LINES
//
// A line is JSON: a string is encoded, an array of ids is decoded. The answer is a line of JSON:
// [ids with special tokens, ids without], or [text, text without special tokens, the same streamed id by id], or
// {"error": why}. Exit 2 with the reason when the file is refused.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.hpp"
#include "text/tokenizer.hpp"

namespace {

using namespace moemill;
using namespace moemill::text;
using nlohmann::json;

json encoded(const Tokenizer& tokenizer, const std::string& text) {
  return {tokenizer.encode(text, AddSpecial::Yes), tokenizer.encode(text, AddSpecial::No)};
}

json decoded(const Tokenizer& tokenizer, const std::vector<std::int64_t>& line) {
  std::vector<TokenId> ids(line.begin(), line.end());
  StreamDecoder stream(tokenizer, SkipSpecial::Yes);
  std::string streamed;
  for (TokenId id : ids) stream.push(id, streamed);
  stream.finish(streamed);
  return {tokenizer.decode(ids, SkipSpecial::No), tokenizer.decode(ids, SkipSpecial::Yes), streamed};
}

json answer(const Tokenizer& tokenizer, const std::string& line) {
  try {
    json question = json::parse(line);
    return question.is_string() ? encoded(tokenizer, question) : decoded(tokenizer, question);
  } catch (const TextError& e) {
    return {{"error", e.what()}};
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: tokenize_lines TOKENIZER.json < LINES\n", stderr);
    return 2;
  }
  try {
    std::ostringstream file;
    file << std::ifstream(argv[1], std::ios::binary).rdbuf();
    Tokenizer tokenizer = Tokenizer::parse(file.str(), argv[1]);
    for (std::string line; std::getline(std::cin, line);) std::cout << answer(tokenizer, line).dump() << '\n';
  } catch (const UserError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
