// tokenizer.json from anybody: whatever the bytes, parse() either refuses them with a UserError or gives a tokenizer
// that encodes any text, decodes any ids, and streams what it decodes. Input: the file, a NUL, the text.
#include <cstdint>
#include <cstdlib>
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
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::size_t nul = input.find('\0');
  std::string_view text = nul == input.npos ? "Some 12 text\xC3\xA9 <s>" : input.substr(nul + 1);
  try {
    Tokenizer tokenizer = Tokenizer::parse(input.substr(0, nul), "tokenizer.json");
    auto ids = tokenizer.encode(text, AddSpecial::Yes);
    for (char byte : text) ids.push_back(static_cast<TokenId>(byte));
    check_stream(tokenizer, ids);
    for (TokenId id : ids) tokenizer.token_bytes(id);
  } catch (const UserError&) {
  } catch (const TextError&) {
  }
  return 0;
}
