// YAML as plain values, read by libyaml, which folds and unescapes strings as PyYAML does (yaml-cpp clips the line
// breaks at the end of a quoted string to one). Used by mill/config only. A text that is not one YAML document is a
// UserError with name and line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moemill::yaml {

struct Node {
  enum class Kind { Null, Scalar, List, Map };
  // How a scalar is written: as it is (numbers, words), or quoted where another reader might take it for something
  // else.
  enum class Form { Plain, Text };

  Kind kind = Kind::Null;
  Form form = Form::Plain;
  std::string scalar;
  std::vector<Node> items;  // of a list; of a map: key, value, key, value, as they stand
  int line = 0;             // from 1; 0: not from a text

  bool is_null() const { return kind == Kind::Null; }
  bool is_scalar() const { return kind == Kind::Scalar; }
  bool is_list() const { return kind == Kind::List; }
  bool is_map() const { return kind == Kind::Map; }
};

inline Node plain(std::string scalar) { return {Node::Kind::Scalar, Node::Form::Plain, std::move(scalar), {}, 0}; }
inline Node text(std::string scalar) { return {Node::Kind::Scalar, Node::Form::Text, std::move(scalar), {}, 0}; }

// `name` is what messages call the text. An empty one is null.
Node read(std::string_view text, std::string_view name);

// Maps in lines, lists in brackets. Read back, it gives the same values. No line break behind a scalar or a list.
std::string write(const Node& node);

}  // namespace moemill::yaml
