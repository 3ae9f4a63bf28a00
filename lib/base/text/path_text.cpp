#include "base/text/path_text.hpp"

#include "base/error.hpp"
#include "base/text/utf8.hpp"

namespace moemill {

void check_path(std::string_view what, const std::string& path) {
  if (first_bad_utf8(path)) user_error("{}: is not UTF-8, as names in config.yaml must be", what);
  if (path.starts_with('~'))  // "~" alone and "~user/x" as well
    user_error(
        "{}: {}: only a shell makes a home folder of '~', and here it would be a folder of that name; write the full "
        "path",
        what, path);
  for (std::size_t at = 0; (at = path.find('$', at)) != std::string::npos; ++at) {
    const char next = at + 1 < path.size() ? path[at + 1] : '/';
    if (next == '{' || next == '_' || (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z'))
      user_error(
          "{}: {}: only a shell puts the value of a variable for its '$name', and here it would be a folder of that "
          "name; write the path out, or give it on the command line, where the shell reads it outside of single quotes",
          what, path);
  }
}

}  // namespace moemill
