#include "text/files/vocabulary.hpp"

#include <bit>
#include <functional>

#include "base/error.hpp"

namespace moemill::text {

Vocabulary::Vocabulary(const StringTable& spellings, const std::vector<TokenId>& ids, const std::string& file_name) {
  TokenId highest = -1;
  for (TokenId id : ids) highest = std::max(highest, id);
  spans_.resize(static_cast<std::size_t>(highest + 1));
  slots_.assign(std::bit_ceil(2 * ids.size() + 1), -1);
  for (std::size_t i = 0; i < ids.size(); i++) {
    std::string_view text = spellings[i];
    Span& span = spans_[ids[i]];
    if (span.there)
      user_error("{}: model.vocab gives the id {} to both \"{}\" and \"{}\"", file_name, ids[i], spelling(ids[i]),
                 text);
    std::size_t place = slot(text);
    if (slots_[place] >= 0) user_error("{}: model.vocab has \"{}\" twice", file_name, text);
    span = {bytes_.size(), static_cast<std::uint32_t>(text.size()), true};
    bytes_ += text;
    slots_[place] = ids[i];
  }
  size_ = ids.size();
}

std::size_t Vocabulary::slot(std::string_view text) const {
  std::size_t mask = slots_.size() - 1, at = std::hash<std::string_view>{}(text)&mask;
  while (slots_[at] >= 0 && spelling(slots_[at]) != text) at = (at + 1) & mask;
  return at;
}

std::optional<TokenId> Vocabulary::find(std::string_view text) const {
  if (slots_.empty()) return std::nullopt;
  TokenId id = slots_[slot(text)];
  return id < 0 ? std::nullopt : std::optional(id);
}

}  // namespace moemill::text
