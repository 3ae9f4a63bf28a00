// tiktoken.model folders: the ids of the tiktoken library with the published split pattern, and refusals by line.
#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "support/temp_dir.hpp"
#include "text/support.hpp"

namespace moemill::text {
namespace {

using test::TempDir;

std::string refusal(const std::string& ranks, const std::string& config) {
  try {
    Tokenizer::parse_tiktoken(ranks, "dir/tiktoken.model", config, "dir/tokenizer_config.json");
  } catch (const UserError& e) {
    return e.what();
  }
  return "accepted";
}

TEST_CASE("tiktoken.model gives the library's ids, and text that comes back") {
  const std::string dir = test_data("tiktoken");
  const Tokenizer tokenizer = Tokenizer::load(dir);
  CHECK(tokenizer.vocabulary_size() == 700 + 256);
  for (const json& line : read_lines(dir + "/strings.jsonl")) {
    const std::string text = line["text"];
    check_encode(tokenizer, text, line["ids"], line["ids"]);
    CHECK(tokenizer.decode(line["ids"].get<std::vector<TokenId>>(), SkipSpecial::No) == text);
  }
}

TEST_CASE("special tokens of tiktoken folders") {
  const Tokenizer tokenizer = Tokenizer::load(test_data("tiktoken"));
  CHECK(tokenizer.is_special(*tokenizer.id_of("<|im_end|>")));
  CHECK(!tokenizer.is_special(*tokenizer.id_of("<|tool_call_begin|>")));
  CHECK(tokenizer.id_of("<|reserved_token_706|>") == 706);
  const auto ids = tokenizer.encode("<|im_user|>hi<|tool_call_begin|>", AddSpecial::Yes);
  CHECK(tokenizer.decode(ids, SkipSpecial::Yes) == "hi<|tool_call_begin|>");
  CHECK(tokenizer.warnings().empty());
}

TEST_CASE("the fingerprint is of ranks and special tokens, not of a chat template") {
  const std::string ranks = read_all(test_data("tiktoken/tiktoken.model"));
  json config = json::parse(read_all(test_data("tiktoken/tokenizer_config.json")));
  auto fingerprint = [&] { return Tokenizer::parse_tiktoken(ranks, "m", config.dump(), "c").fingerprint(); };
  const std::string before = fingerprint();
  config["chat_template"] = "another";
  CHECK(fingerprint() == before);
  config["added_tokens_decoder"]["700"]["content"] = "[bos]";
  CHECK(fingerprint() != before);
}

TEST_CASE("a tiktoken.model that cannot be used is refused by its line") {
  const std::string good = read_all(test_data("tiktoken/tiktoken.model"));
  const std::string config = read_all(test_data("tiktoken/tokenizer_config.json"));
  CHECK(refusal(good, config) == "accepted");
  auto with_line_three = [&](const std::string& line) {
    const std::size_t begin = good.find('\n', good.find('\n') + 1) + 1;
    return refusal(good.substr(0, begin) + line + good.substr(good.find('\n', begin)), config);
  };
  CHECK(with_line_three("Ag== 2") == "accepted");
  for (const char* line : {"Ag= 2", "A*== 2", "Ag==2", " 2", "=g== 2", "Ag==", "version https://git-lfs"})
    CHECK_MESSAGE(with_line_three(line).starts_with("dir/tiktoken.model:3: must be the base64"), line);
  for (const char* line : {"Ag== 3", "Ag== -2", "Ag== 2x", "Ag== ", "Ag== 99999999999999999999"})
    CHECK_MESSAGE(with_line_three(line).find(" should be 2: ranks count up from 0") != std::string::npos, line);
  CHECK(with_line_three("AQ== 2") == "dir/tiktoken.model:3: this token also has the rank 1");
  CHECK(with_line_three("YWJhYmFi 2").find("no token is the single byte 0x02") != std::string::npos);
  CHECK(refusal(good.substr(0, good.find('\n', 100) + 1), config).find("is the file complete?") != std::string::npos);
  CHECK(refusal("", config).find("is the file complete?") != std::string::npos);
  CHECK(refusal(good, "[]").find("not a JSON object") != std::string::npos);
  CHECK(refusal(good, R"({"tokenizer_class": "OtherTokenizer"})").find("\"OtherTokenizer\"") != std::string::npos);
  CHECK(refusal(good, R"({"tokenizer_class": "TikTokenTokenizer", "added_tokens_decoder": {"5": {"content": "x"}}})")
            .find("must be an id from 700 to 955") != std::string::npos);
  CHECK(refusal(good, R"({"tokenizer_class": "TikTokenTokenizer", "added_tokens_decoder": {"700": {}}})")
            .starts_with("dir/tokenizer_config.json: added_tokens_decoder.700: \"content\" is missing"));
}

TEST_CASE("the error for a folder with a different form of tokenizer says how to make tokenizer.json") {
  const TempDir dir;
  auto refused = [&] {
    try {
      Tokenizer::load(dir.str());
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  CHECK(refused().find("has no tokenizer.json") != std::string::npos);
  std::ofstream(dir.path / "tokenizer.model") << "sentencepiece";
  CHECK(refused().find("has tokenizer.model, but no tokenizer.json. Make it once") != std::string::npos);
  CHECK(refused().find("AutoTokenizer.from_pretrained('" + dir.str() + "')") != std::string::npos);
}

}  // namespace
}  // namespace moemill::text
