// Third stage of encoding: byte-pair encoding of one piece. Built once from tokenizer.json's "model"; const use from
// many threads, each with its own BpeScratch.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/files/json_file.hpp"
#include "text/files/vocabulary.hpp"

namespace moemill::text {

// Maps a pair of neighbouring ids to the rank of their merge (lower ranks first) and the id that it makes.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank;
    TokenId made;
  };
  static constexpr std::uint32_t no_rank = 0xFFFFFFFF;

  void reserve(std::size_t merges);
  void set(TokenId left, TokenId right, Merge merge);  // the last merge that is set for a pair wins
  Merge find(TokenId left, TokenId right) const;       // rank is no_rank if the pair does not merge

 private:
  struct Slot {
    std::uint64_t pair = ~std::uint64_t{0};
    Merge merge{no_rank, -1};
  };
  std::size_t slot(std::uint64_t pair) const;
  std::vector<Slot> slots_;  // open addressing; the size is a power of two, at most half are used
  int shift_ = 64;
};

// Work space of one encode() call, and a cache of the ids of short pieces.
struct BpeScratch {
  std::vector<TokenId> symbols;
  std::vector<MergeTable::Merge> merges;  // [i] merges symbol i with its right neighbour
  std::vector<std::uint32_t> previous, next;
  std::vector<std::uint64_t> heap;
  std::unordered_map<std::string, std::vector<TokenId>> known;
  std::string key;
};

class Bpe {
 public:
  Bpe(const Place& model, const TokenizerFile& file);

  void encode(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& ids) const;  // appends
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  enum class UnknownRun { Separate, Fused };

  void read_settings(const Place& model);
  void read_merges(const TokenizerFile& file, const std::string& file_name);
  void spell(std::string_view piece, std::vector<TokenId>& symbols) const;
  std::optional<TokenId> symbol(std::string_view character, bool first, bool last) const;
  bool spell_bytes(std::string_view character, std::vector<TokenId>& symbols) const;
  void merge_few(BpeScratch& scratch) const;
  void merge_many(BpeScratch& scratch) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  std::string prefix_, suffix_;  // continuing_subword_prefix, end_of_word_suffix
  std::string unknown_name_;     // unk_token; empty if there is none
  std::optional<TokenId> unknown_;
  UnknownRun unknown_run_ = UnknownRun::Separate;
  bool whole_pieces_first_ = false;                   // ignore_merges
  std::optional<std::array<TokenId, 256>> byte_ids_;  // byte_fallback: ids of "<0xXX>", or -1
  std::array<TokenId, 0x180> letters_;                // ids of single characters below U+0180, or -1
};

}  // namespace moemill::text
