#include "dataset/checks/verify.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.hpp"
#include "base/text/utf8.hpp"
#include "dataset/checks/expected_rows.hpp"
#include "dataset/compare.hpp"
#include "dataset/journal/journal.hpp"
#include "dataset/outputs/outputs.hpp"
#include "dataset/seal.hpp"

namespace moemill::dataset {
namespace {

template <class T>
bool same_block(const PromptBlock<T>& a, const PromptBlock<T>& b) {
  return a.counts == b.counts && a.values.size() == b.values.size() &&
         (a.values.empty() || std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(T)) == 0);
}

class Verification {
 public:
  Verification(const VerifyRequest& request, const PromptFile& prompts, RunManifest manifest)
      : request_(request), prompts_(prompts), paths_{request.dir}, manifest_(std::move(manifest)) {}

  VerifyReport run() {
    if (auto broken = broken_checksum_line(files::read_text(paths_.config()).value_or("")))
      fault("{}: {}", paths_.config(), *broken);
    if (manifest_.prompts != prompts_.size()) {
      fault("{}: the run has {} prompts, the input {}: another input or limit", paths_.manifest(), manifest_.prompts,
            prompts_.size());
      return std::move(report_);
    }
    bool merged = files::exists(paths_.outputs());
    if (!merged && manifest_.shards_removed) {
      fault("{}: is missing, and the run's shards were removed when it was whole: restore it from a copy",
            paths_.outputs());
      return std::move(report_);
    }
    outputs_whole_ = merged && is_whole(paths_.outputs());
    RunListing listing = list_run(paths_);
    if (!merged) report_.rows_unfinished = rows_unfinished(listing);
    if (outputs_whole_) guarded(paths_.outputs(), [&] { check_file(paths_.outputs(), {0, manifest_.prompts}); });
    if (merged && request_.depth == VerifyDepth::Form) return std::move(report_);
    const std::uint64_t merged_rows = report_.rows_checked;
    check_shards(listing, merged);
    if (outputs_whole_) report_.rows_checked = merged_rows;  // the same rows once more
    if (!merged) {
      bool whole = listing.finished.size() == manifest_.shard_count();
      if (whole && request_.merge) fault("{}: is missing", paths_.outputs());
      for (ShardId shard : listing.journals) check_journal(shard);
    }
    return std::move(report_);
  }

 private:
  template <class... Args>
  void fault(fmt::format_string<Args...> text, Args&&... args) {
    if (report_.faults.size() < most_faults) report_.faults.push_back(fmt::format(text, std::forward<Args>(args)...));
    if (report_.faults.size() == most_faults) report_.faults.push_back("... and maybe more: only the first are listed");
  }
  bool full() const { return report_.faults.size() > most_faults; }

  // Records a file that cannot be read as a fault and continues.
  template <class Body>
  void guarded(const std::string& path, Body&& body) {
    try {
      body();
    } catch (const SystemError& error) {
      fault("{}: cannot be read: {}", path, error.what());
    }
  }

  void check_shards(const RunListing& listing, bool merged) {
    auto next = listing.finished.begin();
    for (std::uint32_t i = 0; i < manifest_.shard_count() && !full();) {
      const auto there =
          next == listing.finished.end() ? manifest_.shard_count() : static_cast<std::uint32_t>(next->value);
      if (i < there) {
        pass_over_missing(i, std::min(there, manifest_.shard_count()), merged);
        i = there;
        continue;
      }
      check_shard(*next++, merged);
      i++;
    }
    for (ShardId shard : listing.finished)
      if (static_cast<std::uint32_t>(shard.value) >= manifest_.shard_count())
        fault("{}: the run has only {} shards", paths_.shard(shard), manifest_.shard_count());
  }

  void check_shard(ShardId shard, bool merged) {
    const std::string path = paths_.shard(shard);
    const ShardRange range = manifest_.range_of(shard);
    guarded(path, [&] {
      if (!is_whole(path)) return pass_over(range);
      check_file(path, range);
      if (!merged || full()) return;
      outputs_whole_ ? compare_with_outputs(path, range) : pass_over(range);
    });
  }

  void pass_over_missing(std::uint32_t first, std::uint32_t end, bool merged) {
    const auto path = [&](std::uint32_t shard) { return paths_.shard({static_cast<std::int32_t>(shard)}); };
    if (!merged && end - first == 1) fault("{}: is missing: its rows are not finished", path(first));
    if (!merged && end - first > 1)
      fault("{} to {}: these {} shards are missing: their rows are not finished", path(first), path(end - 1),
            end - first);
    for (std::uint32_t i = first; i < end; i++) pass_over(manifest_.range_of({static_cast<std::int32_t>(i)}));
  }

  // Whether every byte is as it was written. HDF5 must not open a file with changed bytes: it may crash.
  bool is_whole(const std::string& path) {
    bool whole = false;
    guarded(path, [&] {
      if (const auto broken = broken_seal(path, [] {}))
        return fault("{}: {}; {}", path, *broken,
                     manifest_.shards_removed
                         ? "restore it from a copy: the run's shards were removed when it was whole, so its rows are "
                           "nowhere else; --overwrite makes all of them again"
                         : "remove it, and the same run command makes it again");
      whole = true;
    });
    (whole ? report_.whole_files : report_.broken_files).push_back(path);
    return whole;
  }

  std::uint64_t rows_of(ShardRange range) const {
    constexpr std::uint64_t block = 4096;
    std::uint64_t rows = 0;
    for (std::uint64_t done = 0; done < range.count; done += block) {
      const std::uint64_t prompts = std::min(block, range.count - done);
      for (std::uint32_t n : prompts_.read_sample_counts(range.first + done, prompts, request_.defaults)) rows += n;
    }
    return rows;
  }

  std::uint64_t rows_unfinished(const RunListing& listing) const {
    std::uint64_t rows = 0;
    for (ShardId shard{0}; shard.value < static_cast<std::int32_t>(manifest_.shard_count()); shard.value++)
      if (!std::binary_search(listing.finished.begin(), listing.finished.end(), shard))
        rows += rows_of(manifest_.range_of(shard));
    return rows;
  }

  // Skips the rows of a missing shard in outputs.h5.
  void pass_over(ShardRange range) {
    compared_rows_ += rows_of(range);
    compared_prompts_ += range.count;
  }

  void check_journal(ShardId shard) {
    JournalContents journal = read_journal(paths_.journal(shard), manifest_.run_id, shard);
    if (journal.damage) fault("{}", *journal.damage);
  }

  void check_attributes(const OutputReader& file) {
    // Whether the attribute may have this value because the shard was kept when the run was changed.
    auto was = [&](const char* name, const std::string& value) {
      return std::any_of(manifest_.history.begin(), manifest_.history.end(), [&](const RunChange& change) {
        const auto both = change.values.find(name);
        return both != change.values.end() && both->second.first == value;
      });
    };
    auto same = [&](const char* name, const std::string& expected) {
      if (std::string found = file.text_attribute(name); found != expected && !was(name, found))
        fault("{}: root attribute '{}' is '{}', the run says '{}'", file.path(), name, found, expected);
    };
    same("run_id", manifest_.run_id);
    for (const char* name : {"input_sha256", "input_columns", "model_sha256", "tokenizer_sha256", "arithmetic"}) {
      if (auto known = manifest_.fingerprints.find(name); known != manifest_.fingerprints.end())
        same(name, known->second);
    }
  }

  // One file with the rows of a range of prompts: a shard, or outputs.h5.
  void check_file(const std::string& path, ShardRange range) {
    std::vector<std::string> faults = check_form(path);
    for (const std::string& found : faults) fault("{}: {}", path, found);
    if (!faults.empty()) return;
    OutputReader file(path);
    check_attributes(file);
    ExpectedRows expected(prompts_, range, request_.defaults);
    std::vector<Failure> failures;
    for (std::uint64_t first = 0; first < file.rows() && !full();) {
      std::uint64_t end = file.block_end(first);
      if (check_block(file, first, file.read(first, end - first), expected, failures) == InStep::No) return;
      first = end;
    }
    if (full()) return;
    if (auto missing = expected.next())
      fault("{}: ends before prompt {} sample {}", path, missing->prompt, missing->sample);
    check_errors(file, failures);
    for_each_field(prompt_fields, [&](const auto& field) { check_prompts(file, field, range); });
    check_carried(file, range);
  }

  using Failure = std::pair<std::uint64_t, std::uint32_t>;

  enum class InStep { No, Yes };

  InStep check_block(const OutputReader& file, std::uint64_t first, const std::vector<Completion>& rows,
                     ExpectedRows& expected, std::vector<Failure>& failures) {
    for (std::uint64_t i = 0; i < rows.size() && !full(); i++) {
      const Completion& row = rows[i];
      report_.rows_checked++;
      ExpectedRows::Row found{row.prompt_index, row.sample_index, row.id};
      auto wanted = expected.next();
      if (!wanted || !(*wanted == found)) {
        fault("{}: row {} is prompt {} sample {} with id '{}', expected {}", file.path(), first + i, found.prompt,
              found.sample, to_text(row.id),
              wanted
                  ? fmt::format("prompt {} sample {} with id '{}'", wanted->prompt, wanted->sample, to_text(wanted->id))
                  : "no more rows");
        return InStep::No;  // all later rows would be reported too
      }
      check_row(file, first + i, row);
      if (row.status == RowStatus::Failed) failures.emplace_back(found.prompt, found.sample);
      if (request_.depth == VerifyDepth::Deep) check_values(file, first + i, row);
    }
    return InStep::Yes;
  }

  void check_row(const OutputReader& file, std::uint64_t index, const Completion& row) {
    const FinishReason reason = row.finish_reason;
    bool ok = row.status == RowStatus::Ok && reason != FinishReason::None && reason < FinishReason::Error;
    bool failed = row.status == RowStatus::Failed && reason == FinishReason::Error;
    bool skipped = row.status == RowStatus::Skipped && reason == FinishReason::None;
    if (!ok && !failed && !skipped)
      fault("{}: row {} has status {} with finish_reason {}", file.path(), index, static_cast<int>(row.status),
            static_cast<int>(reason));
    const OutputLayout& layout = file.layout();
    const std::size_t tokens = layout.token_ids ? row.token_ids.size() : row.logprobs.size();
    if ((layout.token_ids || layout.logprobs) && tokens != row.num_completion_tokens)
      fault("{}: row {} has {} tokens, but num_completion_tokens says {}", file.path(), index, tokens,
            row.num_completion_tokens);
  }

  void check_values(const OutputReader& file, std::uint64_t index, const Completion& row) {
    if (auto bad = first_bad_utf8(row.text))
      fault("{}: the text of row {} is not UTF-8 at byte {}", file.path(), index, *bad);
    if (file.layout().stop_reason) check_stop_reason(file, index, row);
    for (TokenId token : row.token_ids) check_token(file, index, token);
    if (!file.layout().token_ids) return;
    for (std::size_t i = 0; i < row.top_ids.size(); i++)
      if (row.top_ids[i] != -1 || !std::isnan(row.top_values[i])) check_token(file, index, row.top_ids[i]);
  }

  // A stop token is stored in decimal, a stop string as it is; rows with any other finish reason have none.
  void check_stop_reason(const OutputReader& file, std::uint64_t index, const Completion& row) {
    const FinishReason finish = row.finish_reason;
    bool fits = row.stop_reason.empty() != (finish == FinishReason::Stop || finish == FinishReason::StopString);
    if (finish == FinishReason::Stop && !row.token_ids.empty())
      fits = row.stop_reason == std::to_string(row.token_ids.back());
    if (!fits || first_bad_utf8(row.stop_reason))
      fault("{}: row {} has stop_reason '{}' with finish_reason {}", file.path(), index, row.stop_reason,
            static_cast<int>(finish));
  }

  bool is_token(TokenId token) const {
    return token >= 0 && (!request_.vocabulary || static_cast<std::uint32_t>(token) < *request_.vocabulary);
  }

  void check_token(const OutputReader& file, std::uint64_t row, TokenId token) {
    if (!is_token(token)) fault("{}: row {} has token {}, outside of the vocabulary", file.path(), row, token);
  }

  void check_errors(const OutputReader& file, const std::vector<Failure>& failures) {
    constexpr std::uint64_t block_rows = 4096;
    std::vector<Failure> listed;
    for (std::uint64_t first = 0; first < file.errors(); first += block_rows) {
      ErrorBlock block = file.read_errors(first, std::min(block_rows, file.errors() - first));
      for (std::size_t i = 0; i < block.code.size(); i++) {
        listed.emplace_back(block.prompt_index[i], block.sample_index[i]);
        if (!parse_error_code(block.code[i]))
          fault("{}: /errors row {} has code '{}'", file.path(), first + i, block.code[i]);
      }
    }
    if (listed != failures) fault("{}: /errors does not list exactly the failed rows", file.path());
  }

  template <class T>
  void check_prompts(const OutputReader& file, const PromptField<T>& field, ShardRange range) {
    if (!(file.layout().*field.flag)) return;
    const std::uint64_t prompts = file.prompts(field);
    if (prompts != range.count)
      return fault("{}: /{} has {} prompts, expected {}", file.path(), field.group, prompts, range.count);
    for (std::uint64_t first = 0; first < prompts && !full();) {
      const std::uint64_t end = file.block_end(field, first);
      check_values(file, first, file.read(field, first, end - first));
      first = end;
    }
  }

  void check_values(const OutputReader& file, std::uint64_t first, const PromptBlock<float>& scores) {
    std::uint64_t at = 0;
    for (std::uint64_t i = 0; i < scores.counts.size(); at += scores.counts[i++])
      if (scores.counts[i] > 0 && !std::isnan(scores.values[at]))
        fault("{}: /prompt_logprobs row {} does not begin with NaN", file.path(), first + i);
  }

  void check_values(const OutputReader& file, std::uint64_t, const PromptBlock<TokenId>& tokens) {
    if (request_.depth != VerifyDepth::Deep) return;
    for (TokenId token : tokens.values)
      if (!is_token(token)) fault("{}: /prompt_token_ids has {}, outside of the vocabulary", file.path(), token);
  }

  void check_carried(const OutputReader& file, ShardRange range) {
    std::vector<std::string> names = file.carried_names();
    for (const CarriedColumn& column : prompts_.carried()) {
      if (std::find(names.begin(), names.end(), column.name) == names.end()) {
        fault("{}: dataset '/carry/{}' is missing", file.path(), column.name);
        continue;
      }
      h5::Handle copy = file.open_carried(column.name);
      std::vector<hsize_t> shape = h5::shape(copy);
      if (shape.empty() || shape[0] != range.count) {
        fault("{}: dataset '/carry/{}' has not one row for each of the {} prompts", file.path(), column.name,
              range.count);
      } else if (request_.depth == VerifyDepth::Deep) {
        auto difference = differ(prompts_.carried_dataset(column.name), range.first, range.count, copy, 0);
        if (difference) fault("{}: dataset '/carry/{}': {} from the input", file.path(), column.name, *difference);
      }
    }
  }

  void compare_with_outputs(const std::string& path, ShardRange range);
  void compare_rows(const OutputReader& shard, const OutputReader& outputs);
  template <class T>
  void compare_prompts(const PromptField<T>& field, const OutputReader& shard, const OutputReader& outputs);

  const VerifyRequest& request_;
  const PromptFile& prompts_;
  RunPaths paths_;
  RunManifest manifest_;
  VerifyReport report_;
  bool outputs_whole_ = false;
  std::optional<OutputReader> merged_;
  std::uint64_t compared_rows_ = 0, compared_prompts_ = 0;  // of outputs.h5
};

// Shards come in order; each is compared with the next rows of outputs.h5.
void Verification::compare_with_outputs(const std::string& path, ShardRange range) {
  OutputReader shard(path);
  if (!merged_) merged_.emplace(paths_.outputs());  // once: its form is checked as a whole
  compare_rows(shard, *merged_);
  for_each_field(prompt_fields, [&](const auto& field) { compare_prompts(field, shard, *merged_); });
  compared_rows_ += shard.rows();
  compared_prompts_ += range.count;
}

void Verification::compare_rows(const OutputReader& shard, const OutputReader& outputs) {
  if (compared_rows_ + shard.rows() > outputs.rows())
    return fault("{}: has rows that {} has not", shard.path(), outputs.path());
  for (std::uint64_t first = 0; first < shard.rows();) {
    const std::uint64_t end = shard.block_end(first);
    const auto mine = shard.read(first, end - first), merged = outputs.read(compared_rows_ + first, end - first);
    const bool same = std::equal(
        mine.begin(), mine.end(), merged.begin(),
        [&](const Completion& a, const Completion& b) { return differing_columns(a, b, shard.layout()).empty(); });
    if (!same || shard.layout() != outputs.layout())
      fault("{}: rows {} to {} differ from those of {}", shard.path(), first, end - 1, outputs.path());
    first = end;
  }
}

template <class T>
void Verification::compare_prompts(const PromptField<T>& field, const OutputReader& shard,
                                   const OutputReader& outputs) {
  const std::uint64_t prompts = shard.prompts(field);
  if (prompts > 0 && compared_prompts_ + prompts > outputs.prompts(field))
    return fault("{}: has prompts in /{} that {} has not", shard.path(), field.group, outputs.path());
  for (std::uint64_t first = 0; first < prompts;) {
    const std::uint64_t end = shard.block_end(field, first);
    if (!same_block(shard.read(field, first, end - first), outputs.read(field, compared_prompts_ + first, end - first)))
      fault("{}: /{} rows {} to {} differ from those of {}", shard.path(), field.group, first, end - 1, outputs.path());
    first = end;
  }
}

}  // namespace

VerifyReport verify_run(const VerifyRequest& request, const PromptFile& prompts) {
  auto manifest = read_manifest(RunPaths{request.dir});
  if (!manifest) user_error("{}: holds no run (there is no {})", request.dir, RunPaths{request.dir}.manifest());
  return Verification(request, prompts, *manifest).run();
}

}  // namespace moemill::dataset
