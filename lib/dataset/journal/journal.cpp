#include "dataset/journal/journal.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "dataset/journal/keep_first.hpp"
#include "dataset/journal/records.hpp"

namespace moemill::dataset {
namespace {

constexpr std::string_view magic = "moejrnl\n";
constexpr std::uint32_t journal_version = 1;
constexpr std::size_t run_id_bytes = 40;
constexpr std::size_t header_bytes = 64;
constexpr std::size_t header_checked_bytes = 60;
constexpr std::array<unsigned char, 4> marker = {0xf5, 'm', 'r', 0x0a};  // 0xf5 never occurs in UTF-8
constexpr std::size_t frame_head_bytes = 12;
constexpr std::size_t write_buffer_bytes = 1 << 20;
// The search for whole frames after a broken one hashes at most this much of a hostile file.
constexpr std::uint64_t most_searched_bytes = 256u << 20;

std::uint32_t get_u32(std::span<const std::byte> bytes, std::size_t at) {
  std::uint32_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

void put_u32(std::vector<std::byte>& bytes, std::size_t at, std::uint32_t value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

std::vector<std::byte> make_header(const std::string& run_id, ShardId shard) {
  expect(run_id.size() <= run_id_bytes, "journal: the run id fits its field");
  std::vector<std::byte> header(header_bytes);
  std::memcpy(header.data(), magic.data(), magic.size());
  put_u32(header, 8, journal_version);
  put_u32(header, 12, static_cast<std::uint32_t>(shard.value));
  std::memcpy(header.data() + 16, run_id.data(), run_id.size());
  put_u32(header, header_checked_bytes, crc32c(std::span(header).first(header_checked_bytes)));
  return header;
}

bool has_marker(std::span<const std::byte> bytes, std::size_t at) {
  return bytes.size() - at >= frame_head_bytes && std::memcmp(bytes.data() + at, marker.data(), marker.size()) == 0;
}

// The payload of the frame at `at`, if it is whole.
std::optional<std::span<const std::byte>> frame_at(std::span<const std::byte> bytes, std::size_t at) {
  if (!has_marker(bytes, at)) return std::nullopt;
  std::uint32_t length = get_u32(bytes, at + 4);
  if (length > bytes.size() - at - frame_head_bytes) return std::nullopt;
  auto payload = bytes.subspan(at + frame_head_bytes, length);
  if (crc32c(payload, crc32c(bytes.subspan(at + 4, 4))) != get_u32(bytes, at + 8)) return std::nullopt;
  return payload;
}

bool whole_frame_behind(std::span<const std::byte> bytes, std::size_t at) {
  std::uint64_t searched = 0;
  const auto first_byte = static_cast<std::byte>(marker[0]);
  for (at++; at < bytes.size(); at++) {
    auto found = std::find(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(), first_byte);
    at = static_cast<std::size_t>(found - bytes.begin());
    if (at == bytes.size() || !has_marker(bytes, at)) continue;
    if (frame_at(bytes, at)) return true;
    searched += std::min<std::uint64_t>(get_u32(bytes, at + 4), bytes.size() - at);
    if (searched > most_searched_bytes) return true;  // a torn tail does not contain so many markers
  }
  return false;
}

void check_header(std::span<const std::byte> bytes, const std::string& name, const std::string& run_id, ShardId shard) {
  std::uint32_t version = get_u32(bytes, 8);
  if (version != journal_version) {
    user_error(
        "{}: journal of format version {}, this moemill reads version {}: resume with the moemill that began "
        "the run, or start over with --overwrite",
        name, version, journal_version);
  }
  const char* text = reinterpret_cast<const char*>(bytes.data() + 16);
  std::string found(text, strnlen(text, run_id_bytes));
  if (found != run_id || get_u32(bytes, 12) != static_cast<std::uint32_t>(shard.value)) {
    user_error(
        "{}: belongs to shard {} of run {}, expected shard {} of run {}: the directory mixes two runs; remove the "
        "file, or start over with --overwrite",
        name, get_u32(bytes, 12), found, shard.value, run_id);
  }
}

void store(JournalContents& contents, JournalRecord&& record) {
  if (auto* row = std::get_if<Completion>(&record)) contents.completions.push_back(std::move(*row));
  if (auto* score = std::get_if<PromptScore>(&record)) contents.scores.push_back(std::move(*score));
  if (auto* partial = std::get_if<PartialSample>(&record)) contents.partials.push_back(std::move(*partial));
}

}  // namespace

JournalExtent for_each_record(std::span<const std::byte> bytes, const std::string& name, const std::string& run_id,
                              ShardId shard, const VisitRecord& visit) {
  JournalExtent extent;
  extent.dropped_bytes = bytes.size();
  if (bytes.size() < header_bytes) return extent;  // killed before the header was whole
  if (std::memcmp(bytes.data(), magic.data(), magic.size()) != 0 ||
      crc32c(bytes.first(header_checked_bytes)) != get_u32(bytes, header_checked_bytes)) {
    extent.damage =
        fmt::format("{}: the header is damaged: all {} bytes are dropped and computed again", name, bytes.size());
    return extent;
  }
  check_header(bytes, name, run_id, shard);
  std::size_t at = header_bytes;
  while (at < bytes.size()) {
    auto payload = frame_at(bytes, at);
    if (!payload) break;
    auto record = decode(*payload);
    if (!record) break;
    const std::uint64_t size = frame_head_bytes + payload->size();
    visit(std::move(*record), {at, size});
    at += size;
  }
  extent.whole_bytes = at;
  extent.dropped_bytes = bytes.size() - at;
  if (at < bytes.size() && (frame_at(bytes, at) || whole_frame_behind(bytes, at))) {
    extent.damage = fmt::format(
        "{}: damaged at byte {}, with whole records behind it: the {} bytes from there on are "
        "dropped and their rows computed again",
        name, at, extent.dropped_bytes);
  }
  return extent;
}

JournalRecord read_record(const std::string& path, RecordPlace place) {
  const files::Descriptor file = files::open_to_read(path);
  std::vector<std::byte> bytes(place.bytes);
  files::seek(file.fd(), place.first_byte, path);
  bytes.resize(files::read_up_to(file.fd(), reinterpret_cast<char*>(bytes.data()), bytes.size(), path));
  if (const auto payload = frame_at(bytes, 0))
    if (auto record = decode(*payload)) return std::move(*record);
  system_error(
      "{}: the record of {} bytes at byte {} is not what it was when this job began: run the same command again", path,
      place.bytes, place.first_byte);
}

JournalContents parse_journal(std::span<const std::byte> bytes, const std::string& name, const std::string& run_id,
                              ShardId shard) {
  JournalContents contents;
  static_cast<JournalExtent&>(contents) = for_each_record(
      bytes, name, run_id, shard, [&](JournalRecord&& record, RecordPlace) { store(contents, std::move(record)); });
  keep_first(contents.completions);
  keep_first(contents.scores);
  keep_longest_unfinished(contents.partials, contents.completions,
                          [](const PartialSample& partial) { return partial.token_ids.size(); });
  return contents;
}

JournalContents read_journal(const std::string& path, const std::string& run_id, ShardId shard) {
  std::string bytes = files::read_text(path).value_or("");
  return parse_journal(std::as_bytes(std::span(bytes.data(), bytes.size())), path, run_id, shard);
}

JournalWriter::JournalWriter(std::string path, const std::string& run_id, ShardId shard, std::uint64_t whole_bytes)
    : path_(std::move(path)), file_(files::open_to_append(path_)) {
  expect(whole_bytes == 0 || whole_bytes >= header_bytes, "journal: continues after a whole header");
  if (whole_bytes > files::size_bytes(path_))
    system_error(
        "{}: is shorter than it was a moment ago: a process of the job before still works here; run the same "
        "command again",
        path_);
  files::truncate(file_.fd(), whole_bytes, path_);
  if (whole_bytes == 0) buffer_ = make_header(run_id, shard);
}

namespace {

template <class Row>
std::size_t begin_frame(const Row& row, std::vector<std::byte>& buffer) {
  std::size_t start = buffer.size();
  buffer.resize(start + frame_head_bytes);
  encode(row, buffer);
  return start;
}

}  // namespace

void JournalWriter::append(const Completion& row) { frame(begin_frame(row, buffer_)); }
void JournalWriter::append(const PromptScore& score) { frame(begin_frame(score, buffer_)); }
void JournalWriter::append(const PartialSample& partial) { frame(begin_frame(partial, buffer_)); }

// Fills in the head of the frame that begins at `start` of the buffer.
void JournalWriter::frame(std::size_t start) {
  std::span<const std::byte> payload = std::span(buffer_).subspan(start + frame_head_bytes);
  expect(payload.size() <= 0xffffffffu, "journal: a record's length fits 32 bits");
  std::memcpy(buffer_.data() + start, marker.data(), marker.size());
  put_u32(buffer_, start + 4, static_cast<std::uint32_t>(payload.size()));
  put_u32(buffer_, start + 8, crc32c(payload, crc32c(std::span(buffer_).subspan(start + 4, 4))));
  if (buffer_.size() >= write_buffer_bytes) write_buffer();
}

void JournalWriter::write_buffer() {
  expect(state_ == State::Open, "journal: written only while it is whole and open");
  state_ = State::Failed;  // a write that failed half way has left a torn frame, so nothing may follow it
  files::write_all(file_.fd(), buffer_, path_);
  state_ = State::Open;
  buffer_.clear();
  synced_ = false;
}

void JournalWriter::flush() {
  if (!buffer_.empty()) write_buffer();
  std::vector<std::byte>().swap(buffer_);  // a rank may keep many open journals with few rows each
  if (synced_) return;
  files::sync(file_.fd(), path_);
  if (!folder_synced_) files::sync_folder(files::parent_folder(path_));
  synced_ = folder_synced_ = true;
}

void JournalWriter::close() {
  flush();
  file_.close(path_);
  state_ = State::Closed;
}

}  // namespace moemill::dataset
