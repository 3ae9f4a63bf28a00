// prompts.h5, read-only: the prompt column in any accepted form, the optional columns, and the columns that are carried
// to the output; lib/dataset/README.md has the format. Used by the job and the commands. Everything is read in ranges,
// so memory does not grow with the number of prompts. A file that cannot be used is a UserError that names file,
// dataset, row and what to do; a prompt that cannot be answered has a `fault` in its row.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/prompts/contents.hpp"
#include "dataset/rows.hpp"
#include "system/files/h5.hpp"

namespace moemill::dataset {

struct Prompt {
  std::uint64_t index = 0;  // input row
  PromptId id = std::int64_t{0};
  std::string text;                // the text form
  std::vector<TokenId> token_ids;  // the token form
  SamplingParams sampling;         // the run's defaults with this row's columns merged in
  bool add_special_tokens = true;  // for a text: the row's column, else run.yaml, else the file's attribute
  // empty, bad_utf8 (text form), bad_token (not a token id of any vocabulary: negative or above 2^31-1)
  std::optional<RowFault> fault;
};

constexpr std::uint32_t any_vocabulary = 0x8000'0000;  // one more than the largest TokenId

enum class PromptForm { Text, TokenIds };

// A dataset with one row per prompt that is copied to /carry. Names are those of the input group.
struct CarriedColumn {
  std::string name;
  std::uint64_t row_bytes;  // bytes of a row in memory, without what variable-length values point to
};

class PromptFile {
 public:
  // Opens the file and finds its columns. `carry` is output.carry_columns; nothing carries all. UserError for a missing
  // or foreign file, an absent group, no prompt column, no rows, columns of different lengths, unsupported types, and
  // for a column that nearly has a setting's name, unless `carry` names it.
  PromptFile(const InputSettings& input, const std::optional<std::vector<std::string>>& carry);
  PromptFile(PromptFile&&) noexcept;
  PromptFile& operator=(PromptFile&&) noexcept;
  ~PromptFile();

  const std::string& path() const;
  std::uint64_t size() const;       // prompts to process: rows, cut by input.limit
  std::uint64_t file_rows() const;  // rows in the file
  PromptForm form() const;
  bool has_text_ids() const;  // ids are strings; else integers (the row index without an id column)
  bool has_id_column() const;
  bool has_stop_column() const;
  bool add_special_tokens() const;  // for rows that do not say it themselves
  // Names of the columns beside the prompt that have a meaning: id, n ...
  const std::vector<std::string>& used() const;
  // Warnings for the user about columns that are slow to read or change nothing, one sentence each.
  const std::vector<std::string>& warnings() const;
  const std::vector<CarriedColumn>& carried() const;
  hid_t carried_dataset(const std::string& name) const;  // one of carried(); open as long as this object is

  // Rows first .. first+count-1 (must lie within size()), each with `defaults` merged in.
  std::vector<Prompt> read(std::uint64_t first, std::uint64_t count, const SamplingParams& defaults) const;
  // Samples of each prompt of the range: the `n` column over the default.
  std::vector<std::uint32_t> read_sample_counts(std::uint64_t first, std::uint64_t count,
                                                const SamplingParams& defaults) const;

  // The most logprobs that any row asks for, which is the k of the output files; `run_wide` is sampling.logprobs. Reads
  // the column `logprobs`.
  std::optional<std::uint32_t> most_logprobs(std::optional<std::uint32_t> run_wide) const;

  // The distinct strings of the column `stop`, at most a thousand. Reads that column.
  std::vector<std::string> row_stops() const;

  // Reads every optional column once, in ranges. A value out of its range (n = 0, temperature = -3, a `stop` that is
  // not a JSON list of strings) is a UserError naming dataset and row, and so are offsets that do not ascend and a stop
  // token outside the model's `vocabulary`, which could never occur. Returns the sum of n, the completions of the run.
  std::uint64_t check_columns(const SamplingParams& defaults, std::uint32_t vocabulary = any_vocabulary) const;
  // Reads every id once; a UserError names both rows of the first duplicate. Takes 8 bytes per id while it runs.
  void check_ids() const;

  // The contents of the columns, for input_sha256. Reads all of them, for the prompts to process.
  InputContents contents() const;
  // The same for the first `rows` prompts, which may have been all prompts of an earlier file.
  InputContents contents_of_first(std::uint64_t rows) const;

  // Protects a job against a file that is written to while the job reads it. After hold_to(), read(),
  // read_sample_counts() and check_contents() notice a change; the file is then opened again, and a UserError says so
  // if its contents are not these. `stamp` is stamp_when_opened() of the process that computed the contents: sizes and
  // times of the files.
  const std::string& stamp_when_opened() const;
  void hold_to(InputContents contents, const std::string& stamp);
  // Yes if everything that was read through carried_dataset() since the last call must be read again.
  enum class Reopened { No, Yes };
  Reopened check_contents() const;

 private:
  struct State;
  Reopened reopen() const;
  template <class Body>
  auto read_held(Body&& body) const;
  std::unique_ptr<State> state_;
};

}  // namespace moemill::dataset
