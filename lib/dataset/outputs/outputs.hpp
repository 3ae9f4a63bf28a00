// Writer and reader of the files that hold a run's rows: every shard and outputs.h5 have the same layout. Used by
// shard, merge, reopening, counts, status and verify. output_fields.hpp has the columns.
//
// A column that is not stored is absent: text/ without `text` in output.store; token_ids/values without `token_ids`
// (the offsets stay when logprobs are on, which share them); logprobs/ when off, its top_* for k = 0; /prompt_logprobs,
// /prompt_token_ids and stop_reason/ when off. /errors and /carry are always there and may be empty. Chunk shapes and
// filters depend on the layout alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/output_fields.hpp"
#include "dataset/outputs/number_types.hpp"
#include "dataset/outputs/root_attributes.hpp"
#include "dataset/prompts/prompts.hpp"
#include "system/files/h5.hpp"

namespace moemill::dataset {

constexpr std::int64_t outputs_format_version = 1;

OutputLayout layout_of(const RunConfig& config, const PromptFile& prompts);

// Rows of /errors.
struct ErrorBlock {
  std::vector<std::uint64_t> prompt_index;
  std::vector<std::uint32_t> sample_index;
  std::vector<std::string> code;
  std::vector<std::string> message;

  void add(std::uint64_t prompt, std::uint32_t sample, const RowFault& fault);
};

// Some prompts' entries of a PromptField.
template <class T>
struct PromptBlock {
  std::vector<std::uint64_t> counts;  // [prompts]
  std::vector<T> values;
};

// The final size, if the writer knows it in advance: chunks are no larger than that. HDF5 compresses whole chunks, so a
// small shard then costs little.
struct OutputSize {
  static constexpr std::uint64_t unknown = ~std::uint64_t{0};
  std::uint64_t prompts = unknown, rows = unknown, errors = unknown;
  std::map<std::string, std::uint64_t> units = {};  // by `lengths` of a RaggedField, or `group` of a PromptField

  std::uint64_t of(const std::string& name) const;
};

// Writes a file under a temporary name beside PATH; publish() closes it, opens it again, checks it and renames it to
// PATH. The destructor removes a file that was not published, so that a full disk gets its space back.
class OutputWriter {
 public:
  OutputWriter(std::string path, const OutputLayout& layout, const RootAttributes& attributes, OutputSize size = {});
  OutputWriter(const OutputWriter&) = delete;
  OutputWriter& operator=(const OutputWriter&) = delete;
  ~OutputWriter();
  // Rows in the order of the prompts, fitted to the layout (fit_to_layout).
  void append(std::span<const Completion> rows);
  void append(const ErrorBlock& errors);
  template <class T>
  void append(const PromptField<T>& field, const PromptBlock<T>& block) {
    put_ragged(std::string(field.group) + "/values", field.group, block.counts, block.values.data());
  }
  // Appends rows first .. first+count-1 of another file's dataset to /carry/<name>. In the end the column must
  // have one row per prompt.
  void append_carried(const std::string& name, hid_t source, std::uint64_t first, std::uint64_t count);
  // Closes, seals (dataset/seal.hpp) and renames the file. `between` is called now and then, and may throw.
  void publish(const std::function<void()>& between = [] {});
  std::uint64_t rows() const;
  std::uint64_t prompts() const { return prompts_; }  // those of the rows so far

 private:
  struct Column {
    h5::Handle dataset;
    hid_t memory_type = H5I_INVALID_HID;
    std::string what;
    std::uint64_t size = 0;  // rows
  };
  struct Shape {
    std::uint64_t chunk_rows;
    std::uint64_t width;
  };
  void make(const std::string& name, hid_t stored, hid_t memory, Shape shape);
  template <class T>
  void make_ragged(const std::string& values, const std::string& lengths, std::uint64_t rows, Shape shape);
  void make_completions();
  void make_errors();
  void put(const std::string& name, std::uint64_t count, const void* data);
  void put_offsets(const std::string& lengths, std::span<const std::uint64_t> counts);
  void put_ragged(const std::string& values, const std::string& lengths, std::span<const std::uint64_t> counts,
                  const void* data);
  void put_texts(const std::string& name, const std::vector<std::string>& texts);
  void put_ids(const std::string& name, std::span<const Completion> rows);
  template <class Values>
  void put_values(const RaggedField<Values>& field, std::span<const Completion> rows);
  void close(const std::string& path);

  std::string path_;
  OutputLayout layout_;
  RootAttributes attributes_;
  OutputSize size_;
  h5::Handle file_;
  h5::Handle text_type_;
  std::map<std::string, Column> columns_;      // by path; all handles must be gone before the file is closed
  std::map<std::string, std::uint64_t> ends_;  // last offset, by the group of the offsets
  h5::Handle carry_;
  std::map<std::string, Column> carried_;
  std::uint64_t prompts_ = 0, last_prompt_ = 0;  // of the rows so far
  bool published_ = false;
};

// A finished shard or outputs.h5, read in ranges. SystemError for a file whose form is not as above, naming the file
// and the way out, and for one that cannot be read, with the system's reason. The bytes are not compared with the
// file's seal: a caller that reads texts calls refuse_broken() first, because HDF5 may crash on broken ones.
class OutputReader {
 public:
  explicit OutputReader(const std::string& path);
  const std::string& path() const { return path_; }
  const OutputLayout& layout() const { return layout_; }  // without the compression
  std::uint64_t rows() const { return rows_; }
  std::uint64_t errors() const { return errors_; }
  // Prompts that the field has an entry for; 0 where it is not stored.
  template <class T>
  std::uint64_t prompts(const PromptField<T>& field) const {
    return layout_.*field.flag ? entries(field.group) : 0;
  }
  // The stored columns of rows first .. first+count-1, without their errors.
  std::vector<Completion> read(std::uint64_t first, std::uint64_t count) const;
  // Only the columns with one number per row; no ids.
  std::vector<Completion> read_numbers(std::uint64_t first, std::uint64_t count) const;
  template <class T>
  PromptBlock<T> read(const PromptField<T>& field, std::uint64_t first, std::uint64_t count) const {
    const auto ends = offsets(field.group, first, count);
    return {lengths_of(ends), column<T>(std::string(field.group) + "/values", ends[0], ends.back() - ends[0])};
  }
  ErrorBlock read_errors(std::uint64_t first, std::uint64_t count) const;
  std::vector<std::uint64_t> read_prompts(std::uint64_t first, std::uint64_t count) const;        // only that column
  std::vector<std::uint64_t> read_error_prompts(std::uint64_t first, std::uint64_t count) const;  // only that column
  std::vector<std::uint8_t> read_status(std::uint64_t first, std::uint64_t count) const;
  // The end of a block of rows, or of a field's prompts, that begins at `first` and fits memory well: some thousand
  // rows with some million tokens and bytes of text, or one row.
  std::uint64_t block_end(std::uint64_t first) const;
  template <class T>
  std::uint64_t block_end(const PromptField<T>& field, std::uint64_t first) const {
    return block_end(field.group, first, prompts(field));
  }
  std::vector<std::string> carried_names() const;
  h5::Handle open_carried(const std::string& name) const;
  std::string text_attribute(const std::string& name) const;
  std::int64_t number_attribute(const std::string& name) const;

 private:
  template <class T>
  std::vector<T> column(const std::string& name, std::uint64_t first, std::uint64_t count,
                        std::uint64_t width = 1) const {
    std::vector<T> values(count * width);
    read_column(name, memory_type<T>(), first, count, values.data());
    return values;
  }
  void read_column(const std::string& name, hid_t type, std::uint64_t first, std::uint64_t count, void* values) const;
  void read_ids(const std::string& name, std::vector<Completion>& rows, std::uint64_t first) const;
  std::vector<std::string> text_column(const std::string& name, std::uint64_t first, std::uint64_t count) const;
  std::vector<std::uint64_t> offsets(const std::string& name, std::uint64_t first, std::uint64_t count) const;
  static std::vector<std::uint64_t> lengths_of(const std::vector<std::uint64_t>& ends);
  std::uint64_t entries(const std::string& group) const;
  std::uint64_t block_end(const std::string& lengths, std::uint64_t first, std::uint64_t rows) const;

  std::string path_;
  h5::Handle file_;
  OutputLayout layout_;
  std::uint64_t rows_ = 0, errors_ = 0;
};

// Copies rows first .. end-1, or those prompts' entries of every PromptField, in blocks. `between` is called before
// each.
void copy_rows(
    const OutputReader& from, std::uint64_t first, std::uint64_t end, OutputWriter& to,
    const std::function<void()>& between = [] {});
void copy_prompts(
    const OutputReader& from, std::uint64_t first, std::uint64_t end, OutputWriter& to,
    const std::function<void()>& between = [] {});

// The faults in the form of a finished file: attributes, presence, types and lengths of its datasets, ends of its
// offsets. Reads no values.
std::vector<std::string> check_form(hid_t file);
std::vector<std::string> check_form(const std::string& path);

}  // namespace moemill::dataset
