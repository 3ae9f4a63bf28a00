// Where a finished row is stored first: one append-only file per shard, journal/shard-NNNNNN.journal. The rank that
// owns the shard writes it; resume, status and verify read it.
//
// Format, all little-endian: a header of 64 bytes (magic "moejrnl\n", format version u32, shard u32, run id 40 bytes
// padded with zeros, 4 bytes zero, CRC32C u32 of the 60 bytes before it), then frames: marker u32, payload length u32,
// CRC32C u32 of length and payload, payload. The payload's first byte is its kind. Bytes that a kill left after the
// last whole frame are dropped. A broken frame with whole ones after it is damage: it is reported, and everything from
// it on is dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "dataset/journal/records.hpp"
#include "dataset/rows.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {

struct JournalExtent {
  std::uint64_t whole_bytes = 0;      // the header and the whole frames from the start
  std::uint64_t dropped_bytes = 0;    // everything after them
  std::optional<std::string> damage;  // set when more than a torn tail is dropped
};

struct JournalContents : JournalExtent {
  // Sorted by (prompt, sample), each at most once; the first that was written stays.
  std::vector<Completion> completions;
  std::vector<PromptScore> scores;      // sorted by prompt, each at most once; the first that was written stays
  std::vector<PartialSample> partials;  // sorted, each at most once, without completed ones; the longest stays
};

// Where the frame of a record lies in its journal.
struct RecordPlace {
  std::uint64_t first_byte = 0;
  std::uint64_t bytes = 0;
};
using VisitRecord = std::function<void(JournalRecord&&, RecordPlace)>;
// Calls visit for each whole record in the order of the file, duplicates included.
JournalExtent for_each_record(std::span<const std::byte> bytes, const std::string& name, const std::string& run_id,
                              ShardId shard, const VisitRecord& visit);
// A record that for_each_record() has found before. SystemError when it is not there any more.
JournalRecord read_record(const std::string& path, RecordPlace place);

// A file that is absent or has only a header gives empty contents. UserError when the file belongs to another run,
// shard or version.
JournalContents read_journal(const std::string& path, const std::string& run_id, ShardId shard);
// Reads a journal from bytes in memory; `name` is for messages.
JournalContents parse_journal(std::span<const std::byte> bytes, const std::string& name, const std::string& run_id,
                              ShardId shard);

class JournalWriter {
 public:
  // Starts the file, or continues it after its last whole frame (`whole_bytes` of read_journal; the rest is cut off).
  JournalWriter(std::string path, const std::string& run_id, ShardId shard, std::uint64_t whole_bytes);

  // Buffered. A prompt's score is appended before its completions: a row that is here has all its parts here.
  void append(const Completion& row);
  void append(const PromptScore& score);
  void append(const PartialSample& partial);
  // Everything appended so far is durable when this returns. To be called every journal_flush_seconds.
  void flush();
  // Flushes and closes. The destructor alone drops what is buffered.
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
