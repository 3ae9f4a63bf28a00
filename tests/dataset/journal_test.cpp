// The journal: records are read back as they were written, whatever a kill leaves at its end and whatever bytes change.
#include "dataset/journal/journal.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <csignal>
#include <fstream>
#include <random>

#include "dataset/journal/records.hpp"
#include "rows_for_tests.hpp"
#include "scratch.hpp"

namespace moemill::dataset {
namespace {

constexpr ShardId shard{3};
const std::string run_id = "00112233445566778899aabbccddeeff";

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

JournalContents parse(const std::string& bytes) { return parse_journal(bytes_of(bytes), "journal", run_id, shard); }

struct Sample {
  std::vector<Completion> rows = {ok_row(7, 0, 3), failed_row(8, 0, std::int64_t{8}, {ErrorCode::TooLong, "too long"}),
                                  ok_row(9, 1, 0)};
  PromptScore score{7, {std::nanf(""), -1.5f}};
  PartialSample partial{10, 2, {5, 6}, {-0.25f, -0.5f}, {}, {}};
};

// A journal of five records, and the byte at which each of them ends.
std::string write_sample(const std::string& path, std::vector<std::size_t>& ends) {
  Sample sample;
  JournalWriter journal(path, run_id, shard, 0);
  auto done = [&] {
    journal.flush();
    ends.push_back(files::size_bytes(path));
  };
  journal.append(sample.score), done();
  for (const Completion& row : sample.rows) journal.append(row), done();
  journal.append(sample.partial), done();
  journal.close();
  return *files::read_text(path);
}

TEST_CASE("what goes in comes out, bit for bit") {
  Scratch scratch;
  std::vector<std::size_t> ends;
  std::string path = scratch.path("j");
  write_sample(path, ends);
  JournalContents contents = read_journal(path, run_id, shard);
  Sample sample;
  CHECK_FALSE(contents.damage);
  CHECK(contents.dropped_bytes == 0);
  CHECK(contents.whole_bytes == ends.back());
  REQUIRE(contents.completions.size() == 3);
  for (std::size_t i = 0; i < 3; i++) CHECK(same_row(contents.completions[i], sample.rows[i]));
  REQUIRE(contents.scores.size() == 1);
  CHECK(contents.scores[0].prompt_index == 7);
  CHECK(std::isnan(contents.scores[0].logprobs[0]));
  CHECK(contents.scores[0].logprobs[1] == -1.5f);
  REQUIRE(contents.partials.size() == 1);
  CHECK(contents.partials[0].token_ids == sample.partial.token_ids);
  CHECK(contents.partials[0].logprobs == sample.partial.logprobs);
}

TEST_CASE("a completion of an older moemill is read, without what ended it") {
  for (Completion row : {ok_row(7, 0, 2), failed_row(8, 0, std::int64_t{8}, {ErrorCode::TooLong, "too long"})}) {
    std::vector<std::byte> payload;
    encode(row, payload);
    const std::size_t tail = row.error ? 1 + 1 + 4 + row.error->message.size() : 1;
    payload.erase(payload.end() - static_cast<std::ptrdiff_t>(tail + 4),
                  payload.end() - static_cast<std::ptrdiff_t>(tail));
    CHECK_FALSE(decode(payload));
    payload[0] = std::byte{1};
    const auto record = decode(payload);
    REQUIRE(record);
    CHECK(same_row(std::get<Completion>(*record), row));
  }
}

TEST_CASE("cut at every byte: the whole records before the cut remain") {
  Scratch scratch;
  std::vector<std::size_t> ends;
  std::string whole = write_sample(scratch.path("j"), ends);
  for (std::size_t size = 0; size <= whole.size(); size++) {
    JournalContents contents = parse(whole.substr(0, size));
    auto records = static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), size) - ends.begin());
    CAPTURE(size);
    REQUIRE(contents.scores.size() + contents.completions.size() + contents.partials.size() == records);
    REQUIRE_FALSE(contents.damage);
    REQUIRE(contents.whole_bytes == (records > 0 ? ends[records - 1] : size < 64 ? 0 : 64));
    REQUIRE(contents.whole_bytes + contents.dropped_bytes == size);
  }
}

TEST_CASE("a cut journal continues after its last whole record") {
  Scratch scratch;
  std::vector<std::size_t> ends;
  std::string whole = write_sample(scratch.path("j"), ends);
  for (std::size_t size = 0; size <= whole.size(); size += 7) {
    std::string path = scratch.path("cut");
    std::ofstream(path, std::ios::binary) << whole.substr(0, size);
    std::size_t before = read_journal(path, run_id, shard).completions.size();
    {
      JournalWriter journal(path, run_id, shard, read_journal(path, run_id, shard).whole_bytes);
      journal.append(ok_row(50, 0, 9));
      journal.close();
    }
    JournalContents contents = read_journal(path, run_id, shard);
    CAPTURE(size);
    REQUIRE(contents.completions.size() == before + 1);
    REQUIRE(same_row(contents.completions.back(), ok_row(50, 0, 9)));
    REQUIRE(contents.dropped_bytes == 0);
  }
}

TEST_CASE("every flipped bit is noticed: no row comes out changed") {
  Scratch scratch;
  std::vector<std::size_t> ends;
  const std::string whole = write_sample(scratch.path("j"), ends);
  JournalContents right = parse(whole);
  std::size_t last_start = ends[ends.size() - 2];
  for (std::size_t bit = 0; bit < whole.size() * 8; bit++) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    JournalContents contents = parse(bytes);
    CAPTURE(bit);
    std::size_t at = bit / 8;
    // Damage in the last record looks like a torn tail; before that, whole records follow and it is reported.
    REQUIRE(contents.damage.has_value() == (at < last_start));
    REQUIRE(contents.dropped_bytes > 0);
    REQUIRE(contents.whole_bytes <= at);
    REQUIRE(contents.completions.size() < 4);
    for (std::size_t i = 0; i < contents.completions.size(); i++)
      REQUIRE(same_row(contents.completions[i], right.completions[i]));
  }
}

TEST_CASE("damage in the middle is named and everything from there on dropped") {
  Scratch scratch;
  std::vector<std::size_t> ends;
  std::string bytes = write_sample(scratch.path("j"), ends);
  bytes[ends[1] + 20] ^= 1;  // in the second completion
  JournalContents contents = parse(bytes);
  REQUIRE(contents.damage);
  CHECK_CONTAINS(*contents.damage, fmt::format("byte {}", ends[1]));
  CHECK(contents.completions.size() == 1);
  CHECK(contents.partials.empty());
  CHECK(contents.whole_bytes == ends[1]);
  std::string zeros = *files::read_text(scratch.path("j")) + std::string(4096, '\0');  // what a lost machine may leave
  CHECK_FALSE(parse(zeros).damage);
  CHECK(parse(zeros).completions.size() == 3);
}

TEST_CASE("the first of doubled rows stays, the longest of partials, none of finished samples") {
  Scratch scratch;
  std::string path = scratch.path("j");
  JournalWriter journal(path, run_id, shard, 0);
  journal.append(PartialSample{2, 0, {1, 2, 3}, {}, {}, {}});
  journal.append(PartialSample{2, 0, {1, 2, 3, 4}, {}, {}, {}});
  journal.append(PartialSample{1, 0, {1}, {}, {}, {}});
  journal.append(ok_row(4, 1, 5));
  journal.append(ok_row(4, 0, 2));
  journal.append(ok_row(1, 0, 3));
  journal.append(ok_row(4, 1, 8));
  journal.append(PromptScore{4, {1.0f}});
  journal.append(PromptScore{4, {2.0f}});
  journal.close();
  JournalContents contents = read_journal(path, run_id, shard);
  REQUIRE(contents.completions.size() == 3);
  CHECK(contents.completions[0].prompt_index == 1);
  CHECK(same_row(contents.completions[2], ok_row(4, 1, 5)));
  REQUIRE(contents.partials.size() == 1);
  CHECK(contents.partials[0].token_ids.size() == 4);
  REQUIRE(contents.scores.size() == 1);
  CHECK(contents.scores[0].logprobs[0] == 1.0f);
}

TEST_CASE("journals of others are refused") {
  Scratch scratch;
  std::vector<std::size_t> ends;
  std::string whole = write_sample(scratch.path("j"), ends);
  auto refuse = [&](const std::string& id, ShardId other) {
    return message_of<UserError>([&] { parse_journal(bytes_of(whole), "journal", id, other); });
  };
  CHECK_CONTAINS(refuse("another", shard), "belongs to shard 3 of run " + run_id);
  CHECK_CONTAINS(refuse(run_id, ShardId{4}), "expected shard 4");
  CHECK(read_journal(scratch.path("absent"), run_id, shard).whole_bytes == 0);
}

TEST_CASE("noise is never a row") {
  std::mt19937_64 random(11);
  Scratch scratch;
  std::vector<std::size_t> ends;
  std::string head = write_sample(scratch.path("j"), ends).substr(0, 64);
  for (int round = 0; round < 2000; round++) {
    std::string bytes = head;
    for (std::size_t i = random() % 300; i > 0; i--) bytes += static_cast<char>(random());
    JournalContents contents = parse(bytes);
    REQUIRE(contents.completions.empty());
    REQUIRE(contents.whole_bytes == 64);
  }
}

TEST_CASE("a full disk is a SystemError, and what was flushed stays") {
  Scratch scratch;
  std::string path = scratch.path("j");
  struct rlimit before {};
  getrlimit(RLIMIT_FSIZE, &before);
  auto old = std::signal(SIGXFSZ, SIG_IGN);
  {
    JournalWriter journal(path, run_id, shard, 0);
    journal.append(ok_row(0, 0, 10));
    journal.flush();
    struct rlimit small = before;
    small.rlim_cur = files::size_bytes(path) + 1000;
    setrlimit(RLIMIT_FSIZE, &small);
    journal.append(ok_row(1, 0, 2000));
    std::string text = message_of<SystemError>([&] { journal.flush(); });
    CHECK_CONTAINS(text, path);
    // Nothing may be written after a torn record.
    setrlimit(RLIMIT_FSIZE, &before);
    journal.append(ok_row(2, 0, 10));
    CHECK_THROWS_AS(journal.flush(), ContractViolation);
  }
  std::signal(SIGXFSZ, old);
  JournalContents contents = read_journal(path, run_id, shard);
  REQUIRE(contents.completions.size() == 1);
  CHECK(contents.dropped_bytes == 1000);
  CHECK_FALSE(contents.damage);
}

TEST_CASE("a folder that is not there") {
  CHECK_THROWS_AS(JournalWriter("/nonexistent/folder/j", run_id, shard, 0), SystemError);
}

}  // namespace
}  // namespace moemill::dataset
