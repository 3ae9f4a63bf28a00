// YAML as plain values. libyaml reads it, because it folds and unescapes strings as PyYAML does (yaml-cpp clips the
// line breaks at the end of a quoted string to one). Used by config/ only. Text that is not exactly one YAML document
// is a UserError with name and line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moemill::yaml {

struct Node {
  enum class Kind { Null, Scalar, List, Map };
  // How a scalar is written: Plain (numbers, words), or Text, which is quoted if a reader might misinterpret it.
  enum class Form { Plain, Text };

  Kind kind = Kind::Null;
  Form form = Form::Plain;
  std::string scalar;
  std::vector<Node> items;  // the items of a list, or key, value, key, value of a map, in order
  int line = 0;             // from 1; 0: not from a file

  bool is_null() const { return kind == Kind::Null; }
  bool is_scalar() const { return kind == Kind::Scalar; }
  bool is_list() const { return kind == Kind::List; }
  bool is_map() const { return kind == Kind::Map; }
};

inline Node plain(std::string scalar) { return {Node::Kind::Scalar, Node::Form::Plain, std::move(scalar), {}, 0}; }
inline Node text(std::string scalar) { return {Node::Kind::Scalar, Node::Form::Text, std::move(scalar), {}, 0}; }

// `name` is the text's name in messages. Empty text is null.
Node read(std::string_view text, std::string_view name);

// Writes maps in lines and lists in brackets; read() returns the same values. A scalar or a list does not end with a
// line break.
std::string write(const Node& node);

}  // namespace moemill::yaml
