// The index of a journal agrees with the journal's rows: what is missing, what may be continued, and where it lies.
#include "dataset/journal/index.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include "base/error.hpp"
#include "base/numbers/random.hpp"
#include "rows_for_tests.hpp"
#include "scratch.hpp"

namespace moemill::dataset {
namespace {

constexpr ShardId indexed_shard{3};
const std::string indexed_run = "00112233445566778899aabbccddeeff";

PartialSample partial_of(std::uint64_t prompt, std::uint32_t sample, std::uint32_t tokens) {
  PartialSample partial{prompt, sample, {}, {}, {}, {}};
  for (std::uint32_t t = 0; t < tokens; ++t) {
    partial.token_ids.push_back(static_cast<TokenId>(prompt + t));
    partial.logprobs.push_back(-0.25f);
  }
  return partial;
}

JournalIndex index_of(const std::string& path) { return index_journal(path, indexed_run, indexed_shard); }

void check_same_extent(const JournalExtent& a, const JournalExtent& b) {
  CHECK(a.whole_bytes == b.whole_bytes);
  CHECK(a.dropped_bytes == b.dropped_bytes);
  CHECK(a.damage == b.damage);
}

void check_same(const JournalIndex& index, const JournalContents& contents, const std::string& path) {
  check_same_extent(index, contents);
  REQUIRE(index.rows.size() == contents.completions.size());
  for (std::size_t i = 0; i < index.rows.size(); ++i) {
    CHECK(index.rows[i].prompt_index == contents.completions[i].prompt_index);
    CHECK(index.rows[i].sample_index == contents.completions[i].sample_index);
    CHECK(index.rows[i].status == contents.completions[i].status);
  }
  REQUIRE(index.scored_prompts.size() == contents.scores.size());
  for (std::size_t i = 0; i < index.scored_prompts.size(); ++i)
    CHECK(index.scored_prompts[i] == contents.scores[i].prompt_index);
  REQUIRE(index.partials.size() == contents.partials.size());
  for (std::size_t i = 0; i < index.partials.size(); ++i) {
    const auto found = std::get<PartialSample>(read_record(path, index.partials[i].place));
    CHECK(found.prompt_index == contents.partials[i].prompt_index);
    CHECK(found.sample_index == contents.partials[i].sample_index);
    CHECK(found.token_ids == contents.partials[i].token_ids);
    CHECK(index.partials[i].tokens == found.token_ids.size());
  }
}

}  // namespace

TEST_CASE("the index of a journal: an absent file has nothing") {
  Scratch scratch;
  const JournalIndex index = index_of(scratch.path("absent"));
  CHECK(index.whole_bytes == 0);
  CHECK(index.rows.empty());
  CHECK(index.missing_samples(4, 3) == std::vector<std::uint32_t>{0, 1, 2});
  CHECK_FALSE(index.has_score(4));
  CHECK(index.partials_of(4).empty());
}

TEST_CASE("the index of a journal: missing samples, scores and partial samples of a prompt") {
  Scratch scratch;
  const std::string path = scratch.path("j");
  JournalWriter journal(path, indexed_run, indexed_shard, 0);
  journal.append(ok_row(9, 2, 4));
  journal.append(partial_of(7, 1, 2));
  journal.append(PromptScore{7, {-1.0f}});
  journal.append(partial_of(7, 1, 5));  // a later attempt got further
  journal.append(partial_of(7, 1, 3));
  journal.append(partial_of(7, 0, 3));
  journal.append(failed_row(9, 0, std::int64_t{9}, {ErrorCode::Internal, "none"}));
  journal.append(ok_row(7, 0, 9));  // ends the partial sample before it
  journal.append(PromptScore{7, {-1.0f}});
  journal.append(ok_row(9, 2, 4));
  journal.close();
  const JournalIndex index = index_of(path);
  CHECK(index.missing_samples(7, 3) == std::vector<std::uint32_t>{1, 2});
  CHECK(index.missing_samples(8, 2) == std::vector<std::uint32_t>{0, 1});
  CHECK(index.missing_samples(9, 4) == std::vector<std::uint32_t>{1, 3});
  CHECK(index.missing_samples(9, 0).empty());
  CHECK(index.rows.size() == 3);
  REQUIRE(index.rows_of(9).size() == 2);
  CHECK(index.rows_of(9)[0].status == RowStatus::Failed);
  CHECK(index.rows_of(9)[1].status == RowStatus::Ok);
  CHECK(index.scored_prompts == std::vector<std::uint64_t>{7});
  CHECK(index.has_score(7));
  CHECK_FALSE(index.has_score(9));
  REQUIRE(index.partials_of(7).size() == 1);
  CHECK(index.partials_of(7)[0].sample_index == 1);
  CHECK(std::get<PartialSample>(read_record(path, index.partials_of(7)[0].place)).token_ids.size() == 5);
  CHECK(index.partials_of(9).empty());
}

TEST_CASE("the index of a journal has what the journal has, for random records and wherever a kill cuts it") {
  Scratch scratch;
  const std::string path = scratch.path("j");
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    std::uint64_t counter = 0;
    auto draw = [&](std::uint32_t below) { return philox(seed, counter++)[0] % below; };
    std::filesystem::remove(path);
    JournalWriter journal(path, indexed_run, indexed_shard, 0);
    for (std::uint32_t left = draw(60); left > 0; --left) {
      const std::uint64_t prompt = draw(6);
      const std::uint32_t sample = draw(4), kind = draw(3), tokens = draw(9);
      if (kind == 0) journal.append(ok_row(prompt, sample, tokens));
      if (kind == 1) journal.append(PromptScore{prompt, {-1.0f}});
      if (kind == 2) journal.append(partial_of(prompt, sample, tokens));
    }
    journal.close();
    for (int cut = 0; cut < 4; ++cut) {
      const std::uintmax_t bytes = std::filesystem::file_size(path);
      check_same(index_of(path), read_journal(path, indexed_run, indexed_shard), path);
      std::filesystem::resize_file(path, bytes - std::min<std::uintmax_t>(bytes, draw(200)));
    }
  }
}

TEST_CASE("the index of a journal: a record that has changed since is refused") {
  Scratch scratch;
  const std::string path = scratch.path("j");
  JournalWriter journal(path, indexed_run, indexed_shard, 0);
  journal.append(partial_of(7, 1, 5));
  journal.close();
  const RecordPlace place = index_of(path).partials.at(0).place;
  CHECK_NOTHROW(read_record(path, place));
  std::filesystem::resize_file(path, place.first_byte + place.bytes - 1);
  CHECK_THROWS_WITH_AS(read_record(path, place), doctest::Contains("run the same command again"), SystemError);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(-8, std::ios::end) << "x";
  CHECK_THROWS_AS(read_record(path, place), SystemError);
}

}  // namespace moemill::dataset
