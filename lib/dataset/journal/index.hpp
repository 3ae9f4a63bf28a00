// What a shard's journal has, and where, without the rows themselves. It tells the keeper of a shard and the estimate
// of a job which samples are missing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataset/journal/journal.hpp"

namespace moemill::dataset {

struct JournalIndex : JournalExtent {
  struct Row {
    std::uint64_t prompt_index = 0;
    std::uint32_t sample_index = 0;
    RowStatus status = RowStatus::Pending;
  };
  struct Partial {
    std::uint64_t prompt_index = 0;
    std::uint32_t sample_index = 0;
    std::size_t tokens = 0;
    RecordPlace place = {};
  };
  // Sorted and each at most once, as in JournalContents.
  std::vector<Row> rows;
  std::vector<std::uint64_t> scored_prompts;
  std::vector<Partial> partials;

  // The samples of a prompt with n samples that have no row.
  std::vector<std::uint32_t> missing_samples(std::uint64_t prompt_index, std::uint32_t n) const;
  std::span<const Row> rows_of(std::uint64_t prompt_index) const;
  std::span<const Partial> partials_of(std::uint64_t prompt_index) const;
  bool has_score(std::uint64_t prompt_index) const;
};

// The same rules and errors as read_journal().
JournalIndex index_journal(const std::string& path, const std::string& run_id, ShardId shard);

}  // namespace moemill::dataset
