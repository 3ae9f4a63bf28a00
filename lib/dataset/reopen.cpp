#include "dataset/reopen.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.hpp"
#include "dataset/carry.hpp"
#include "dataset/journal.hpp"
#include "dataset/seal.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t block_rows = 4096;

using Key = std::pair<std::uint64_t, std::uint32_t>;  // prompt, sample

// The rows of some prompts in a finished file: all of a shard, or a part of outputs.h5.
struct Piece {
  const OutputReader& file;
  ShardRange range;
  std::uint64_t first_prompt;  // of the file
  std::uint64_t first_row, end_row;
  std::map<Key, RowFault> errors;
};

// The first row of `file` from prompt `prompt` on.
std::uint64_t row_of(const OutputReader& file, std::uint64_t prompt) {
  std::uint64_t low = 0, high = file.rows();
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (file.read_prompts(middle, 1)[0] < prompt) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The first of /errors from prompt `prompt` on; they are in the order of the rows.
std::uint64_t error_of(const OutputReader& file, std::uint64_t prompt) {
  std::uint64_t low = 0, high = file.errors();
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (file.read_error_prompts(middle, 1)[0] < prompt) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Piece piece_of(const OutputReader& file, ShardRange range) {
  Piece piece{file, range, 0, row_of(file, range.first), row_of(file, range.first + range.count), {}};
  if (file.rows() > 0) piece.first_prompt = file.read_prompts(0, 1)[0];
  const std::uint64_t first = error_of(file, range.first), end = error_of(file, range.first + range.count);
  ErrorBlock errors = file.read_errors(first, end - first);
  for (std::size_t i = 0; i < errors.code.size(); ++i)
    piece.errors[{errors.prompt_index[i], errors.sample_index[i]}] = {
        parse_error_code(errors.code[i]).value_or(ErrorCode::Internal), std::move(errors.message[i])};
  return piece;
}

// Calls body(FinishedRow) for each row.
template <class Body>
void for_rows(const Piece& piece, Body&& body) {
  for (std::uint64_t first = piece.first_row; first < piece.end_row; first += block_rows) {
    const OutputBlock block = piece.file.read_numbers(first, std::min(block_rows, piece.end_row - first));
    for (std::size_t i = 0; i < block.rows(); ++i) {
      FinishedRow row{block.prompt_index[i],
                      block.sample_index[i],
                      static_cast<RowStatus>(block.status[i]),
                      static_cast<FinishReason>(block.finish_reason[i]),
                      block.num_prompt_tokens[i],
                      block.num_completion_tokens[i],
                      {}};
      if (auto error = piece.errors.find({row.prompt_index, row.sample_index}); error != piece.errors.end())
        row.error = error->second.code;
      body(row);
    }
  }
}

// Whether rows do not stay or are missing: samples that a prompt is to have, or prompts that the shard has got since.
// All rows are asked for, so that what forbids the change is found.
bool is_to_reopen(const Piece& piece, ShardRange now, const Verdicts& verdicts) {
  bool work = piece.range.count < now.count;
  std::uint64_t rows = 0, wanted = 0;
  for_rows(piece, [&](const FinishedRow& row) {
    work = verdicts.fate(row) != Fate::Keep || work;
    if (row.sample_index == 0) wanted += verdicts.samples(row.prompt_index);
    ++rows;
  });
  return work || rows < wanted;
}

// A shard that stays has its carried rows from before, one that is taken up again those of the input.
void check_carried(const Piece& piece, const PromptFile& input) {
  std::vector<std::string> there = piece.file.carried_names(), now;
  for (const CarriedColumn& column : input.carried()) now.push_back(column.name);
  std::sort(now.begin(), now.end());
  std::sort(there.begin(), there.end());
  if (there != now)
    user_error(
        "{}: the carried columns are {}, and those of the run are {}: they must be the same; nothing was changed",
        input.path(), fmt::join(now, ", "), fmt::join(there, ", "));
  for (const std::string& name : there) {
    const auto difference = differ(input.carried_dataset(name), piece.range.first, piece.range.count,
                                   piece.file.open_carried(name), piece.range.first - piece.first_prompt);
    if (difference)
      user_error(
          "{}: column '{}' is not what it was for prompts {} to {}: {} of {}; prompts that are there must stay as "
          "they were; nothing was changed",
          input.path(), name, piece.range.first, piece.range.first + piece.range.count - 1, *difference,
          piece.file.path());
  }
}

void check_kind_of_ids(const PromptFile& input, IdKind before, IdKind now) {
  if (before == now) return;
  const auto text = [](IdKind kind) { return kind == IdKind::Text ? "texts" : "integers"; };
  user_error("{}: ids are {} now, and the run's are {}: they must stay what they were; nothing was changed",
             input.path(), text(now), text(before));
}

void keep_scores(const Piece& piece, JournalWriter& journal) {
  const auto scores = piece.file.read_scores(piece.range.first - piece.first_prompt, piece.range.count);
  auto value = scores.values.begin();
  for (std::size_t i = 0; i < scores.counts.size(); ++i) {
    auto end = value + static_cast<std::ptrdiff_t>(scores.counts[i]);
    if (value != end) journal.append(PromptScore{piece.range.first + i, {value, end}});
    value = end;
  }
}

void keep(Completion row, const Verdicts& verdicts, JournalWriter& journal) {
  const Fate fate = verdicts.fate(facts_of(row));
  if (fate == Fate::Again) return;
  if (fate == Fate::GoOn) {
    const FinishReason reason = verdicts.ends_after_all(row);
    if (reason == FinishReason::None) {
      narrow_logprobs(row);
      journal.append(PartialSample{row.prompt_index, row.sample_index, std::move(row.token_ids),
                                   std::move(row.logprobs), std::move(row.top_ids), std::move(row.top_values)});
      return;
    }
    row.finish_reason = reason;
  }
  journal.append(row);
}

// By rename. Without stored token ids there is nothing to keep: all rows of the shard are made again.
void to_journal(const Piece& piece, const RunPaths& paths, const RunManifest& manifest, ShardId shard,
                const Verdicts& verdicts) {
  if (!piece.file.layout().token_ids) return;
  const std::string temporary = files::temporary_name(paths.journal(shard));
  JournalWriter journal(temporary, manifest.run_id, shard, 0);
  if (piece.file.layout().prompt_logprobs) keep_scores(piece, journal);
  for (std::uint64_t first = piece.first_row; first < piece.end_row;) {
    const std::uint64_t end = std::min(piece.file.block_end(first), piece.end_row);
    for (Completion& row : read_completions(piece.file, first, end - first)) {
      if (auto error = piece.errors.find({row.prompt_index, row.sample_index}); error != piece.errors.end())
        row.error = error->second;
      keep(std::move(row), verdicts, journal);
    }
    first = end;
  }
  journal.close();
  files::publish(temporary, paths.journal(shard));
}

void filter_journal(const RunPaths& paths, const RunManifest& manifest, ShardId shard, const Verdicts& verdicts) {
  auto contents = read_journal(paths.journal(shard), manifest.run_id, shard);
  const std::string temporary = files::temporary_name(paths.journal(shard));
  JournalWriter journal(temporary, manifest.run_id, shard, 0);
  for (const auto& score : contents.scores) journal.append(score);
  for (auto& row : contents.completions) keep(std::move(row), verdicts, journal);
  for (const auto& partial : contents.partials) journal.append(partial);
  journal.close();
  files::publish(temporary, paths.journal(shard));
}

RootAttributes attributes_of(const OutputReader& file) {
  auto text = [&](const char* name) { return file.text_attribute(name); };
  return {text("run_id"),       text("created_utc"),  text("config_yaml"),
          text("input_sha256"), text("model_sha256"), text("tokenizer_sha256"),
          text("backend"),      text("dtype"),        file.number_attribute("world_size"),
          text("slurm_job_id"), text("input_columns")};
}

// A part of outputs.h5 as the shard that it was made of.
void to_shard(const Piece& piece, const std::string& path, std::optional<std::uint32_t> gzip_level) {
  OutputLayout layout = piece.file.layout();
  layout.gzip_level = gzip_level;
  OutputSize size;
  size.prompts = piece.range.count;
  size.rows = piece.end_row - piece.first_row;
  size.errors = piece.errors.size();
  OutputWriter out(path, layout, attributes_of(piece.file), size);
  for (std::uint64_t first = piece.first_row; first < piece.end_row;) {
    const std::uint64_t end = std::min(piece.file.block_end(first), piece.end_row);
    out.append(piece.file.read(first, end - first));
    first = end;
  }
  ErrorBlock errors;
  for (const auto& [key, error] : piece.errors) {
    errors.prompt_index.push_back(key.first);
    errors.sample_index.push_back(key.second);
    errors.code.emplace_back(name_of(error.code));
    errors.message.push_back(error.message);
  }
  out.append(errors);
  const std::uint64_t first_prompt = piece.range.first - piece.first_prompt,
                      end_prompt = first_prompt + piece.range.count;
  for (std::uint64_t first = first_prompt; layout.prompt_logprobs && first < end_prompt;) {
    const std::uint64_t end = std::min(piece.file.score_block_end(first), end_prompt);
    out.append(piece.file.read_scores(first, end - first));
    first = end;
  }
  for (std::uint64_t first = first_prompt; layout.prompt_token_ids && first < end_prompt;) {
    const std::uint64_t end = std::min(piece.file.prompt_token_block_end(first), end_prompt);
    out.append(piece.file.read_prompt_tokens(first, end - first));
    first = end;
  }
  for (const std::string& name : piece.file.carried_names()) {
    h5::Handle source = piece.file.open_carried(name);
    out.append_carried(name, source, first_prompt, piece.range.count);
  }
  out.publish();
}

// The finished files as they stand: outputs.h5 where it has all rows, else shards.
class Finished {
 public:
  Finished(const RunPaths& paths, const RunManifest& manifest, std::uint64_t prompts_before,
           std::uint64_t completions_before)
      : paths_(paths), manifest_(manifest), prompts_before_(prompts_before), listing_(list_run(paths, manifest)) {
    if (!speaks_for(paths, manifest, completions_before)) return;
    refuse_broken(paths.outputs(), [] {});
    outputs_.emplace(paths.outputs());
  }
  bool merged() const { return outputs_.has_value(); }
  const RunListing& listing() const { return listing_; }
  bool has_shard(ShardId shard) const {
    return std::binary_search(listing_.finished.begin(), listing_.finished.end(), shard);
  }
  ShardRange range_before(ShardId shard) const {
    ShardRange range = manifest_.range_of(shard);
    range.count = range.first < prompts_before_ ? std::min(range.count, prompts_before_ - range.first) : 0;
    return range;
  }
  // Calls body(shard, Piece) for every shard that was finished, in order.
  template <class Body>
  void for_pieces(Body&& body) const {
    for (std::uint32_t s = 0; s < manifest_.shard_count(); ++s) {
      const ShardId shard{static_cast<std::int32_t>(s)};
      const ShardRange range = range_before(shard);
      if (range.count == 0) return;
      if (outputs_) {
        body(shard, piece_of(*outputs_, range));
      } else if (has_shard(shard)) {
        const OutputReader file(paths_.shard(shard));
        body(shard, piece_of(file, range));
      }
    }
  }

 private:
  const RunPaths& paths_;
  const RunManifest& manifest_;
  std::uint64_t prompts_before_;
  RunListing listing_;
  std::optional<OutputReader> outputs_;
};

bool is_broken(const std::string& path) {
  return broken_seal(path, [] {}).has_value();
}

}  // namespace

FinishedRow facts_of(const Completion& row) {
  FinishedRow facts{row.prompt_index,
                    row.sample_index,
                    row.status,
                    row.finish_reason,
                    row.num_prompt_tokens,
                    static_cast<std::uint32_t>(row.token_ids.size()),
                    {}};
  if (row.error) facts.error = row.error->code;
  return facts;
}

bool speaks_for(const RunPaths& paths, const RunManifest& manifest, std::uint64_t completions) {
  if (!files::exists(paths.outputs())) return false;
  const OutputReader outputs(paths.outputs());
  if (const std::string id = outputs.text_attribute("run_id"); id != manifest.run_id)
    user_error("{}: is of another run (run_id {}, this directory holds {}): move it away, and the same command goes on",
               paths.outputs(), id, manifest.run_id);
  return outputs.rows() == completions;
}

std::vector<ShardId> shards_to_reopen(const RunPaths& paths, const RunManifest& manifest, std::uint64_t prompts_before,
                                      std::uint64_t completions_before, const Verdicts& verdicts) {
  const Finished finished(paths, manifest, prompts_before, completions_before);
  if (!finished.merged())
    for (ShardId shard : finished.listing().finished) refuse_broken(paths.shard(shard), [] {});
  std::vector<ShardId> shards;
  finished.for_pieces([&](ShardId shard, const Piece& piece) {
    const OutputLayout& before = piece.file.layout();
    if (verdicts.input) check_kind_of_ids(*verdicts.input, before.ids, verdicts.layout.ids);
    if (verdicts.input) check_carried(piece, *verdicts.input);
    const bool is_narrow = verdicts.input && before.logprobs != verdicts.layout.logprobs;
    if (is_to_reopen(piece, manifest.range_of(shard), verdicts) || is_narrow) shards.push_back(shard);
  });
  if (finished.merged()) return shards;
  for (ShardId shard : finished.listing().journals)  // which are gone through anyway, but may forbid the change
    for (const auto& row : read_journal(paths.journal(shard), manifest.run_id, shard).completions) {
      const IdKind before = std::holds_alternative<std::string>(row.id) ? IdKind::Text : IdKind::Integer;
      if (verdicts.input) check_kind_of_ids(*verdicts.input, before, verdicts.layout.ids);
      verdicts.fate(facts_of(row));
    }
  return shards;
}

void reopen(const RunPaths& paths, RunManifest& manifest, std::uint64_t prompts_before,
            std::uint64_t completions_before, const std::vector<ShardId>& shards,
            std::optional<std::uint32_t> gzip_level, const Verdicts& verdicts) {
  {
    const Finished finished(paths, manifest, prompts_before, completions_before);
    finished.for_pieces([&](ShardId shard, const Piece& piece) {
      if (std::binary_search(shards.begin(), shards.end(), shard)) {
        to_journal(piece, paths, manifest, shard, verdicts);
      } else if (!finished.has_shard(shard) || (finished.merged() && is_broken(paths.shard(shard)))) {
        to_shard(piece, paths.shard(shard), gzip_level);
      }
    });
    if (!finished.merged())
      for (ShardId shard : finished.listing().journals) filter_journal(paths, manifest, shard, verdicts);
  }
  if (manifest.shards_removed) {
    manifest.shards_removed = false;
    write_manifest(paths, manifest);
  }
  files::remove(paths.outputs());
  files::sync_folder(paths.dir);
  for (ShardId shard : shards) files::remove(paths.shard(shard));
  files::sync_folder(paths.shards());
}

std::vector<Completion> read_completions(const OutputReader& reader, std::uint64_t first, std::uint64_t count) {
  const OutputBlock block = reader.read(first, count);
  const OutputLayout& layout = reader.layout();
  const std::uint64_t k = layout.logprobs.value_or(0);
  std::vector<Completion> rows(count);
  auto text = block.text.begin(), stop = block.stop_reason.begin();
  std::uint64_t token = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Completion& row = rows[i];
    row.prompt_index = block.prompt_index[i];
    row.sample_index = block.sample_index[i];
    if (layout.ids == IdKind::Integer) {
      row.id = block.integer_ids[i];
    } else {
      row.id = block.text_ids[i];
    }
    row.status = static_cast<RowStatus>(block.status[i]);
    row.finish_reason = static_cast<FinishReason>(block.finish_reason[i]);
    row.num_prompt_tokens = block.num_prompt_tokens[i];
    row.seed = block.seed[i];
    row.cumulative_logprob = block.cumulative_logprob[i];
    if (layout.text) {
      auto end = text + static_cast<std::ptrdiff_t>(block.text_bytes[i]);
      row.text.assign(text, end);
      text = end;
    }
    if (layout.stop_reason) {
      auto end = stop + static_cast<std::ptrdiff_t>(block.stop_bytes[i]);
      row.stop_reason.assign(stop, end);
      stop = end;
    }
    if (!layout.token_ids && !layout.logprobs) continue;
    const std::uint64_t end = token + block.token_counts[i];
    auto slice = [](auto& to, const auto& from, std::uint64_t a, std::uint64_t b) {
      to.assign(from.begin() + static_cast<std::ptrdiff_t>(a), from.begin() + static_cast<std::ptrdiff_t>(b));
    };
    if (layout.token_ids) slice(row.token_ids, block.token_ids, token, end);
    if (layout.logprobs) slice(row.logprobs, block.logprobs, token, end);
    if (k > 0) slice(row.top_ids, block.top_ids, token * k, end * k);
    if (k > 0) slice(row.top_values, block.top_values, token * k, end * k);
    token = end;
  }
  return rows;
}

}  // namespace moemill::dataset
