// tokenizer.json from any source: parse() either refuses the bytes with a UserError or gives a tokenizer that encodes
// any text, decodes any ids, and streams what it decodes. The input is the file, a NUL, the text. If a second NUL
// follows the first, the three files that can add tokens come before the text, each followed by a NUL. Input that does
// not begin as JSON is the end of a tiktoken.model, after its 256 single bytes, then a NUL, its tokenizer_config.json,
// a NUL, the text.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "text/tokenizer.hpp"

using namespace moemill;
using namespace moemill::text;

namespace {

void check_stream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  StreamDecoder stream(tokenizer, SkipSpecial::Yes);
  std::string streamed;
  for (TokenId id : ids) stream.push(id, streamed);
  stream.finish(streamed);
  if (streamed != tokenizer.decode(ids, SkipSpecial::Yes)) std::abort();
  StreamDecoder answer(tokenizer, SkipSpecial::No);
  answer.read_prompt(std::span(ids).first(ids.size() / 2));
  for (TokenId id : std::span(ids).subspan(ids.size() / 2)) answer.push(id, streamed);
  answer.finish(streamed);
}

std::string_view take_part(std::string_view& input) {
  const std::size_t nul = std::min(input.find('\0'), input.size());
  const std::string_view part = input.substr(0, nul);
  input.remove_prefix(std::min(nul + 1, input.size()));
  return part;
}

std::string single_bytes() {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string lines;
  for (unsigned byte = 0; byte < 256; byte++)
    lines += std::string{digits[byte >> 2], digits[(byte & 3) << 4], '=', '=', ' '} + std::to_string(byte) + "\n";
  return lines;
}

Tokenizer parse(std::string_view& input) {
  const std::string_view file = take_part(input);
  if (file.starts_with('{')) {
    if (!input.starts_with('\0')) return Tokenizer::parse(file, "tokenizer.json");
    take_part(input);
    SideFiles side{"dir", std::string(take_part(input)), std::string(take_part(input)), std::string(take_part(input))};
    return Tokenizer::parse(file, "tokenizer.json", side);
  }
  const std::string_view config = take_part(input);
  return Tokenizer::parse_tiktoken(single_bytes() + std::string(file), "tiktoken.model", config,
                                   "tokenizer_config.json");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    Tokenizer tokenizer = parse(input);
    const std::string_view text = input.empty() ? "Some 12 text\xC3\xA9 <s>" : input;
    auto ids = tokenizer.encode(text, AddSpecial::Yes);
    for (char byte : text) ids.push_back(static_cast<TokenId>(byte));
    check_stream(tokenizer, ids);
    for (TokenId id : ids) tokenizer.token_bytes(id);
  } catch (const UserError&) {
  } catch (const TextError&) {
  }
  return 0;
}
