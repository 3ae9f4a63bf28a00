#include "text/stages/normalizer.hpp"

#include <fmt/format.h>

#include "base/text/utf8.hpp"
#include "text/regex/pattern.hpp"

namespace moemill::text {

Normalizer::Normalizer(const std::optional<Place>& place) {
  if (place) read(*place, 0);
}

void Normalizer::read(const Place& place, int depth) {
  if (depth > 8) place.refuse("normalizers are nested too deeply");
  std::string type = place.at("type").string();
  if (type == "Sequence") {
    for (const Place& inner : place.at("normalizers").elements()) read(inner, depth + 1);
  } else if (type == "NFC") {
    steps_.emplace_back(UnicodeForm::Nfc);
  } else if (type == "NFD") {
    steps_.emplace_back(UnicodeForm::Nfd);
  } else if (type == "NFKC") {
    steps_.emplace_back(UnicodeForm::Nfkc);
  } else if (type == "NFKD") {
    steps_.emplace_back(UnicodeForm::Nfkd);
  } else if (type == "Lowercase") {
    steps_.emplace_back(Lowercase{});
  } else if (type == "Prepend") {
    steps_.emplace_back(Prepend{place.at("prepend").string()});
  } else if (type == "Replace") {
    steps_.emplace_back(Replace{read_pattern(place.at("pattern")), place.at("content").string()});
  } else if (type == "Strip") {
    bool left = place.at("strip_left").boolean(), right = place.at("strip_right").boolean();
    steps_.emplace_back(Strip{left ? (right ? Ends::Both : Ends::Left) : (right ? Ends::Right : Ends::None)});
  } else {
    place.refuse(fmt::format("the normalizer \"{}\" is not supported", type));
  }
}

std::string Normalizer::apply(std::string text, RegexScratch& scratch) const {
  for (const Step& step : steps_) {
    if (auto* form = std::get_if<UnicodeForm>(&step)) {
      text = unicode_normal_form(text, *form);
    } else if (std::holds_alternative<Lowercase>(step)) {
      text = lower_case(text);
    } else if (auto* prepend = std::get_if<Prepend>(&step)) {
      if (!text.empty()) text.insert(0, prepend->text);
    } else if (auto* replace = std::get_if<Replace>(&step)) {
      text = replace_all(text, replace->pattern, replace->content, scratch);
    } else {
      text = strip(text, std::get<Strip>(step).ends);
    }
  }
  return text;
}

std::string Normalizer::strip(const std::string& text, Ends ends) {
  bool left = ends == Ends::Left || ends == Ends::Both, right = ends == Ends::Right || ends == Ends::Both;
  std::size_t begin = 0, end = 0, at = 0;
  bool leading = true;
  while (at < text.size()) {
    bool space = is_white_space(next_code_point(text, at));
    if (leading && space) begin = at;
    leading = leading && space;
    if (!space) end = at;
  }
  if (!left) begin = 0;
  if (!right) end = text.size();
  return begin < end ? text.substr(begin, end - begin) : std::string();
}

}  // namespace moemill::text
