#include "text/stages/bpe.hpp"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/error.hpp"
#include "base/text/utf8.hpp"
#include "text/files/text_error.hpp"

namespace moemill::text {
namespace {

constexpr std::size_t few_symbols = 48;        // beyond this a heap is faster than scanning all pairs again
constexpr std::size_t known_piece_bytes = 64;  // longer pieces rarely repeat
constexpr std::size_t known_pieces = 1 << 16;
constexpr std::uint32_t no_symbol = 0xFFFFFFFF;

std::uint64_t pair_of(TokenId left, TokenId right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}

}  // namespace

void MergeTable::reserve(std::size_t merges) {
  std::size_t size = std::bit_ceil(2 * merges + 2);
  slots_.assign(size, Slot{});
  shift_ = 64 - std::countr_zero(size);
}

std::size_t MergeTable::slot(std::uint64_t pair) const {
  std::size_t mask = slots_.size() - 1, at = (pair * 0x9E3779B97F4A7C15u) >> shift_;
  while (slots_[at].merge.rank != no_rank && slots_[at].pair != pair) at = (at + 1) & mask;
  return at;
}

void MergeTable::set(TokenId left, TokenId right, Merge merge) {
  std::uint64_t pair = pair_of(left, right);
  slots_[slot(pair)] = {pair, merge};
}

MergeTable::Merge MergeTable::find(TokenId left, TokenId right) const {
  return slots_[slot(pair_of(left, right))].merge;
}

Bpe::Bpe(const Place& model, const TokenizerFile& file) : vocabulary_(file.vocabulary, file.ids, model.file()) {
  read_settings(model);
  read_merges(file, model.file());
  for (char32_t c = 0; c < letters_.size(); c++) {
    std::string letter;
    append_utf8(letter, c);
    letters_[c] = vocabulary_.find(letter).value_or(-1);
  }
}

void Bpe::read_settings(const Place& model) {
  std::string type = model.string_or("type", "BPE");  // files of the library's first versions have no type
  if (type != "BPE") model.refuse(fmt::format("the model type \"{}\" is not supported (only BPE)", type));
  if (auto dropout = model.find("dropout"); dropout && !dropout->is_zero())
    dropout->refuse("dropout would make the ids random; set it to null");
  prefix_ = model.string_or("continuing_subword_prefix", "");
  suffix_ = model.string_or("end_of_word_suffix", "");
  whole_pieces_first_ = model.boolean_or("ignore_merges", false);
  unknown_run_ = model.boolean_or("fuse_unk", false) ? UnknownRun::Fused : UnknownRun::Separate;
  if (auto unknown = model.find("unk_token")) {
    unknown_name_ = unknown->string();
    unknown_ = vocabulary_.find(unknown_name_);
  }
  if (model.boolean_or("byte_fallback", false)) {
    byte_ids_.emplace();
    for (unsigned byte = 0; byte < 256; byte++)
      (*byte_ids_)[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  }
}

void Bpe::read_merges(const TokenizerFile& file, const std::string& file_name) {
  merges_.reserve(file.left.size());
  std::string joined;
  for (std::size_t i = 0; i < file.left.size(); i++) {
    std::string_view left = file.left[i], right = file.right[i];
    auto known = [&](std::string_view token) {
      auto id = vocabulary_.find(token);
      if (!id) user_error("{}: model.merges[{}] needs \"{}\", which is not in model.vocab", file_name, i, token);
      return *id;
    };
    TokenId left_id = known(left), right_id = known(right);
    joined = left;
    joined += right.substr(std::min(prefix_.size(), right.size()));
    const auto rank = file.merge_ranks.empty() ? static_cast<std::uint32_t>(i) : file.merge_ranks[i];
    merges_.set(left_id, right_id, {rank, known(joined)});
  }
}

void Bpe::encode(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& ids) const {
  if (whole_pieces_first_) {
    if (auto id = vocabulary_.find(piece)) return ids.push_back(*id);
  }
  bool short_piece = piece.size() <= known_piece_bytes;
  if (short_piece) {
    scratch.key = piece;
    if (auto it = scratch.known.find(scratch.key); it != scratch.known.end()) {
      ids.insert(ids.end(), it->second.begin(), it->second.end());
      return;
    }
  }
  spell(piece, scratch.symbols);
  scratch.symbols.size() <= few_symbols ? merge_few(scratch) : merge_many(scratch);
  ids.insert(ids.end(), scratch.symbols.begin(), scratch.symbols.end());
  if (short_piece && scratch.known.size() < known_pieces) scratch.known.emplace(scratch.key, scratch.symbols);
}

// Converts characters to ids. A character that is not in the vocabulary becomes its bytes, or else the unknown token,
// or else nothing.
void Bpe::spell(std::string_view piece, std::vector<TokenId>& symbols) const {
  symbols.clear();
  bool unknown_pending = false;  // the unknown token is written before the next known character, as in the library
  auto flush_unknown = [&] {
    if (unknown_pending) symbols.push_back(*unknown_);
    unknown_pending = false;
  };
  for (std::size_t at = 0; at < piece.size();) {
    std::size_t length = std::min(utf8_length(piece[at]), piece.size() - at);
    std::string_view character = piece.substr(at, length);
    if (auto id = symbol(character, at == 0, at + length == piece.size())) {
      flush_unknown();
      symbols.push_back(*id);
    } else if (!spell_bytes(character, symbols) && !unknown_name_.empty()) {
      if (!unknown_)  // checked only here, because byte-level files name an unk_token that they never need
        throw TextError(fmt::format("\"{}\" needs the unk_token \"{}\", which is not in model.vocab of tokenizer.json",
                                    character, unknown_name_));
      if (unknown_run_ == UnknownRun::Separate) flush_unknown();
      unknown_pending = true;
    }
    at += length;
  }
  flush_unknown();
}

std::optional<TokenId> Bpe::symbol(std::string_view character, bool first, bool last) const {
  bool prefixed = !first && !prefix_.empty(), suffixed = last && !suffix_.empty();
  if (prefixed || suffixed)
    return vocabulary_.find((prefixed ? prefix_ : "") + std::string(character) + (suffixed ? suffix_ : ""));
  if (character.size() <= 2) {
    std::size_t at = 0;
    char32_t c = next_code_point(character, at);
    if (c < letters_.size()) return letters_[c] < 0 ? std::nullopt : std::optional(letters_[c]);
  }
  return vocabulary_.find(character);
}

bool Bpe::spell_bytes(std::string_view character, std::vector<TokenId>& symbols) const {
  if (!byte_ids_) return false;
  auto id = [&](char byte) { return (*byte_ids_)[static_cast<unsigned char>(byte)]; };
  if (!std::all_of(character.begin(), character.end(), [&](char byte) { return id(byte) >= 0; })) return false;
  for (char byte : character) symbols.push_back(id(byte));
  return true;
}

// Merges the leftmost pair of the lowest rank until no pair merges. Quadratic in the number of symbols, but the fastest
// way for words.
void Bpe::merge_few(BpeScratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& merges = scratch.merges;
  if (symbols.size() < 2) return;
  merges.resize(symbols.size() - 1);
  for (std::size_t i = 0; i + 1 < symbols.size(); i++) merges[i] = merges_.find(symbols[i], symbols[i + 1]);
  auto lower = [](const MergeTable::Merge& a, const MergeTable::Merge& b) { return a.rank < b.rank; };
  while (!merges.empty()) {
    auto best = std::min_element(merges.begin(), merges.end(), lower);
    if (best->rank == MergeTable::no_rank) break;
    auto i = static_cast<std::size_t>(best - merges.begin());
    symbols[i] = best->made;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    merges.erase(best);
    if (i < merges.size()) merges[i] = merges_.find(symbols[i], symbols[i + 1]);
    if (i > 0) merges[i - 1] = merges_.find(symbols[i - 1], symbols[i]);
  }
}

// The same result in n log n steps: a heap of (rank, position) over a linked list. An entry is stale if the pair at its
// position has a different rank by now.
void Bpe::merge_many(BpeScratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& merges = scratch.merges;
  auto& previous = scratch.previous;
  auto& next = scratch.next;
  auto& heap = scratch.heap;
  if (symbols.size() >= no_symbol) throw TextError("a piece of more than 2^32 characters");
  auto count = static_cast<std::uint32_t>(symbols.size());
  merges.assign(count, {MergeTable::no_rank, -1});
  previous.resize(count);
  next.resize(count);
  heap.clear();
  auto pair_up = [&](std::uint32_t i) {
    merges[i] =
        next[i] == no_symbol ? MergeTable::Merge{MergeTable::no_rank, -1} : merges_.find(symbols[i], symbols[next[i]]);
    if (merges[i].rank == MergeTable::no_rank) return false;
    heap.push_back((static_cast<std::uint64_t>(merges[i].rank) << 32) | i);
    return true;
  };
  for (std::uint32_t i = 0; i < count; i++) {
    previous[i] = i == 0 ? no_symbol : i - 1;
    next[i] = i + 1 == count ? no_symbol : i + 1;
    pair_up(i);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  auto push = [&](std::uint32_t i) {
    if (pair_up(i)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::uint64_t top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    auto i = static_cast<std::uint32_t>(top);
    if (merges[i].rank != top >> 32) continue;
    std::uint32_t right = next[i];
    symbols[i] = merges[i].made;
    next[i] = next[right];
    if (next[i] != no_symbol) previous[next[i]] = i;
    merges[right].rank = MergeTable::no_rank;  // this symbol no longer exists
    push(i);
    if (previous[i] != no_symbol) push(previous[i]);
  }
  std::size_t kept = 0;
  for (std::uint32_t i = 0; i != no_symbol; i = next[i]) symbols[kept++] = symbols[i];
  symbols.resize(kept);
}

}  // namespace moemill::text
