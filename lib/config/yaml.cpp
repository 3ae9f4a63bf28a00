#include "config/yaml.hpp"

#include <yaml.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/error.hpp"
#include "base/text/utf8.hpp"

namespace moemill::yaml {
namespace {

constexpr int most_depth = 64;           // of lists and maps within one another
constexpr std::size_t most_nodes = 1e6;  // aliases repeat what they name, and could do so without limit

// Owns one event of libyaml.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&event_); }
  yaml_event_t* operator->() { return &event_; }
  yaml_event_t* get() { return &event_; }
  int line() const { return static_cast<int>(event_.start_mark.line) + 1; }

 private:
  yaml_event_t event_{};
};

std::string word_of(const yaml_char_t* text) { return text ? reinterpret_cast<const char*>(text) : ""; }

// Plain scalars without a tag that mean null.
bool is_null_word(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

class Reader {
 public:
  Reader(std::string_view text, std::string_view name) : text_(text), name_(name) {
    if (!yaml_parser_initialize(&parser_)) throw std::bad_alloc();
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { yaml_parser_delete(&parser_); }

  Node document() {
    Node root;
    bool any = false;
    for (;;) {
      Event event;
      next(event);
      if (event->type == YAML_STREAM_END_EVENT) return root;
      if (event->type != YAML_DOCUMENT_START_EVENT) continue;
      if (any) user_error("{}:{}: a second YAML document begins here; write all keys into one", name_, event.line());
      any = true;
      Event first;
      next(first);
      root = node(first, 0);
    }
  }

 private:
  void next(Event& event) {
    if (!yaml_parser_parse(&parser_, event.get())) refuse();
  }

  // The character at libyaml's error, whose column counts characters.
  std::string_view character_at(const yaml_mark_t& mark) const {
    std::size_t at = 0;
    for (std::size_t line = 0; line < mark.line; ++line) {
      at = text_.find('\n', at);
      if (at == std::string_view::npos) return "";
      ++at;
    }
    for (std::size_t column = 0; column < mark.column && at < text_.size(); ++column) at += utf8_step(text_, at).bytes;
    return at < text_.size() ? text_.substr(at, utf8_step(text_, at).bytes) : "";
  }

  // Advice for the most common faults, else "". PyYAML accepts a tab after the indentation of a block's first line,
  // libyaml only if a number gives the indentation.
  std::string cure(std::string_view problem) const {
    if (problem.find("tab character where an indentation") != std::string_view::npos)
      return "; a block behind '|' or '>' is indented by spaces, and where its text begins with a tab, their number "
             "stands there, e.g. '|2'";
    if (problem.find("cannot start any token") == std::string_view::npos) return "";
    const std::string_view odd = character_at(parser_.problem_mark);
    if (odd == "\t") return "; it is a tab: indent by spaces";
    return fmt::format("; put a text that begins with '{}' in quotes", odd);
  }

  [[noreturn]] void refuse() const {
    const std::string problem = parser_.problem ? parser_.problem : "it cannot be read";
    if (parser_.error == YAML_READER_ERROR) {
      const std::size_t at = std::min(parser_.problem_offset, text_.size());
      user_error("{}:{}: this is not YAML: {}; write the file as UTF-8, odd characters escaped", name_,
                 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n'), problem);
    }
    const std::string within =
        parser_.context ? fmt::format(", {} (from line {} on)", parser_.context, parser_.context_mark.line + 1) : "";
    user_error("{}:{}: this is not YAML: {}{} (column {}){}", name_, parser_.problem_mark.line + 1, problem, within,
               parser_.problem_mark.column + 1, cure(problem));
  }

  // Without this check `!include x` would be the text `x`; to PyYAML `! x` has no meaning at all.
  void check_tag(const yaml_char_t* text, std::initializer_list<std::string_view> known, int line) const {
    const std::string tag = word_of(text);
    if (tag.empty() || std::find(known.begin(), known.end(), tag) != known.end()) return;
    user_error("{}:{}: the tag {} means nothing here; leave it out, and write the value itself", name_, line,
               tag.starts_with("tag:yaml.org,2002:") ? "!!" + tag.substr(18) : tag);
  }

  Node node(Event& event, int depth) {
    if (depth > most_depth) user_error("{}:{}: lists and mappings are nested too deeply", name_, event.line());
    if (++nodes_ > most_nodes) user_error("{}:{}: holds too many values for a run.yaml", name_, event.line());
    switch (event->type) {
      case YAML_ALIAS_EVENT: return alias(event);
      case YAML_SCALAR_EVENT: return scalar(event);
      case YAML_SEQUENCE_START_EVENT:
        check_tag(event->data.sequence_start.tag, {YAML_SEQ_TAG}, event.line());
        return keep(event->data.sequence_start.anchor, items(Node::Kind::List, event, depth));
      case YAML_MAPPING_START_EVENT:
        check_tag(event->data.mapping_start.tag, {YAML_MAP_TAG}, event.line());
        return keep(event->data.mapping_start.anchor, items(Node::Kind::Map, event, depth));
      default: user_error("{}:{}: this is not YAML: nothing can begin in this way", name_, event.line());
    }
  }

  Node items(Node::Kind kind, Event& begin, int depth) {
    Node out{kind, Node::Form::Plain, {}, {}, begin.line()};
    for (;;) {
      Event event;
      next(event);
      if (event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT) return out;
      out.items.push_back(node(event, depth + 1));
    }
  }

  Node scalar(Event& event) {
    const auto& s = event->data.scalar;
    Node out{Node::Kind::Scalar, Node::Form::Text, {}, {}, event.line()};
    out.scalar.assign(reinterpret_cast<const char*>(s.value), s.length);
    check_tag(s.tag, {YAML_STR_TAG, YAML_INT_TAG, YAML_FLOAT_TAG, YAML_BOOL_TAG, YAML_NULL_TAG}, event.line());
    const std::string tag = word_of(s.tag);
    if (tag == YAML_NULL_TAG || (s.plain_implicit && s.style == YAML_PLAIN_SCALAR_STYLE && is_null_word(out.scalar)))
      out.kind = Node::Kind::Null;
    return keep(s.anchor, std::move(out));
  }

  static std::size_t size_of(const Node& node) {
    std::size_t size = 1;
    for (const Node& item : node.items) size += size_of(item);
    return size;
  }

  Node alias(Event& event) {
    const std::string name = word_of(event->data.alias.anchor);
    const auto found = anchors_.find(name);
    if (found == anchors_.end()) user_error("{}:{}: *{} names nothing above it", name_, event.line(), name);
    nodes_ += size_of(found->second);
    return found->second;
  }

  Node keep(const yaml_char_t* anchor, Node value) {
    if (anchor) anchors_[word_of(anchor)] = value;
    return value;
  }

  yaml_parser_t parser_{};
  std::string_view text_, name_;
  std::map<std::string, Node> anchors_;
  std::size_t nodes_ = 0;
};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Whether every reader of YAML, of any version, takes the text for a string rather than a number, a truth value or
// null.
bool reads_as_text(std::string_view text) {
  constexpr std::array<std::string_view, 8> words = {"null", "true", "false", "yes", "no", "on", "off", "y"};
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return is_letter(c) ? char(c | 0x20) : c; });
  const bool begins = !text.empty() && (is_letter(text[0]) || text[0] == '/');
  return begins && lower != "n" && std::find(words.begin(), words.end(), lower) == words.end() &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return is_letter(c) || is_digit(c) || c == '_' || c == '.' || c == '/' || c == '-';
         });
}

// Characters that YAML text may not contain unescaped, or that would end a line.
bool is_odd(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff;
}

// JSON's form, which the scripts read as well.
std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    if (text[at] == '\n') {
      out += "\\n";
    } else if (text[at] == '"' || text[at] == '\\') {
      out += {'\\', text[at]};
    } else if (step.kind == Utf8Step::Complete && is_odd(step.code_point)) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(step.code_point));
    } else {
      out += text.substr(at, step.bytes);
    }
    at += step.bytes;
  }
  return out + '"';
}

std::string written(const Node& node, int depth) {
  std::string out;
  switch (node.kind) {
    case Node::Kind::Null: return "null";
    case Node::Kind::Scalar:
      return node.form == Node::Form::Plain || reads_as_text(node.scalar) ? node.scalar : json_quoted(node.scalar);
    case Node::Kind::List:
      for (const Node& item : node.items) out += (out.empty() ? "" : ", ") + written(item, depth);
      return "[" + out + "]";
    case Node::Kind::Map:
      for (std::size_t i = 0; i < node.items.size(); i += 2) {
        const Node &key = node.items[i], &value = node.items[i + 1];
        out += std::string(static_cast<std::size_t>(2 * depth), ' ') + written(key, depth) + ":";
        out += value.is_map() ? "\n" + written(value, depth + 1) : " " + written(value, depth) + "\n";
      }
      return out;
  }
  return out;
}

}  // namespace

Node read(std::string_view text, std::string_view name) { return Reader(text, name).document(); }

std::string write(const Node& node) { return written(node, 0); }

}  // namespace moemill::yaml
