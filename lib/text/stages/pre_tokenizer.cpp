#include "text/stages/pre_tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text/utf8.hpp"
#include "text/regex/pattern.hpp"

namespace moemill::text {
namespace {

// GPT-2's pattern, by which ByteLevel splits if "use_regex" is set.
constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// The pattern by which Punctuation splits. The library uses an old Unicode, in which U+166D and U+111C9 are
// punctuation.
constexpr std::string_view punctuation_pattern =
    R"((?![\x{61d}\x{9fd}\x{a76}\x{c77}\x{c84}\x{1b4e}-\x{1b4f}\x{1b7d}-\x{1b7f}\x{2e43}-\x{2e4f}\x{2e52}-\x{2e5d})"
    R"(\x{10d6e}\x{10ead}\x{10f55}-\x{10f59}\x{10f86}-\x{10f89}\x{113d4}-\x{113d5}\x{113d7}-\x{113d8})"
    R"(\x{1144b}-\x{1144f}\x{1145a}-\x{1145b}\x{1145d}\x{11660}-\x{1166c}\x{116b9}\x{1183b}\x{11944}-\x{11946})"
    R"(\x{119e2}\x{11a3f}-\x{11a46}\x{11a9a}-\x{11a9c}\x{11a9e}-\x{11aa2}\x{11b00}-\x{11b09}\x{11be1})"
    R"(\x{11c41}-\x{11c45}\x{11c70}-\x{11c71}\x{11ef7}-\x{11ef8}\x{11f43}-\x{11f4f}\x{11fff}\x{12ff1}-\x{12ff2})"
    R"(\x{16d6d}-\x{16d6f}\x{16e97}-\x{16e9a}\x{16fe2}\x{1e5ff}\x{1e95e}-\x{1e95f}])[\p{P}\x{166d}\x{111c9}$+<=>^`|~])";

// The pattern by which Digits splits: the numbers of Unicode 17, the version in the library's Rust.
constexpr std::string_view digits_pattern = R"([\p{N}\x{11de0}-\x{11de9}\x{16ff4}-\x{16ff6}])";

SplitBehavior read_behavior(const Place& place) {
  std::string name = place.string();
  if (name == "Isolated") return SplitBehavior::Isolated;
  if (name == "Removed") return SplitBehavior::Removed;
  if (name == "MergedWithPrevious") return SplitBehavior::MergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::MergedWithNext;
  if (name == "Contiguous") return SplitBehavior::Contiguous;
  place.refuse(fmt::format("the behavior \"{}\" is not supported", name));
}

struct Part {
  Match span;
  bool is_match;
};

// Joins neighbouring parts as the behavior asks for. The rules depend on whether the previous part was a match.
// MergedWithNext is MergedWithPrevious applied from right to left.
std::vector<Match> join_parts(std::vector<Part> parts, SplitBehavior behavior) {
  std::vector<Match> joined;
  bool backwards = behavior == SplitBehavior::MergedWithNext;
  bool previous = false;
  for (std::size_t i = 0; i < parts.size(); i++) {
    const Part& part = parts[backwards ? parts.size() - 1 - i : i];
    bool join = behavior == SplitBehavior::Contiguous ? part.is_match == previous : part.is_match && !previous;
    if (!join || joined.empty())
      joined.push_back(part.span);
    else if (backwards)
      joined.back().begin = part.span.begin;
    else
      joined.back().end = part.span.end;
    previous = part.is_match;
  }
  if (backwards) std::reverse(joined.begin(), joined.end());
  return joined;
}

// Replaces every piece by what write(piece, index, out) appends to `out`.
template <class Write>
void rewrite(Pieces& pieces, Write&& write) {
  std::string out;
  out.reserve(pieces.text.size() + pieces.text.size() / 2 + 16);
  for (std::size_t i = 0; i < pieces.spans.size(); i++) {
    std::size_t begin = out.size();
    write(pieces[i], i, out);
    pieces.spans[i] = {begin, out.size()};
  }
  pieces.text = std::move(out);
}

}  // namespace

PreTokenizer::PreTokenizer(const std::optional<Place>& place) {
  if (place) read(*place, 0);
}

void PreTokenizer::read(const Place& place, int depth) {
  if (depth > 8) place.refuse("pre-tokenizers are nested too deeply");
  std::string type = place.at("type").string();
  if (type == "Sequence") {
    for (const Place& inner : place.at("pretokenizers").elements()) read(inner, depth + 1);
  } else if (type == "Split") {
    read_split(place);
  } else if (type == "ByteLevel") {
    read_byte_level(place);
  } else if (type == "Metaspace") {
    read_metaspace(place);
  } else if (type == "Digits") {
    bool single = place.at("individual_digits").boolean();
    steps_.emplace_back(
        Split{Regex(digits_pattern), single ? SplitBehavior::Isolated : SplitBehavior::Contiguous, Sides::Matches});
  } else if (type == "Whitespace") {  // words, and runs of characters that are neither words nor spaces
    steps_.emplace_back(Split{Regex(R"([[:word:]\x{200c}\x{200d}]+|[^[:word:]\x{200c}\x{200d}\s]+)"),
                              SplitBehavior::Removed, Sides::Others});
  } else if (type == "WhitespaceSplit") {
    steps_.emplace_back(Split{Regex("\\s"), SplitBehavior::Removed, Sides::Matches});
  } else if (type == "Punctuation") {
    auto behavior = place.find("behavior");
    steps_.emplace_back(Split{Regex(punctuation_pattern), behavior ? read_behavior(*behavior) : SplitBehavior::Isolated,
                              Sides::Matches});
  } else {
    place.refuse(fmt::format("the pre-tokenizer \"{}\" is not supported", type));
  }
}

void PreTokenizer::read_split(const Place& place) {
  steps_.emplace_back(Split{read_pattern(place.at("pattern")), read_behavior(place.at("behavior")),
                            place.boolean_or("invert", false) ? Sides::Others : Sides::Matches});
}

void PreTokenizer::read_byte_level(const Place& place) {
  if (place.at("add_prefix_space").boolean()) steps_.emplace_back(Prepend{" ", Prefix::Always});
  if (place.boolean_or("use_regex", true))
    steps_.emplace_back(Split{Regex(gpt2_pattern), SplitBehavior::Isolated, Sides::Matches});
  steps_.emplace_back(Respell{});
}

void PreTokenizer::read_metaspace(const Place& place) {
  std::string replacement;
  append_utf8(replacement, place.at("replacement").character());
  steps_.emplace_back(Spaces{replacement});
  std::string scheme = place.string_or("prepend_scheme", "always");
  if (!place.boolean_or("add_prefix_space", true)) {  // a key of older files
    if (scheme != "never" && place.find("prepend_scheme"))
      place.refuse("\"add_prefix_space\" and \"prepend_scheme\" contradict each other");
    scheme = "never";
  }
  if (scheme == "always")
    steps_.emplace_back(Prepend{replacement, Prefix::Always});
  else if (scheme == "first")
    steps_.emplace_back(Prepend{replacement, Prefix::First});
  else if (scheme != "never")
    place.refuse(fmt::format("the prepend_scheme \"{}\" is not supported", scheme));
  if (place.boolean_or("split", true))
    steps_.emplace_back(Split{Regex::literal(replacement), SplitBehavior::MergedWithNext, Sides::Matches});
}

Pieces PreTokenizer::apply(std::string text, TextStart start, RegexScratch& scratch) const {
  Pieces pieces{std::move(text), {}, start};
  if (!pieces.text.empty()) pieces.spans.push_back({0, pieces.text.size()});
  for (const Step& step : steps_) {
    if (auto* s = std::get_if<Split>(&step))
      split(*s, pieces, scratch);
    else if (auto* p = std::get_if<Prepend>(&step))
      prepend(*p, pieces);
    else if (auto* r = std::get_if<Respell>(&step))
      respell(*r, pieces);
    else
      replace_spaces(std::get<Spaces>(step), pieces);
  }
  return pieces;
}

void PreTokenizer::split(const Split& step, Pieces& pieces, RegexScratch& scratch) {
  std::vector<Match> spans;
  spans.reserve(pieces.spans.size());
  std::vector<Part> parts;
  for (std::size_t i = 0; i < pieces.spans.size(); i++) {
    std::string_view piece = pieces[i];
    std::size_t base = pieces.spans[i].begin, end = 0;
    parts.clear();
    auto add = [&](std::size_t from, std::size_t to, bool is_match) {
      if (step.behavior == SplitBehavior::Isolated) {  // the usual case: every part is a piece
        if (from < to) spans.push_back({base + from, base + to});
      } else {
        parts.push_back({{base + from, base + to}, is_match == (step.sides == Sides::Matches)});
      }
    };
    step.pattern.for_each(piece, scratch, [&](Match m) {
      if (end != m.begin) add(end, m.begin, false);
      add(m.begin, m.end, true);
      end = m.end;
    });
    if (end != piece.size()) add(end, piece.size(), false);
    if (step.behavior == SplitBehavior::Removed) std::erase_if(parts, [](const Part& part) { return part.is_match; });
    bool joins = step.behavior != SplitBehavior::Removed && step.behavior != SplitBehavior::Isolated;
    if (joins) {
      for (Match m : join_parts(parts, step.behavior))
        if (m.begin < m.end) spans.push_back(m);
    } else {
      for (const Part& part : parts)
        if (part.span.begin < part.span.end) spans.push_back(part.span);
    }
  }
  pieces.spans = std::move(spans);
}

void PreTokenizer::prepend(const Prepend& step, Pieces& pieces) {
  bool begins_text = pieces.start == TextStart::Yes && !pieces.spans.empty() && pieces.spans[0].begin == 0;
  rewrite(pieces, [&](std::string_view piece, std::size_t i, std::string& out) {
    bool wanted = step.where == Prefix::Always || (i == 0 && begins_text);
    if (wanted && !piece.starts_with(step.text)) out += step.text;
    out += piece;
  });
}

void PreTokenizer::respell(const Respell& step, Pieces& pieces) {
  rewrite(pieces, [&](std::string_view piece, std::size_t, std::string& out) { step.alphabet.spell(piece, out); });
}

void PreTokenizer::replace_spaces(const Spaces& step, Pieces& pieces) {
  bool begins_text = !pieces.spans.empty() && pieces.spans[0].begin == 0;
  rewrite(pieces, [&](std::string_view piece, std::size_t, std::string& out) {
    for (char c : piece) c == ' ' ? out += step.replacement : out += c;
  });
  if (!begins_text) pieces.start = TextStart::No;
}

}  // namespace moemill::text
