// Where a finished row lands first: one append-only file a shard, journal/shard-NNNNNN.journal. Written by the rank
// that owns the shard, read on resume and by status and verify.
//
// Form, all little-endian: a header of 64 bytes (magic "moejrnl\n", format version u32, shard u32, run id 40 bytes
// padded with zeros, 4 bytes zero, CRC32C u32 of the 60 bytes before it), then frames: marker u32, payload length u32,
// CRC32C u32 of length and payload, payload. The payload's first byte is its kind. What a kill leaves behind the last
// whole frame is dropped; a broken frame with whole ones behind it is damage: said, and dropped from there on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "dataset/rows.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {

struct JournalContents {
  // Sorted by (prompt, sample), each at most once: of duplicates the first written stays.
  std::vector<Completion> completions;
  std::vector<PromptScore> scores;      // sorted by prompt; the first written stays
  std::vector<PartialSample> partials;  // sorted; the longest stays; none whose completion is here
  std::uint64_t whole_bytes = 0;        // header and whole frames from the start
  std::uint64_t dropped_bytes = 0;      // behind them
  std::optional<std::string> damage;    // set when what is dropped is more than a torn tail
};

// Absent or header-only files are empty contents. UserError when the file belongs to another run, shard or version.
JournalContents read_journal(const std::string& path, const std::string& run_id, ShardId shard);
// The same from bytes in memory; `name` is for messages.
JournalContents parse_journal(std::span<const std::byte> bytes, const std::string& name, const std::string& run_id,
                              ShardId shard);

class JournalWriter {
 public:
  // Starts the file, or goes on behind its last whole frame (`whole_bytes` of read_journal; the rest is cut off).
  JournalWriter(std::string path, const std::string& run_id, ShardId shard, std::uint64_t whole_bytes);

  // Buffered. A prompt's score is appended before its completions: a row that is here has all its parts here.
  void append(const Completion& row);
  void append(const PromptScore& score);
  void append(const PartialSample& partial);
  // Everything appended so far is durable when this returns. Call it every journal_flush_seconds.
  void flush();
  // The last flush, then close. The destructor alone drops what is buffered.
  void close();

 private:
  void frame(std::size_t start);
  void write_buffer();

  std::string path_;
  files::Descriptor file_;
  std::vector<std::byte> buffer_;
  enum class State { Open, Failed, Closed } state_ = State::Open;
  bool synced_ = true;
  bool folder_synced_ = false;
};

}  // namespace moemill::dataset
