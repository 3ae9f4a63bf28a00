#include "dataset/checks/verify.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "base/text/utf8.hpp"
#include "dataset/checks/expected_rows.hpp"
#include "dataset/compare.hpp"
#include "dataset/journal/journal.hpp"
#include "dataset/outputs/outputs.hpp"
#include "dataset/seal.hpp"

namespace moemill::dataset {
namespace {

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

  // A file that cannot be read is a fault, not the end.
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

  // Whether every byte is as it was written. HDF5 is not to be trusted with a file that is not: it may crash.
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

  // The place in outputs.h5 behind a shard that is not there.
  void pass_over(ShardRange range) {
    compared_rows_ += rows_of(range);
    compared_scores_ += range.count;
  }

  void check_journal(ShardId shard) {
    JournalContents journal = read_journal(paths_.journal(shard), manifest_.run_id, shard);
    if (journal.damage) fault("{}", *journal.damage);
  }

  void check_attributes(const OutputReader& file) {
    auto was = [&](const char* name, const std::string& value) {  // of a shard that stayed when the run was changed
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
    for (const char* name : {"input_sha256", "input_columns", "model_sha256", "tokenizer_sha256"}) {
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
    check_scores(file, range);
    check_prompt_tokens(file, range);
    check_carried(file, range);
  }

  using Failure = std::pair<std::uint64_t, std::uint32_t>;

  enum class InStep { No, Yes };

  InStep check_block(const OutputReader& file, std::uint64_t first, const OutputBlock& block, ExpectedRows& expected,
                     std::vector<Failure>& failures) {
    std::uint64_t text_at = 0, token_at = 0;
    stop_at_ = 0;
    for (std::uint64_t i = 0; i < block.rows() && !full(); i++) {
      report_.rows_checked++;
      PromptId id = block.text_ids.empty() ? PromptId(block.integer_ids[i]) : PromptId(block.text_ids[i]);
      ExpectedRows::Row found{block.prompt_index[i], block.sample_index[i], id};
      auto wanted = expected.next();
      if (!wanted || !(*wanted == found)) {
        fault("{}: row {} is prompt {} sample {} with id '{}', expected {}", file.path(), first + i, found.prompt,
              found.sample, to_text(id),
              wanted
                  ? fmt::format("prompt {} sample {} with id '{}'", wanted->prompt, wanted->sample, to_text(wanted->id))
                  : "no more rows");
        return InStep::No;  // the rest would be noise
      }
      check_row(file, first + i, i, block);
      if (block.status[i] == static_cast<std::uint8_t>(RowStatus::Failed))
        failures.emplace_back(found.prompt, found.sample);
      if (request_.depth == VerifyDepth::Deep) check_values(file, first + i, i, block, text_at, token_at);
      if (!block.text_bytes.empty()) text_at += block.text_bytes[i];
      if (!block.token_counts.empty()) token_at += block.token_counts[i];
    }
    return InStep::Yes;
  }

  void check_row(const OutputReader& file, std::uint64_t row, std::uint64_t i, const OutputBlock& block) {
    auto status = static_cast<RowStatus>(block.status[i]);
    auto reason = static_cast<FinishReason>(block.finish_reason[i]);
    bool ok = status == RowStatus::Ok && reason != FinishReason::None && reason < FinishReason::Error;
    bool failed = status == RowStatus::Failed && reason == FinishReason::Error;
    bool skipped = status == RowStatus::Skipped && reason == FinishReason::None;
    if (!ok && !failed && !skipped) {
      fault("{}: row {} has status {} with finish_reason {}", file.path(), row, block.status[i],
            block.finish_reason[i]);
    }
    if (!block.token_counts.empty() && block.token_counts[i] != block.num_completion_tokens[i]) {
      fault("{}: row {} has {} tokens, but num_completion_tokens says {}", file.path(), row, block.token_counts[i],
            block.num_completion_tokens[i]);
    }
  }

  void check_values(const OutputReader& file, std::uint64_t row, std::uint64_t i, const OutputBlock& block,
                    std::uint64_t text_at, std::uint64_t token_at) {
    if (file.layout().text) {
      const char* bytes = reinterpret_cast<const char*>(block.text.data()) + text_at;
      if (auto bad = first_bad_utf8(std::string_view(bytes, block.text_bytes[i])))
        fault("{}: the text of row {} is not UTF-8 at byte {}", file.path(), row, *bad);
    }
    if (file.layout().stop_reason) check_stop_reason(file, row, i, block, token_at);
    if (!file.layout().token_ids) return;
    for (std::uint64_t t = token_at; t < token_at + block.token_counts[i]; t++)
      check_token(file, row, block.token_ids[t]);
    std::uint64_t k = file.layout().logprobs.value_or(0);
    for (std::uint64_t t = token_at * k; t < (token_at + block.token_counts[i]) * k; t++)
      if (block.top_ids[t] != -1 || !std::isnan(block.top_values[t])) check_token(file, row, block.top_ids[t]);
  }

  // A stop token stands there in decimal, a stop string as it is; nothing else has one.
  void check_stop_reason(const OutputReader& file, std::uint64_t row, std::uint64_t i, const OutputBlock& block,
                         std::uint64_t token_at) {
    const std::string_view reason(reinterpret_cast<const char*>(block.stop_reason.data()) + stop_at_,
                                  block.stop_bytes[i]);
    stop_at_ += block.stop_bytes[i];
    const auto finish = static_cast<FinishReason>(block.finish_reason[i]);
    bool fits = reason.empty() != (finish == FinishReason::Stop || finish == FinishReason::StopString);
    if (finish == FinishReason::Stop && file.layout().token_ids && block.token_counts[i] > 0)
      fits = reason == std::to_string(block.token_ids[token_at + block.token_counts[i] - 1]);
    if (!fits || first_bad_utf8(reason))
      fault("{}: row {} has stop_reason '{}' with finish_reason {}", file.path(), row, reason, block.finish_reason[i]);
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

  void check_scores(const OutputReader& file, ShardRange range) {
    if (!file.layout().prompt_logprobs) return;
    if (file.scored_prompts() != range.count) {
      fault("{}: /prompt_logprobs has {} prompts, expected {}", file.path(), file.scored_prompts(), range.count);
      return;
    }
    for (std::uint64_t first = 0; first < file.scored_prompts();) {
      std::uint64_t end = file.score_block_end(first), at = 0;
      ScoreBlock block = file.read_scores(first, end - first);
      for (std::uint64_t i = 0; i < block.counts.size(); at += block.counts[i++]) {
        if (block.counts[i] > 0 && !std::isnan(block.values[at]))
          fault("{}: /prompt_logprobs row {} does not begin with NaN", file.path(), first + i);
      }
      first = end;
    }
  }

  void check_prompt_tokens(const OutputReader& file, ShardRange range) {
    if (!file.layout().prompt_token_ids) return;
    if (file.prompts_with_tokens() != range.count)
      return fault("{}: /prompt_token_ids has {} prompts, expected {}", file.path(), file.prompts_with_tokens(),
                   range.count);
    if (request_.depth != VerifyDepth::Deep) return;
    for (std::uint64_t first = 0; first < file.prompts_with_tokens() && !full();) {
      const std::uint64_t end = file.prompt_token_block_end(first);
      for (TokenId token : file.read_prompt_tokens(first, end - first).values)
        if (!is_token(token)) fault("{}: /prompt_token_ids has {}, outside of the vocabulary", file.path(), token);
      first = end;
    }
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

  const VerifyRequest& request_;
  const PromptFile& prompts_;
  RunPaths paths_;
  RunManifest manifest_;
  VerifyReport report_;
  bool outputs_whole_ = false;
  std::optional<OutputReader> merged_;
  std::uint64_t compared_rows_ = 0, compared_scores_ = 0;
  std::uint64_t stop_at_ = 0;  // of the row that is looked at, within the block's stop reasons
};

// Shards come in order; each is held against the next rows of outputs.h5.
void Verification::compare_with_outputs(const std::string& path, ShardRange range) {
  OutputReader shard(path);
  if (!merged_) merged_.emplace(paths_.outputs());  // once: its form is looked at as a whole
  const OutputReader& outputs = *merged_;
  if (compared_rows_ + shard.rows() > outputs.rows() ||
      (shard.scored_prompts() > 0 && compared_scores_ + shard.scored_prompts() > outputs.scored_prompts()))
    return fault("{}: has rows that {} has not", path, paths_.outputs());
  for (std::uint64_t first = 0; first < shard.rows();) {
    std::uint64_t end = shard.block_end(first);
    if (!same_block(shard.read(first, end - first), outputs.read(compared_rows_ + first, end - first)))
      fault("{}: rows {} to {} differ from those of {}", path, first, end - 1, paths_.outputs());
    first = end;
  }
  for (std::uint64_t first = 0; first < shard.scored_prompts();) {
    std::uint64_t end = shard.score_block_end(first);
    ScoreBlock mine = shard.read_scores(first, end - first);
    ScoreBlock merged = outputs.read_scores(compared_scores_ + first, end - first);
    if (!same_block(mine, merged))
      fault("{}: prompt logprobs {} to {} differ from those of {}", path, first, end - 1, paths_.outputs());
    first = end;
  }
  for (std::uint64_t first = 0; first < shard.prompts_with_tokens();) {
    std::uint64_t end = shard.prompt_token_block_end(first);
    if (compared_scores_ + end > outputs.prompts_with_tokens() ||
        !same_block(shard.read_prompt_tokens(first, end - first),
                    outputs.read_prompt_tokens(compared_scores_ + first, end - first)))
      fault("{}: prompt token ids {} to {} differ from those of {}", path, first, end - 1, paths_.outputs());
    first = end;
  }
  compared_rows_ += shard.rows();
  compared_scores_ += range.count;
}

}  // namespace

VerifyReport verify_run(const VerifyRequest& request, const PromptFile& prompts) {
  auto manifest = read_manifest(RunPaths{request.dir});
  if (!manifest) user_error("{}: holds no run (there is no {})", request.dir, RunPaths{request.dir}.manifest());
  return Verification(request, prompts, *manifest).run();
}

}  // namespace moemill::dataset
