// Added tokens in files beside tokenizer.json, compared with transformers (tests/text/differential/side_files.py).
#include "text/side_files.hpp"

#include "base/error.hpp"
#include "text/support.hpp"

namespace moemill::text {
namespace {

SideFiles side_files(const json& texts) {
  return {"dir", texts.value("tokenizer_config", ""), texts.value("added_tokens", ""),
          texts.value("special_tokens_map", "")};
}

Tokenizer with(const SideFiles& side) {
  return Tokenizer::parse(read_all(test_data("qwen3_moe.json")), "dir/tokenizer.json", side);
}

std::string refusal(const SideFiles& side) {
  try {
    with(side);
  } catch (const UserError& e) {
    return e.what();
  }
  return "accepted";
}

TEST_CASE("added tokens of the files beside tokenizer.json give transformers' ids and texts") {
  const std::string alone = with({}).fingerprint();
  int with_tokens = 0;
  for (const json& line : read_lines(test_data("side_files.jsonl"))) {
    CAPTURE(line["name"].get<std::string>());
    const Tokenizer tokenizer = with(side_files(line["files"]));
    const auto ids = line["ids"].get<std::vector<TokenId>>();
    CHECK(tokenizer.encode(line["text"].get<std::string>(), AddSpecial::No) == ids);
    CHECK(tokenizer.decode(ids, SkipSpecial::No) == line["decoded"].get<std::string>());
    CHECK(tokenizer.decode(ids, SkipSpecial::Yes) == line["decoded_skip"].get<std::string>());
    CHECK((tokenizer.fingerprint() == alone) == tokenizer.warnings().empty());
    with_tokens += !tokenizer.warnings().empty();
  }
  CHECK(with_tokens == 12);
}

TEST_CASE("a token with an id that differs from the one it would get is refused, by file and token") {
  CHECK(refusal({"dir", R"({"added_tokens_decoder": {"356": {"content": "<|tool|>"}}})", "", ""}) == "accepted");
  CHECK(refusal({"dir", R"({"added_tokens_decoder": {"360": {"content": "<|tool|>"}}})", "", ""})
            .starts_with("dir/tokenizer_config.json: added_tokens_decoder: \"<|tool|>\" has the id 360 here"));
  CHECK(refusal({"dir", "", R"({"<|tool|>": 3})", ""}).find("its id would be 356 (the next free one)") !=
        std::string::npos);
  CHECK(refusal({"dir", "", R"({"t": 356})", ""}).find("that of model.vocab") != std::string::npos);
}

TEST_CASE("files beside tokenizer.json that say nothing usable") {
  for (const char* config : {"", "{", "[]", "3", R"({"pad_token": null, "extra_special_tokens": [1, null, {}]})"})
    CHECK_MESSAGE(refusal({"dir", config, "", config}) == "accepted", config);
  CHECK(refusal({"dir", R"({"added_tokens_decoder": []})", "", ""}).find("must be an object") != std::string::npos);
  for (const char* key : {"", "x", "-1", "3x", "99999999999999999999", "16777216"})
    CHECK_MESSAGE(refusal({"dir", json{{"added_tokens_decoder", {{key, {{"content", "x"}}}}}}.dump(), "", ""})
                          .find("is not a token id") != std::string::npos,
                  key);
  CHECK(refusal({"dir", R"({"added_tokens_decoder": {"356": {}}})", "", ""}).find("the token 356 has no \"content\"") !=
        std::string::npos);
  CHECK(refusal({"dir", "", "[]", ""}) == "dir/added_tokens.json: not a JSON object");
  for (const char* id : {"-1", "1.5", "\"1\"", "16777216", "null"})
    CHECK_MESSAGE(
        refusal({"dir", "", std::string("{\"x\": ") + id + "}", ""}).find("has no token id") != std::string::npos, id);
}

}  // namespace
}  // namespace moemill::text
