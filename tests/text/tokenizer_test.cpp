// Properties that goldens cannot show: long texts, many threads, streams, bytes of tokens, warnings.
#include "text/tokenizer.hpp"

#include <algorithm>
#include <random>
#include <thread>

#include "base/hash.hpp"
#include "base/text/utf8.hpp"
#include "text/support.hpp"

namespace moemill::text {
namespace {

Tokenizer small(const std::string& name) { return Tokenizer::parse(read_all(test_data(name + ".json")), name); }

TEST_CASE("text that is not UTF-8 is refused with its place") {
  Tokenizer tokenizer = small("deepseek_v3");
  auto offset = [&](std::string text) -> std::size_t {
    try {
      tokenizer.encode(text, AddSpecial::No);
    } catch (const BadUtf8& e) {
      return e.offset();
    }
    return std::string::npos;
  };
  CHECK(offset("abc\xFFxyz") == 3);
  CHECK(offset("\xC0\x80") == 0);
  CHECK(offset("twelve bytes\xED\xA0\x80") == 12);
  CHECK(offset("\xF4\x90\x80\x80") == 0);
  CHECK(offset("cut \xE4\xBD") == 4);
  CHECK(offset("fine \xE4\xBD\xA0") == std::string::npos);
}

TEST_CASE("NULs and nothing") {
  Tokenizer tokenizer = small("qwen3_moe");
  CHECK(tokenizer.encode("", AddSpecial::No).empty());
  CHECK(tokenizer.decode({}, SkipSpecial::No).empty());
  std::string nuls("a\0b\0\0", 5);
  CHECK(tokenizer.decode(tokenizer.encode(nuls, AddSpecial::No), SkipSpecial::No) == nuls);
}

// One megabyte in a single piece: quadratic work would take minutes, a small stack would overflow.
TEST_CASE("long runs of one character decode to themselves") {
  Tokenizer tokenizer = small("gpt_oss");
  for (std::string unit : {"a", " ", "\n", "!", "7", "\xE4\xB8\xAD", "e\xCC\x81", "\xF0\x9F\x91\x8D", "Aa"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    CAPTURE(unit);
    CHECK(tokenizer.decode(tokenizer.encode(text, AddSpecial::No), SkipSpecial::No) == text);
  }
}

// The two ways of merging, for words and for long pieces, must agree: a long piece of short words is split by hand.
TEST_CASE("long and short pieces merge alike") {
  json file = json::parse(read_all(test_data("base.json")));
  Tokenizer whole = Tokenizer::parse(file.dump(), "base");
  file["pre_tokenizer"] = json::parse(R"({"type":"Split","pattern":{"String":"z"},"behavior":"Isolated"})");
  Tokenizer pieces = Tokenizer::parse(file.dump(), "base, split");
  std::mt19937 random(7);
  const std::string letters = "aaabcxthelo1\xC3\xA9";  // nothing merges with z
  for (int round = 0; round < 50; round++) {
    std::string text;
    for (int word = 0; word < 40; word++) {
      for (auto n = random() % 30; n > 0; n--) text += letters[random() % 12];
      text += 'z';
    }
    CHECK(whole.encode(text, AddSpecial::No) == pieces.encode(text, AddSpecial::No));
  }
}

TEST_CASE("a stream gives whole characters, and in the end what decode gives") {
  for (const char* name : {"deepseek_v3", "mixtral", "base"}) {
    Tokenizer tokenizer = small(name);
    std::mt19937 random(11);
    for (int round = 0; round < 500; round++) {
      std::vector<TokenId> ids(random() % 20);
      for (TokenId& id : ids) id = static_cast<TokenId>(random() % (tokenizer.vocabulary_size() + 3));
      StreamDecoder decoder(tokenizer, SkipSpecial::Yes);
      std::string text;
      for (TokenId id : ids) {
        decoder.push(id, text);
        REQUIRE_FALSE(first_bad_utf8(text));
      }
      decoder.finish(text);
      REQUIRE(text == tokenizer.decode(ids, SkipSpecial::Yes));
      decoder.push(5, text);  // finish() has reset it
      std::string again;
      StreamDecoder(tokenizer, SkipSpecial::Yes).push(5, again);
      REQUIRE(text.ends_with(again));
    }
  }
}

TEST_CASE("many threads share one tokenizer") {
  Tokenizer tokenizer = small("qwen3_moe");
  json goldens = json::parse(read_all(test_data("qwen3_moe.golden.json")));
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& own : wrong)
    threads.emplace_back([&] {
      for (const json& line : goldens["encode"])
        own += tokenizer.encode(line[0].get<std::string>(), AddSpecial::Yes) != line[1].get<std::vector<TokenId>>();
      for (const json& line : goldens["decode"])
        own += tokenizer.decode(line[0].get<std::vector<TokenId>>(), SkipSpecial::Yes) != line[2].get<std::string>();
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

TEST_CASE("ids, spellings and bytes") {
  Tokenizer tokenizer = small("deepseek_v3");
  std::string json_text = read_all(test_data("deepseek_v3.json"));
  CHECK(tokenizer.fingerprint() == sha256_hex(json_text));
  auto bos = tokenizer.id_of("<｜begin▁of▁sentence｜>");
  REQUIRE(bos);
  CHECK(tokenizer.is_special(*bos));
  CHECK(tokenizer.token_bytes(*bos) == "<｜begin▁of▁sentence｜>");
  auto space = tokenizer.id_of("Ġ");
  REQUIRE(space);
  CHECK_FALSE(tokenizer.is_special(*space));
  CHECK(tokenizer.token_bytes(*space) == " ");
  CHECK(tokenizer.token_bytes(-1).empty());
  CHECK(tokenizer.token_bytes(1 << 30).empty());
  CHECK_FALSE(tokenizer.id_of("no such token"));
  std::vector<TokenId> none{-5, static_cast<TokenId>(tokenizer.vocabulary_size()), 1 << 30};
  CHECK(tokenizer.decode(none, SkipSpecial::No).empty());
  // Every byte has its own token, and each token's bytes are the bytes it decodes to.
  std::vector<int> seen(256, 0);
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.vocabulary_size()); id++) {
    std::string bytes = tokenizer.token_bytes(id);
    if (bytes.size() == 1) seen[static_cast<unsigned char>(bytes[0])]++;
  }
  CHECK(std::count(seen.begin(), seen.end(), 0) == 0);
}

TEST_CASE("a tokenizer_config.json that asks for a BOS that is not added causes a warning") {
  auto dir = std::filesystem::temp_directory_path() / ("moemill_text_" + std::to_string(std::random_device{}()));
  std::filesystem::create_directories(dir);
  auto warnings_with = [&](const std::string& model, const std::string& config) {
    std::ofstream(dir / "tokenizer.json") << read_all(test_data(model + ".json"));
    std::ofstream(dir / "tokenizer_config.json") << config;
    return Tokenizer::load(dir.string()).warnings();
  };
  std::string asks = R"({"add_bos_token": true, "bos_token": {"content": "<|endoftext|>"}})";
  auto warnings = warnings_with("qwen3_moe", asks);
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find("add_bos_token") != std::string::npos);
  CHECK(warnings[0].find("<|endoftext|>") != std::string::npos);
  CHECK(warnings_with("mixtral", R"({"add_bos_token": true, "bos_token": "<s>"})").empty());  // it is added
  CHECK(warnings_with("qwen3_moe", R"({"add_bos_token": false, "bos_token": "<|endoftext|>"})").empty());
  CHECK(warnings_with("qwen3_moe", "not JSON").size() == 1);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace moemill::text
