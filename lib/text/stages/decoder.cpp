#include "text/stages/decoder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text/utf8.hpp"
#include "text/regex/pattern.hpp"

namespace moemill::text {
namespace {

std::optional<char> byte_token(std::string_view token) {  // "<0xE4>"
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned char byte = 0;
  auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  if (error != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(byte);
}

// Moves complete characters from `bytes` to `text`. The bytes that stay may still become a character.
void take_characters(std::string& bytes, std::string& text) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    Utf8Step step = utf8_step(bytes, at);
    if (step.kind == Utf8Step::Open) break;
    text += step.kind == Utf8Step::Complete ? std::string_view(bytes).substr(at, step.bytes) : replacement_character;
    at += step.bytes;
  }
  bytes.erase(0, at);
}

}  // namespace

Decoder::Decoder(const std::optional<Place>& place) {
  if (!place) return;
  join_ = Join::Plain;
  read(*place, 0);
}

void Decoder::read(const Place& place, int depth) {
  if (depth > 8) place.refuse("decoders are nested too deeply");
  std::string type = place.at("type").string();
  if (type == "Sequence") {
    for (const Place& inner : place.at("decoders").elements()) read(inner, depth + 1);
  } else if (type == "ByteLevel") {
    if (joined_) place.refuse("the decoder \"ByteLevel\" after another that joins the tokens is not supported");
    join_ = Join::Bytes;
    joined_ = true;
  } else if (type == "Fuse") {
    joined_ = true;
  } else if (type == "Replace") {
    add_step(place, Replace{read_pattern(place.at("pattern")), place.at("content").string()});
  } else if (type == "ByteFallback") {
    add_step(place, ByteFallback{});
  } else if (type == "Metaspace") {
    bool keeps = place.string_or("prepend_scheme", "always") == "never" || !place.boolean_or("add_prefix_space", true);
    add_step(place, Metaspace{place.at("replacement").character(), keeps ? FirstToken::Keeps : FirstToken::Drops});
  } else if (type == "Strip") {
    auto count = [&](const char* key) { return static_cast<std::size_t>(place.at(key).integer(0, id_limit)); };
    Strip strip{place.at("content").character(), count("start"), count("stop")};
    if (joined_)
      text_steps_.push_back(strip);
    else
      add_step(place, strip);
  } else {
    place.refuse(fmt::format("the decoder \"{}\" is not supported", type));
  }
}

void Decoder::add_step(const Place& place, TokenStep step) {
  if (joined_) place.refuse("this decoder after one that joins the tokens (Fuse, ByteLevel) is not supported");
  token_steps_.push_back(std::move(step));
}

Decoder::State Decoder::begin() const {
  State state;
  state.token_steps.resize(token_steps_.size());
  state.text_steps.resize(text_steps_.size());
  return state;
}

void Decoder::push(State& state, std::string_view token, std::string& text) const { run_token(state, 0, token, text); }

void Decoder::run_token(State& state, std::size_t step, std::string_view token, std::string& text) const {
  if (step == token_steps_.size()) return run_join(state, token, text);
  StepState& own = state.token_steps[step];
  const TokenStep& what = token_steps_[step];
  if (auto* replace = std::get_if<Replace>(&what)) {
    run_token(state, step + 1, replace_all(token, replace->pattern, replace->content, state.scratch), text);
  } else if (auto* strip = std::get_if<Strip>(&what)) {
    run_token(state, step + 1, strip_token(*strip, token), text);
  } else if (auto* metaspace = std::get_if<Metaspace>(&what)) {
    bool is_first = !std::exchange(own.begun, true);
    run_token(state, step + 1, read_metaspace(*metaspace, token, is_first), text);
  } else if (auto byte = byte_token(token)) {
    own.held.push_back(*byte);
  } else {
    flush_bytes(state, step, text);
    run_token(state, step + 1, token, text);
  }
}

// A run of byte tokens is one token if it is UTF-8; otherwise each byte becomes a U+FFFD. This is known only at its
// end.
void Decoder::flush_bytes(State& state, std::size_t step, std::string& text) const {
  std::string bytes = std::exchange(state.token_steps[step].held, {});
  if (bytes.empty()) return;
  if (!first_bad_utf8(bytes)) return run_token(state, step + 1, bytes, text);
  for (std::size_t i = 0; i < bytes.size(); i++) run_token(state, step + 1, replacement_character, text);
}

std::string Decoder::strip_token(const Strip& step, std::string_view token) {
  std::string content;
  append_utf8(content, step.content);
  for (std::size_t i = 0; i < step.start && token.starts_with(content); i++) token.remove_prefix(content.size());
  for (std::size_t i = 0; i < step.stop && token.ends_with(content); i++) token.remove_suffix(content.size());
  return std::string(token);
}

std::string Decoder::read_metaspace(const Metaspace& step, std::string_view token, bool is_first) {
  std::string out;
  for (std::size_t at = 0; at < token.size();) {
    char32_t c = next_code_point(token, at);
    if (c != step.replacement)
      append_utf8(out, c);
    else if (!is_first || step.first == FirstToken::Keeps)
      out += ' ';
  }
  return out;
}

void Decoder::run_join(State& state, std::string_view token, std::string& text) const {
  StepState& own = state.join;
  if (join_ == Join::Bytes) {
    alphabet_.read(token, own.held);
    std::string part;
    take_characters(own.held, part);
    return run_text(state, 0, part, text);
  }
  if (join_ == Join::Spaces && own.begun) run_text(state, 0, " ", text);
  own.begun = true;
  run_text(state, 0, token, text);
}

void Decoder::run_text(State& state, std::size_t step, std::string_view part, std::string& text) const {
  if (step == text_steps_.size()) {
    text += part;
    return;
  }
  const Strip& strip = text_steps_[step];
  StepState& own = state.text_steps[step];
  std::string out, content;
  append_utf8(content, strip.content);
  for (std::size_t at = 0; at < part.size();) {
    std::size_t begin = at;
    bool is_content = next_code_point(part, at) == strip.content;
    if (!own.begun && is_content && own.dropped < strip.start) {
      own.dropped++;
      continue;
    }
    own.begun = true;
    if (!is_content) {
      out += std::exchange(own.held, {});
      out += part.substr(begin, at - begin);
    } else {
      own.held += content;
      if (own.held.size() > strip.stop * content.size()) {  // more than can be stripped at the end of the text
        out += content;
        own.held.erase(0, content.size());
      }
    }
  }
  run_text(state, step + 1, out, text);
}

void Decoder::finish(State& state, std::string& text) const {
  for (std::size_t step = 0; step < token_steps_.size(); step++)
    if (std::holds_alternative<ByteFallback>(token_steps_[step])) flush_bytes(state, step, text);
  if (join_ == Join::Bytes && !state.join.held.empty()) run_text(state, 0, replacement_character, text);
  state.token_steps.assign(token_steps_.size(), {});
  state.text_steps.assign(text_steps_.size(), {});
  state.join = {};
}

void Decoder::end_prompt(State& state) const {
  std::string prompt;
  for (std::size_t step = 0; step < token_steps_.size(); step++) {
    if (!std::holds_alternative<ByteFallback>(token_steps_[step])) continue;
    std::string& held = state.token_steps[step].held;
    std::string cut = held;
    take_characters(cut, prompt);
    held.resize(held.size() - cut.size());
    flush_bytes(state, step, prompt);
    state.token_steps[step].held = cut;
  }
  for (StepState& step : state.text_steps) step.held.clear();
}

std::string Decoder::bytes_in_mid_text(std::string_view token) const {
  RegexScratch scratch;
  std::string spelling(token);
  for (const TokenStep& step : token_steps_) {
    if (auto* replace = std::get_if<Replace>(&step))
      spelling = replace_all(spelling, replace->pattern, replace->content, scratch);
    else if (auto* strip = std::get_if<Strip>(&step))
      spelling = strip_token(*strip, spelling);
    else if (auto* metaspace = std::get_if<Metaspace>(&step))
      spelling = read_metaspace(*metaspace, spelling, false);
    else if (auto byte = byte_token(spelling))
      return std::string(1, *byte);
  }
  if (join_ != Join::Bytes) return spelling;
  std::string bytes;
  alphabet_.read(spelling, bytes);
  return bytes;
}

}  // namespace moemill::text
