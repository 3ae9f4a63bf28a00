#include "base/text/text_wrap.hpp"

namespace moemill {

std::string wrapped(std::string_view text, std::size_t at, std::size_t indent) {
  std::string out;
  std::size_t column = at;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    if (column > indent && column + end > help_width) {
      if (out.ends_with(' ')) out.pop_back();
      out += '\n' + std::string(indent, ' ');
      column = indent;
    }
    out += text.substr(0, end);
    column += end;
    text.remove_prefix(end);
    if (text.empty()) break;
    out += text[0];
    column = text[0] == '\n' ? 0 : column + 1;
    if (text[0] == '\n') out += std::string(column = indent, ' ');
    text.remove_prefix(1);
  }
  return out;
}

}  // namespace moemill
