// Second stage of encoding: cuts a normalised text into pieces that BPE never joins. The steps of tokenizer.json's
// "pre_tokenizer" are applied one after another, each to every piece that the previous step produced.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/files/json_file.hpp"
#include "text/regex/regex.hpp"
#include "text/stages/byte_alphabet.hpp"

namespace moemill::text {

enum class SplitBehavior { Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous };
enum class TextStart { Yes, No };  // whether a text begins at the beginning of the whole input

// A text and its pieces: stretches of it in order, none of them empty.
struct Pieces {
  std::string text;
  std::vector<Match> spans;
  TextStart start = TextStart::No;

  std::string_view operator[](std::size_t i) const {
    return std::string_view(text).substr(spans[i].begin, spans[i].end - spans[i].begin);
  }
};

class PreTokenizer {
 public:
  explicit PreTokenizer(const std::optional<Place>& place);  // nullopt: the text is one piece

  Pieces apply(std::string text, TextStart start, RegexScratch& scratch) const;

 private:
  enum class Sides { Matches, Others };  // what counts as a match; "invert" is Others
  struct Split {
    Regex pattern;
    SplitBehavior behavior;
    Sides sides;
  };
  enum class Prefix { Never, First, Always };
  struct Prepend {  // prepends `text` to pieces that do not begin with it
    std::string text;
    Prefix where;
  };
  struct Respell {  // spells bytes in the byte alphabet
    ByteAlphabet alphabet;
  };
  struct Spaces {  // replaces each ' '
    std::string replacement;
  };
  using Step = std::variant<Split, Prepend, Respell, Spaces>;

  void read(const Place& place, int depth);
  void read_split(const Place& place);
  void read_byte_level(const Place& place);
  void read_metaspace(const Place& place);

  static void split(const Split& step, Pieces& pieces, RegexScratch& scratch);
  static void prepend(const Prepend& step, Pieces& pieces);
  static void respell(const Respell& step, Pieces& pieces);
  static void replace_spaces(const Spaces& step, Pieces& pieces);

  std::vector<Step> steps_;
};

}  // namespace moemill::text
