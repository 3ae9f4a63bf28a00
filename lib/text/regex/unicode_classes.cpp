#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex/unicode_classes.hpp"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>

#include "base/error.hpp"
#include "base/text/utf8.hpp"

namespace moemill::text {
namespace {

constexpr char32_t code_points = 0x110000;

struct Entry {
  std::string_view name;
  std::size_t begin, count;
};

#include "text/regex/unicode_tables.inc"

using Sets = std::map<std::string, CodePointSet, std::less<>>;

// Adds "l" for "lu", "ll" and so on, and "l&" for the cased letters.
void add_groups(Sets& sets) {
  Sets groups;
  for (const auto& [name, set] : sets) {
    if (name.size() != 2) continue;
    CodePointSet& group = groups[name.substr(0, 1)];
    group = group.with(set);
    if (name == "lu" || name == "ll" || name == "lt") groups["l&"] = groups["l&"].with(set);
  }
  sets.merge(groups);
}

Sets read_tables() {
  Sets sets;
  for (const Entry& entry : entries)
    sets[std::string(entry.name)] =
        CodePointSet(std::vector<CodePoints>(ranges + entry.begin, ranges + entry.begin + entry.count));
  add_groups(sets);
  return sets;
}

std::string all_characters() {
  std::string text;
  for (char32_t c = 0; c < code_points; c++)
    if (c < 0xD800 || c > 0xDFFF) append_utf8(text, c);
  return text;
}

using Ranges = std::map<std::string, std::vector<CodePoints>>;

// Adds the characters of text[begin, end), which are consecutive code points.
void add_run(const std::string& text, std::size_t begin, std::size_t end, std::vector<CodePoints>& found) {
  std::size_t last = end - 1;
  while ((static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) last--;
  CodePoints range{next_code_point(text, begin), next_code_point(text, last)};
  if (range.first < 0xD800 && range.last > 0xDFFF) {  // UTF-8 has no surrogates
    found.push_back({range.first, 0xD7FF});
    range.first = 0xE000;
  }
  found.push_back(range);
}

// The matches of PCRE2 in `text`, which contains every character, by the marks (*:name) of the pattern.
Ranges scan(const std::string& pattern, const std::string& text) {
  using Code = std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)>;
  using Data = std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)>;
  int error = 0;
  PCRE2_SIZE place = 0;
  Code code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error, &place, nullptr),
      &pcre2_code_free);
  if (!code) return {};
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // without a JIT the match is merely slower
  Data data(pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  if (!data) system_error("PCRE2: no memory for a match");
  Ranges found;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  for (std::size_t at = 0;
       pcre2_match(code.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK, data.get(), nullptr) >= 0;) {
    const PCRE2_SIZE* match = pcre2_get_ovector_pointer(data.get());
    add_run(text, match[0], match[1], found[reinterpret_cast<const char*>(pcre2_get_mark(data.get()))]);
    at = match[1];
  }
  return found;
}

std::string run_of(std::string_view name) { return fmt::format("(*:{0})\\p{{{0}}}+", name); }

// Scans for all general categories in one pass, which takes a hundredth of a second.
Sets scan_categories() {
  std::string pattern;
  for (const Entry& entry : entries)
    if (entry.name.size() == 2) pattern += (pattern.empty() ? "" : "|") + run_of(entry.name);
  Sets sets;
  for (auto& [name, found] : scan(pattern, all_characters())) sets[name] = CodePointSet(std::move(found));
  add_groups(sets);
  return sets;
}

CodePointSet scan_one(std::string_view name) {
  Ranges found = scan(run_of(name), all_characters());
  return found.empty() ? CodePointSet() : CodePointSet(std::move(found.begin()->second));
}

}  // namespace

std::string pcre_unicode_version() {
  char text[64] = "";
  pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, text);
  return text;
}

CodePointSet::CodePointSet(std::vector<CodePoints> ranges) : blocks_(code_points / 256) {
  std::sort(ranges.begin(), ranges.end(), [](const CodePoints& a, const CodePoints& b) { return a.first < b.first; });
  for (const CodePoints& range : ranges) {
    if (!ranges_.empty() && range.first <= ranges_.back().last + 1)
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    else
      ranges_.push_back(range);
    std::fill(blocks_.begin() + range.first / 256, blocks_.begin() + range.last / 256 + 1, true);
  }
}

bool CodePointSet::contains(char32_t c) const {
  if (ranges_.empty() || !blocks_[c / 256]) return false;
  auto after = std::upper_bound(ranges_.begin(), ranges_.end(), c,
                                [](char32_t point, const CodePoints& range) { return point < range.first; });
  return after != ranges_.begin() && c <= after[-1].last;
}

bool CodePointSet::any_in(std::string_view utf8) const {
  if (ranges_.empty()) return false;
  for (std::size_t at = 0; at < utf8.size();) {
    if (static_cast<unsigned char>(utf8[at]) < 0x80 && ranges_[0].first >= 0x80) {
      at++;
    } else if (contains(next_code_point(utf8, at))) {
      return true;
    }
  }
  return false;
}

CodePointSet CodePointSet::minus(const CodePointSet& other) const {
  std::vector<CodePoints> left;
  for (CodePoints range : ranges_) {
    for (const CodePoints& gone : other.ranges_) {
      if (gone.last < range.first) continue;
      if (gone.first > range.last) break;
      if (gone.first > range.first) left.push_back({range.first, gone.first - 1});
      range.first = gone.last + 1;
    }
    if (range.first <= range.last) left.push_back(range);
  }
  return CodePointSet(std::move(left));
}

CodePointSet CodePointSet::with(const CodePointSet& other) const {
  std::vector<CodePoints> all = ranges_;
  all.insert(all.end(), other.ranges_.begin(), other.ranges_.end());
  return CodePointSet(std::move(all));
}

const CodePointSet* unicode_set(std::string_view name) {
  static const Sets sets = read_tables();
  auto it = sets.find(name);
  return it == sets.end() ? nullptr : &it->second;
}

CodePointSet pcre_set(std::string_view name) {
  static const Sets categories = scan_categories();
  static const CodePointSet alphabetic = scan_one("alphabetic");
  if (name == "alphabetic") return alphabetic;
  auto it = categories.find(name);
  return it == categories.end() ? scan_one(name) : it->second;
}

}  // namespace moemill::text
