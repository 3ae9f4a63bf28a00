// Unusable tokenizer.json files are refused with file, place and reason, without a crash or a guess.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/error.hpp"
#include "text/support.hpp"

namespace moemill::text {
namespace {

std::string refusal(const std::string& text) {
  try {
    Tokenizer::parse(text, "dir/tokenizer.json");
  } catch (const UserError& e) {
    return e.what();
  }
  return "accepted";
}

struct BadFile {
  const char* pointer;  // JSON pointer to the replaced value
  const char* value;
  const char* says;  // a part of the message
};

// clang-format off
const BadFile bad_files[] = {
    {"/model/type", "\"Unigram\"", "Unigram"},
    {"/model/type", "3", "model.type: must be a string"},
    {"/model", "[]", "model"},
    {"/model/vocab", "[]", "vocab"},
    {"/model/vocab/a", "-1", "\"a\""},
    {"/model/vocab/a", "1.5", "\"a\""},
    {"/model/vocab/a", "9223372036854775807", "\"a\""},
    {"/model/vocab/a", "16777216", "\"a\""},
    {"/model/vocab/a", "\"5\"", "\"a\""},
    {"/model/vocab/a", "{}", "\"a\""},
    {"/model/vocab/a", "5", "gives the id 5"},
    {"/model/merges", "{}", "merges"},
    {"/model/merges/3", "\"ab\"", "model.merges[3]"},
    {"/model/merges/3", "\"a b c\"", "model.merges[3]"},
    {"/model/merges/3", "[\"a\"]", "model.merges[3]"},
    {"/model/merges/3", "[\"a\", \"b\", \"c\"]", "model.merges[3]"},
    {"/model/merges/3", "[\"a\", 4]", "model.merges[3]"},
    {"/model/merges/3", "7", "model.merges[3]"},
    {"/model/merges/3", "[\"a\", \"nowhere\"]", "nowhere"},
    {"/model/merges/3", "[\"q\", \"j\"]", "\"qj\""},
    {"/model/dropout", "0.1", "dropout"},
    {"/model/byte_fallback", "1", "model.byte_fallback: must be true or false"},
    {"/added_tokens", "{}", "added_tokens: must be an array"},
    {"/added_tokens/0/id", "100", "added_tokens[0]"},
    {"/added_tokens/0/id", "-4", "added_tokens[0].id"},
    {"/added_tokens/0/id", "99999999999", "added_tokens[0].id"},
    {"/added_tokens/0/content", "7", "added_tokens[0].content"},
    {"/added_tokens/0/content", "\"</s>\"", "added_tokens"},
    {"/added_tokens/0/special", "null", "\"special\" is missing"},
    {"/normalizer", R"j({"type": "Precompiled"})j", "normalizer: the normalizer \"Precompiled\""},
    {"/normalizer", R"j({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Nmt"}]})j", "normalizer.normalizers[1]"},
    {"/normalizer", R"j({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})j", "normalizer.pattern"},
    {"/normalizer", "\"NFC\"", "normalizer: must be an object"},
    {"/pre_tokenizer", R"j({"type": "BertPreTokenizer"})j", "BertPreTokenizer"},
    {"/pre_tokenizer", R"j({"no": 1})j", "pre_tokenizer: \"type\" is missing"},
    {"/pre_tokenizer", R"j({"type": "Split", "pattern": {"Regex": "[a"}, "behavior": "Isolated"})j", "pre_tokenizer.pattern"},
    {"/pre_tokenizer", R"j({"type": "Split", "pattern": {"Regex": "[a-[b]]"}, "behavior": "Isolated"})j", "ends in a [class]"},
    {"/pre_tokenizer", R"j({"type": "Split", "pattern": {"Regex": "(?x)a"}, "behavior": "Isolated"})j", "(?x)"},
    {"/pre_tokenizer", R"j({"type": "Split", "pattern": {"Regex": "\\p{Klingon}"}, "behavior": "Isolated"})j", "pre_tokenizer.pattern"},
    {"/pre_tokenizer", R"j({"type": "Split", "pattern": {"Regex": "(*COMMIT)"}, "behavior": "Isolated"})j", "(*"},
    {"/pre_tokenizer", R"j({"type": "Split", "pattern": {"Glob": "a"}, "behavior": "Isolated"})j", "pre_tokenizer.pattern"},
    {"/pre_tokenizer", R"j({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Sideways"})j", "Sideways"},
    {"/pre_tokenizer", R"j({"type": "Metaspace", "replacement": "ab"})j", "one character"},
    {"/post_processor", R"j({"type": "Whatever"})j", "Whatever"},
    {"/post_processor", R"j({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B"}}], "special_tokens": {}})j", "sequence A"},
    {"/post_processor", R"j({"type": "TemplateProcessing", "single": [], "special_tokens": {}})j", "post_processor.single"},
    {"/post_processor", R"j({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "X"}}], "special_tokens": {}})j", "\"X\""},
    {"/decoder", R"j({"type": "WordPiece"})j", "WordPiece"},
    {"/decoder", R"j({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteLevel"}]})j", "decoder.decoders[1]"},
    {"/decoder", R"j({"type": "Strip", "content": " ", "start": -1, "stop": 0})j", "decoder.start"},
};
// clang-format on

TEST_CASE("what is wrong is named with its place") {
  json good = json::parse(read_all(test_data("base.json")));
  REQUIRE(refusal(good.dump()) == "accepted");
  for (const BadFile& bad : bad_files) {
    json file = good;
    file[json::json_pointer(bad.pointer)] = json::parse(bad.value);
    std::string message = refusal(file.dump());
    CAPTURE(bad.pointer);
    CAPTURE(bad.value);
    CHECK(message.starts_with("dir/tokenizer.json"));
    CHECK_MESSAGE(message.find(bad.says) != std::string::npos, message);
  }
}

TEST_CASE("an unk_token that is not there fails the texts that need it") {
  json file = json::parse(read_all(test_data("base.json")));
  file["model"]["unk_token"] = "<nothing>";
  Tokenizer tokenizer = Tokenizer::parse(file.dump(), "base");
  CHECK(tokenizer.encode("the", AddSpecial::No).size() == 1);
  CHECK_THROWS_WITH_AS(tokenizer.encode("the \xE4\xB8\xAD", AddSpecial::No), doctest::Contains("<nothing>"), TextError);
}

TEST_CASE("a pipe in place of tokenizer.json is refused, not waited for") {
  const std::filesystem::path dir = std::filesystem::temp_directory_path() / fmt::format("moemill-pipe-{}", ::getpid());
  std::filesystem::remove_all(dir);  // left by a killed test with the same number
  std::filesystem::create_directory(dir);
  REQUIRE(::mkfifo((dir / "tokenizer.json").c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(Tokenizer::load(dir), doctest::Contains("not a regular file"), UserError);
  std::filesystem::remove_all(dir);
}

TEST_CASE("truncated, empty, repeated and deep") {
  std::string good = read_all(test_data("deepseek_v3.json"));
  for (std::size_t size = 0; size + 2 < good.size(); size += 97)
    CHECK(refusal(good.substr(0, size)).starts_with("dir/tokenizer.json"));
  CHECK(refusal("null") != "accepted");
  CHECK(refusal("[]") != "accepted");
  CHECK(refusal("{}").find("\"model\" is missing") != std::string::npos);
  CHECK(refusal(R"j({"model": 1, "model": 2})j").find("twice") != std::string::npos);
  CHECK(refusal(R"j({"model": {"vocab": {"a": 0, "a": 1}, "merges": []}})j").find("\"a\" twice") != std::string::npos);
  CHECK(refusal(R"j({"model": {"vocab": {"a": 0}, "merges": [], "vocab": {}}})j").find("twice") != std::string::npos);
  CHECK(refusal(std::string(100'000, '[')) != "accepted");
  CHECK(refusal("{\"normalizer\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}") != "accepted");
  std::string deep = R"j({"type": "NFC"})j";
  for (int i = 0; i < 20; i++) deep = R"({"type": "Sequence", "normalizers": [)" + deep + "]}";
  CHECK(refusal(R"({"model": {"vocab": {}, "merges": []}, "normalizer": )" + deep + "}").find("deeply") !=
        std::string::npos);
}

TEST_CASE("no file, and a pattern that never ends") {
  CHECK_THROWS_AS(Tokenizer::load("/nowhere/at/all"), UserError);
  json file = json::parse(read_all(test_data("base.json")));
  file["pre_tokenizer"] = json::parse(R"j({"type":"Split","pattern":{"Regex":"(a+)+[xy]"},"behavior":"Isolated"})j");
  Tokenizer tokenizer = Tokenizer::parse(file.dump(), "slow");
  CHECK(tokenizer.encode("aaab", AddSpecial::No).size() > 0);
  CHECK_THROWS_AS(tokenizer.encode(std::string(60, 'a') + "b", AddSpecial::No), TextError);
}

}  // namespace
}  // namespace moemill::text
