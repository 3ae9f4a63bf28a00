// Comparison with the tokenizers library: small tokenizers that are part of the tests, one per option, and published
// ones if they are available.
#include "base/error.hpp"
#include "text/support.hpp"

namespace moemill::text {
namespace {

void check_goldens(const Tokenizer& tokenizer, const json& goldens) {
  for (const json& line : goldens["encode"]) check_encode(tokenizer, line[0], line[1], line[2]);
  for (const json& line : goldens["decode"]) {
    check_decode(tokenizer, line[0], line[1], line[2]);
    check_answers(tokenizer, line[0], line[1], SkipSpecial::No);
    check_answers(tokenizer, line[0], line[2], SkipSpecial::Yes);
  }
}

// Patterns that the library accepts and moemill refuses by name, because PCRE2 has no counterpart.
bool refused_on_purpose(const std::string& name, const std::string& pattern) {
  for (const char* known : {"\\O", "\\X", "(?<n>a)\\k<n>"})
    if (name.starts_with("pattern_") && pattern == known) return true;
  return false;
}

TEST_CASE("every option gives the library's ids and text") {
  json base = json::parse(read_all(test_data("base.json")));
  int variants = 0, refused = 0;
  for (const json& line : read_lines(test_data("variants.jsonl"))) {
    std::string name = line["name"];
    CAPTURE(name);
    json whole = base;
    for (const auto& [key, value] : line["patch"].items()) {
      if (key == "model")
        whole[key].update(value);
      else
        whole[key] = value;
    }
    variants++;
    std::string pattern = whole["pre_tokenizer"].is_object() && whole["pre_tokenizer"].contains("pretokenizers")
                              ? whole["pre_tokenizer"]["pretokenizers"][0].value("/pattern/Regex"_json_pointer, "")
                              : "";
    CAPTURE(pattern);
    if (refused_on_purpose(name, pattern)) {
      refused++;
      CHECK_THROWS_AS(Tokenizer::parse(whole.dump(), name), UserError);
      continue;
    }
    try {
      check_goldens(Tokenizer::parse(whole.dump(), name), line);
    } catch (const UserError& e) {
      FAIL_CHECK(std::string(e.what()));
    }
  }
  CHECK(variants > 100);
  CHECK(refused == 3);
}

TEST_CASE("the structures of published tokenizers") {
  int files = 0;
  for (const json& line : read_lines(test_data("families.jsonl"))) {
    std::string name = line["name"];
    CAPTURE(name);
    check_goldens(Tokenizer::parse(line["file"].dump(), name), line);
    files++;
  }
  CHECK(files == 14);
}

TEST_CASE("small tokenizers with published patterns") {
  for (const char* name : {"deepseek_v3", "gpt_oss", "mixtral", "qwen3_moe"}) {
    CAPTURE(name);
    Tokenizer tokenizer = Tokenizer::parse(read_all(test_data(std::string(name) + ".json")), name);
    json goldens = json::parse(read_all(test_data(std::string(name) + ".golden.json")));
    check_goldens(tokenizer, goldens);
    for (const json& line : goldens["texts"])
      CHECK(tokenizer.encode(line[0].get<std::string>(), AddSpecial::Yes) == line[1].get<std::vector<TokenId>>());
  }
}

TEST_CASE("the two published tokenizers: every golden line") {
  for (const char* name : {"deepseek_v3", "qwen3"}) {
    std::string dir = shared_folder(std::string("tokenizers/") + name);
    if (dir.empty()) continue;
    CAPTURE(name);
    Tokenizer tokenizer = Tokenizer::load(dir);
    CHECK(tokenizer.warnings().size() == (std::string(name) == "deepseek_v3" ? 1 : 0));
    for (const json& line : read_lines(dir + "/golden.jsonl")) {
      check_encode(tokenizer, line["text"], line["ids"], line["ids_no_special"]);
      check_decode(tokenizer, line["ids"], line["decoded"], line["decoded_skip"]);
    }
    for (const json& line : read_lines(dir + "/decode.jsonl"))
      check_decode(tokenizer, line["ids"], line["decoded"], line["decoded_skip"]);
    for (const json& line : read_lines(dir + "/chat.jsonl"))
      CHECK(tokenizer.encode(line["text"].get<std::string>(), AddSpecial::No) ==
            line["ids"].get<std::vector<TokenId>>());
  }
}

}  // namespace
}  // namespace moemill::text
