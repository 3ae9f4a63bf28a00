// The layout that every shard and outputs.h5 share (CONTRACT.md section 4): what is stored, the root attributes, a
// block of rows as arrays, and the writer and reader of such files. Used by shard, merge, status and verify.
//
// Absent is absent: text/ without `text` in output.store; token_ids/values without `token_ids` (offsets stay when
// logprobs are on, which share them); logprobs/ when off, its top_* for k = 0; /prompt_logprobs when off,
// /prompt_token_ids and stop_reason/ likewise. /errors and /carry are always there, maybe empty. Chunk shapes and
// filters depend on the layout's settings alone.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/rows.hpp"
#include "system/files/h5.hpp"

namespace moemill::dataset {

constexpr std::int64_t outputs_format_version = 1;

enum class IdKind { Integer, Text };

// What is stored; the same for all files of a run.
struct OutputLayout {
  bool text = true;
  bool token_ids = true;
  std::optional<std::uint32_t> logprobs;  // k
  bool prompt_logprobs = false;
  std::optional<std::uint32_t> gzip_level = 4;
  IdKind ids = IdKind::Integer;
  bool prompt_token_ids = false;
  bool stop_reason = false;
};
OutputLayout layout_of(const RunConfig& config, const PromptFile& prompts);

// What may differ between two runs with the same answer. format, format_version, moemill_version, git_commit and
// `complete` are the writer's own.
struct RootAttributes {
  std::string run_id;
  std::string created_utc;
  std::string config_yaml;
  std::string input_sha256;
  std::string model_sha256;
  std::string tokenizer_sha256;
  std::string backend;
  std::string dtype;
  std::int64_t world_size = 1;
  std::string slurm_job_id;   // "" outside Slurm
  std::string input_columns;  // dataset/prompts/contents.hpp; what input_sha256 is the sum of
};

// Some rows as the arrays that are stored; lengths instead of offsets, so that blocks can be put behind one another.
struct OutputBlock {
  std::vector<std::uint64_t> prompt_index;  // [rows]
  std::vector<std::uint32_t> sample_index;  // [rows]
  std::vector<std::int64_t> integer_ids;    // [rows], or
  std::vector<std::string> text_ids;        // [rows]
  std::vector<std::uint8_t> status;         // [rows]
  std::vector<std::uint8_t> finish_reason;  // [rows]
  std::vector<std::uint32_t> num_prompt_tokens;
  std::vector<std::uint32_t> num_completion_tokens;
  std::vector<std::uint64_t> seed;
  std::vector<float> cumulative_logprob;
  std::vector<std::uint64_t> text_bytes;  // [rows]
  std::vector<std::uint8_t> text;
  std::vector<std::uint64_t> token_counts;  // [rows]
  std::vector<TokenId> token_ids;           // [tokens]
  std::vector<float> logprobs;              // [tokens]
  std::vector<TokenId> top_ids;             // [tokens, k]
  std::vector<float> top_values;            // [tokens, k]
  std::vector<std::uint64_t> stop_bytes;    // [rows]
  std::vector<std::uint8_t> stop_reason;

  std::uint64_t rows() const { return prompt_index.size(); }
};

// Rows of /errors.
struct ErrorBlock {
  std::vector<std::uint64_t> prompt_index;
  std::vector<std::uint32_t> sample_index;
  std::vector<std::string> code;
  std::vector<std::string> message;
};

struct ScoreBlock {
  std::vector<std::uint64_t> counts;  // [prompts]
  std::vector<float> values;
};

// What the model read of each prompt: nothing of one that failed before.
struct PromptTokenBlock {
  std::vector<std::uint64_t> counts;  // [prompts]
  std::vector<TokenId> values;
};

// Whether two blocks hold the same bytes, floats by their bits.
bool same_block(const OutputBlock& a, const OutputBlock& b);
bool same_block(const ScoreBlock& a, const ScoreBlock& b);
bool same_block(const PromptTokenBlock& a, const PromptTokenBlock& b);

// How much there will be, where the writer knows it before; chunks are no larger then. HDF5 compresses whole chunks, so
// a small shard costs little.
struct OutputSize {
  static constexpr std::uint64_t unknown = ~std::uint64_t{0};
  std::uint64_t prompts = unknown, rows = unknown, text_bytes = unknown, tokens = unknown, errors = unknown,
                scored_tokens = unknown, prompt_tokens = unknown, stop_bytes = unknown;
};

// Writes a file of a temporary name beside PATH; `publish` makes it PATH by the rename rule, after it was closed,
// opened again and checked. One that is not published goes with its writer: a full disk shall have its room back.
class OutputWriter {
 public:
  OutputWriter(std::string path, const OutputLayout& layout, const RootAttributes& attributes, OutputSize size = {});
  OutputWriter(const OutputWriter&) = delete;
  OutputWriter& operator=(const OutputWriter&) = delete;
  ~OutputWriter();
  void append(const OutputBlock& rows);
  void append(const ErrorBlock& errors);
  void append(const ScoreBlock& scores);
  void append(const PromptTokenBlock& tokens);
  // Rows first .. first+count-1 of a dataset of another file, behind /carry/<name>; one row a prompt at the end.
  void append_carried(const std::string& name, hid_t source, std::uint64_t first, std::uint64_t count);
  // Closed, sealed (dataset/seal.hpp) and renamed. `between` is called now and then, and may throw.
  void publish(const std::function<void()>& between = [] {});
  std::uint64_t rows() const { return data_.prompt_index.size; }
  std::uint64_t prompts() const { return prompts_; }  // that these rows are of

 private:
  struct Column {
    h5::Handle dataset;
    std::uint64_t size = 0;
    hid_t memory_type = H5I_INVALID_HID;
    std::string what;
  };
  // All handles in one place: they must be gone before the file is closed.
  struct Datasets {
    Column prompt_index, sample_index, id, status, finish_reason, num_prompt_tokens, num_completion_tokens, seed,
        cumulative_logprob;
    Column text_values, text_offsets, token_values, token_offsets, logprobs, top_ids, top_values;
    Column score_values, score_offsets, prompt_values, prompt_offsets, stop_values, stop_offsets;
    Column error_prompt, error_sample, error_code, error_message;
    h5::Handle carry;
    std::vector<std::pair<std::string, Column>> carried;
  };
  Column make(const std::string& name, hid_t stored, hid_t memory, std::uint64_t chunk_rows, std::uint64_t width);
  void make_completions();
  void make_stop_reason();
  void name_codes();
  void put(Column& column, std::uint64_t count, const void* data);
  void put_offsets(Column& column, std::uint64_t& end, const std::vector<std::uint64_t>& lengths);
  void put_text(Column& column, const std::vector<std::string>& texts);

  std::string path_;
  OutputLayout layout_;
  RootAttributes attributes_;
  OutputSize size_;
  h5::Handle file_;
  h5::Handle text_type_;
  Datasets data_;
  std::uint64_t text_end_ = 0, token_end_ = 0, score_end_ = 0, prompt_end_ = 0, stop_end_ = 0;
  std::uint64_t prompts_ = 0, last_prompt_ = 0;  // of the rows so far, which come in the order of the prompts
  bool published_ = false;
};

// A finished shard or outputs.h5, read in ranges. SystemError for one whose form is not as above, naming the file and
// the way out, and for one that cannot be read, with the system's reason. Its bytes are not held against its seal:
// whoever reads texts from it calls refuse_broken() before, for HDF5 may crash on broken ones.
class OutputReader {
 public:
  explicit OutputReader(const std::string& path);
  const std::string& path() const { return path_; }
  const OutputLayout& layout() const { return layout_; }  // without the compression
  std::uint64_t rows() const { return rows_; }
  std::uint64_t scored_prompts() const { return scored_prompts_; }
  std::uint64_t prompts_with_tokens() const { return prompts_with_tokens_; }
  std::uint64_t errors() const { return errors_; }
  OutputBlock read(std::uint64_t first, std::uint64_t count) const;
  OutputBlock read_numbers(std::uint64_t first, std::uint64_t count) const;  // the columns with a number a row, no ids
  ScoreBlock read_scores(std::uint64_t first, std::uint64_t count) const;
  PromptTokenBlock read_prompt_tokens(std::uint64_t first, std::uint64_t count) const;
  ErrorBlock read_errors(std::uint64_t first, std::uint64_t count) const;
  std::vector<std::uint64_t> read_prompts(std::uint64_t first, std::uint64_t count) const;        // only that column
  std::vector<std::uint64_t> read_error_prompts(std::uint64_t first, std::uint64_t count) const;  // only that column
  std::vector<std::uint8_t> read_status(std::uint64_t first, std::uint64_t count) const;
  // The end of a block of rows (of scored prompts) that begins at `first` and fits memory well: some thousand rows with
  // some million tokens and bytes of text, or one row.
  std::uint64_t block_end(std::uint64_t first) const;
  std::uint64_t score_block_end(std::uint64_t first) const;
  std::uint64_t prompt_token_block_end(std::uint64_t first) const;
  std::vector<std::string> carried_names() const;
  h5::Handle open_carried(const std::string& name) const;
  std::string text_attribute(const std::string& name) const;
  std::int64_t number_attribute(const std::string& name) const;

 private:
  template <class T>
  std::vector<T> column(const std::string& name, hid_t type, std::uint64_t first, std::uint64_t count,
                        std::uint64_t width = 1) const;
  std::vector<std::string> text_column(const std::string& name, std::uint64_t first, std::uint64_t count) const;
  std::vector<std::uint64_t> offsets(const std::string& name, std::uint64_t first, std::uint64_t count) const;

  std::string path_;
  h5::Handle file_;
  OutputLayout layout_;
  std::uint64_t rows_ = 0, scored_prompts_ = 0, prompts_with_tokens_ = 0, errors_ = 0;
};

// What is wrong with the form of a finished file: attributes, presence, types and lengths of its datasets, ends of its
// offsets. Empty when nothing is. Reads no values.
std::vector<std::string> check_form(hid_t file);
std::vector<std::string> check_form(const std::string& path);

}  // namespace moemill::dataset
