// The stages of a Tokenizer, in the order in which a text passes through them. Shared by Tokenizer and StreamDecoder
// only.
#pragma once

#include "text/stages/added_tokens.hpp"
#include "text/stages/bpe.hpp"
#include "text/stages/decoder.hpp"
#include "text/stages/normalizer.hpp"
#include "text/stages/post_processor.hpp"
#include "text/stages/pre_tokenizer.hpp"

namespace moemill::text {

struct TokenizerParts {
  TokenizerParts(const TokenizerFile& file, const Place& root)
      : normalizer(root.find("normalizer")),
        pre_tokenizer(root.find("pre_tokenizer")),
        bpe(root.at("model"), file),
        added(root.find("added_tokens"), bpe.vocabulary(), normalizer),
        post_processor(root.find("post_processor")),
        decoder(root.find("decoder")) {}

  // The decoder's input for an id; nullopt for an unused id.
  std::optional<std::string_view> spelling(TokenId id) const {
    if (const AddedToken* token = added.find(id)) return token->decoded;
    if (bpe.vocabulary().contains(id)) return bpe.vocabulary().spelling(id);
    return std::nullopt;
  }
  bool is_special(TokenId id) const {
    const AddedToken* token = added.find(id);
    return token && token->special;
  }
  bool leaves_no_text(TokenId id) const {  // asked if special tokens are skipped
    const AddedToken* token = added.find(id);
    return token && token->decodes_as_special;
  }

  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  AddedTokens added;
  PostProcessor post_processor;
  Decoder decoder;
  std::string fingerprint;
  std::vector<std::string> warnings;
};

}  // namespace moemill::text
