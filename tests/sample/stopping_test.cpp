#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "base/numbers/random.hpp"
#include "sample/stopping.hpp"

using namespace moemill;
using namespace moemill::sample;
using schedule::FinishReason;

namespace {

struct Run {
  FinishReason finish = FinishReason::None;
  std::size_t tokens = 0;
  std::size_t text_bytes = 0;
};

// Pushes tokens 100, 101, ... with these pieces of text until something ends.
Run push_pieces(const SamplingParams& params, const std::vector<std::string>& pieces) {
  Stopping stopping;
  stopping.start(params, {});
  Run run;
  for (const std::string& piece : pieces) {
    run.finish = stopping.push(static_cast<TokenId>(100 + run.tokens), piece);
    ++run.tokens;
    if (run.finish != FinishReason::None) break;
  }
  run.text_bytes = stopping.text_bytes();
  return run;
}

Run push_tokens(const SamplingParams& params, const std::vector<TokenId>& tokens) {
  Stopping stopping;
  stopping.start(params, {});
  Run run;
  for (TokenId token : tokens) {
    ++run.tokens;
    run.finish = stopping.push(token, "");
    if (run.finish != FinishReason::None) break;
  }
  return run;
}

}  // namespace

TEST_CASE("which stop string it was: the one that begins first, of several at one place the first of the list") {
  SamplingParams params;
  params.max_tokens = 100;
  for (auto [stops, wanted] :
       {std::pair(std::vector<std::string>{"cd", "bcde"}, "bcde"), {{"bc", "bcd"}, "bc"}, {{"x", "e"}, "e"}}) {
    params.stop = stops;
    Stopping stopping;
    stopping.start(params, {});
    CHECK(stopping.push(1, "ab") == FinishReason::None);
    CHECK(stopping.stop_string().empty());
    CHECK(stopping.push(2, "cdef") == FinishReason::StopString);
    CHECK(stopping.stop_string() == wanted);
    stopping.start(params, {});
    CHECK(stopping.stop_string().empty());
  }
}

TEST_CASE("stop tokens are EOS and stop_token_ids, EOS not when ignored") {
  SamplingParams params;
  params.stop_token_ids = {9, 3, 9};
  std::vector<TokenId> eos = {5, 3};
  CHECK(stop_tokens(params, eos) == std::vector<TokenId>{3, 5, 9});
  params.ignore_eos = true;
  CHECK(stop_tokens(params, eos) == std::vector<TokenId>{3, 9});
}

TEST_CASE("a stop token ends the completion, its text does not count") {
  SamplingParams params;
  params.min_tokens = 1;
  std::vector<TokenId> stop = {7};
  Stopping stopping;
  stopping.start(params, stop);
  CHECK(stopping.push(7, "a") == FinishReason::None);  // before min_tokens
  CHECK(stopping.push(8, "b") == FinishReason::None);
  CHECK(stopping.push(7, "c") == FinishReason::Stop);
  CHECK(stopping.text_bytes() == 2);
}

TEST_CASE("length") {
  SamplingParams params;
  params.max_tokens = 3;
  Run run = push_pieces(params, {"a", "b", "c", "d"});
  CHECK(run.finish == FinishReason::Length);
  CHECK(run.tokens == 3);
  CHECK(run.text_bytes == 3);
}

TEST_CASE("stop strings across token borders, the earliest match wins") {
  SamplingParams params;
  params.stop = {"END", "stop now"};
  Run run = push_pieces(params, {"text E", "N", "D of"});
  CHECK(run.finish == FinishReason::StopString);
  CHECK(run.tokens == 3);
  CHECK(run.text_bytes == 5);
  run = push_pieces(params, {"well, st", "op now END"});
  CHECK(run.text_bytes == 6);
  run = push_pieces(params, {"END"});
  CHECK(run.text_bytes == 0);
  run = push_pieces(params, {"", "E", "", "EN", "EEND"});
  CHECK(run.text_bytes == 4);
  CHECK(push_pieces(params, {"stop no", "stop", " END"}).text_bytes == 12);
  CHECK(push_pieces(params, {"EN", "E", "ND"}).text_bytes == 2);
  params.stop = {"\xc3\xa9"};  // the bytes of one character may come with two tokens
  run = push_pieces(params, {"caf\xc3", "\xa9"});
  CHECK(run.finish == FinishReason::StopString);
  CHECK(run.text_bytes == 3);
}

TEST_CASE("a stop string counts when it ends after min_tokens tokens; it comes before length") {
  SamplingParams params;
  params.stop = {"ab"};
  params.min_tokens = 2;
  Run run = push_pieces(params, {"ab", "ab", "x", "ab"});
  CHECK(run.tokens == 4);
  CHECK(run.text_bytes == 5);
  run = push_pieces(params, {"ab", "a", "b"});
  CHECK(run.tokens == 3);
  CHECK(run.text_bytes == 2);
  params.min_tokens = 0, params.max_tokens = 2;
  CHECK(push_pieces(params, {"a", "b"}).finish == FinishReason::StopString);
}

TEST_CASE("stop strings against a search of the whole text") {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    auto r = [&](std::uint64_t i) { return philox(seed, i)[0]; };
    SamplingParams params;
    for (std::uint32_t s = 0; s <= r(0) % 3; ++s) {
      std::string stop;
      for (std::uint32_t i = 0; i <= r(10 + s) % 5; ++i) stop += static_cast<char>('a' + r(20 + 10 * s + i) % 2);
      params.stop.push_back(stop);
    }
    std::vector<std::string> pieces;
    for (std::uint32_t p = 0; p < 12; ++p) {
      std::string piece;
      for (std::uint32_t i = 0; i < r(100 + p) % 4; ++i) piece += static_cast<char>('a' + r(200 + 10 * p + i) % 2);
      pieces.push_back(piece);
    }
    Run expected;
    std::string text;
    for (const std::string& piece : pieces) {
      text += piece, ++expected.tokens, expected.text_bytes = text.size();
      for (const std::string& stop : params.stop) {
        std::size_t at = text.find(stop);
        if (at == std::string::npos) continue;
        expected.finish = FinishReason::StopString;
        expected.text_bytes = std::min(expected.text_bytes, at);
      }
      if (expected.finish != FinishReason::None) break;
    }
    Run got = push_pieces(params, pieces);
    CAPTURE(seed);
    REQUIRE(got.finish == expected.finish);
    REQUIRE(got.tokens == expected.tokens);
    REQUIRE(got.text_bytes == expected.text_bytes);
  }
}

TEST_CASE("repetition: the last tokens are one pattern min_count times over") {
  SamplingParams params;
  params.repetition_detection = {3, 3};
  CHECK(push_tokens(params, {1, 2, 5, 5, 5, 5}).tokens == 5);
  CHECK(push_tokens(params, {1, 2, 1, 2, 1, 2, 9}).tokens == 6);
  CHECK(push_tokens(params, {1, 2, 1, 2, 1, 2}).finish == FinishReason::Repetition);
  CHECK(push_tokens(params, {1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4}).finish == FinishReason::None);
  CHECK(push_tokens(params, {0, 0, 0}).tokens == 3);  // nothing before the first token counts
  CHECK(push_tokens(params, {0, 0}).finish == FinishReason::None);
  params.min_tokens = 4;
  CHECK(push_tokens(params, {5, 5, 5, 5, 5, 5}).tokens == 5);
  params.repetition_detection = {0, 3};
  CHECK(push_tokens(params, {5, 5, 5, 5, 5, 5}).finish == FinishReason::None);
}

TEST_CASE("repetition against a search of all tokens") {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    SamplingParams params;
    params.repetition_detection = {1 + philox(seed, 0)[0] % 4, 2 + philox(seed, 1)[0] % 3};
    std::vector<TokenId> tokens, so_far;
    for (std::uint64_t i = 0; i < 24; ++i) tokens.push_back(static_cast<TokenId>(philox(seed, i, 1)[0] % 2));
    auto repeats = [&] {
      for (std::size_t p = 1; p <= params.repetition_detection.max_pattern_size; ++p) {
        std::size_t span = p * params.repetition_detection.min_count;
        if (so_far.size() < span) continue;
        bool all = true;
        for (std::size_t i = so_far.size() - span + p; i < so_far.size(); ++i) all = all && so_far[i] == so_far[i - p];
        if (all) return true;
      }
      return false;
    };
    for (TokenId token : tokens) {
      so_far.push_back(token);
      if (repeats()) break;
    }
    CAPTURE(seed);
    REQUIRE(push_tokens(params, tokens).tokens == so_far.size());
  }
}
