#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/build_info.hpp"
#include "base/error.hpp"
#include "dataset/carry.hpp"
#include "dataset/outputs/outputs.hpp"
#include "dataset/seal.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {
namespace {

// Chunks of 4 to 64 KiB: small enough that a short run's file stays small without compression, and well below HDF5's
// cache of 1 MiB a dataset, so that rows appended in small blocks are compressed once.
constexpr std::uint64_t row_chunk = 4096;
constexpr std::uint64_t byte_chunk = 65536;
constexpr std::uint64_t token_chunk = 16384;
constexpr std::uint64_t error_chunk = 256;
constexpr std::uint64_t one_dimensional = std::numeric_limits<std::uint64_t>::max();  // width of a plain column

// Rows of a chunk of a dataset that will have `count` rows.
std::uint64_t fitted(std::uint64_t chunk, std::uint64_t count) { return std::clamp<std::uint64_t>(count, 1, chunk); }

// There is one offset more than rows.
std::uint64_t offsets_of(std::uint64_t rows) { return rows == OutputSize::unknown ? rows : rows + 1; }

void write_root_attributes(hid_t file, const RootAttributes& attributes) {
  h5::write_attribute(file, "format", std::string("moemill-outputs"));
  h5::write_attribute(file, "format_version", outputs_format_version);
  h5::write_attribute(file, "run_id", attributes.run_id);
  h5::write_attribute(file, "created_utc", attributes.created_utc);
  h5::write_attribute(file, "moemill_version", std::string(build_info::version()));
  h5::write_attribute(file, "git_commit", std::string(build_info::git_commit()));
  h5::write_attribute(file, "config_yaml", attributes.config_yaml);
  h5::write_attribute(file, "input_sha256", attributes.input_sha256);
  h5::write_attribute(file, "input_columns", attributes.input_columns);
  h5::write_attribute(file, "model_sha256", attributes.model_sha256);
  h5::write_attribute(file, "tokenizer_sha256", attributes.tokenizer_sha256);
  h5::write_attribute(file, "backend", attributes.backend);
  h5::write_attribute(file, "dtype", attributes.dtype);
  h5::write_attribute(file, "world_size", attributes.world_size);
  h5::write_attribute(file, "slurm_job_id", attributes.slurm_job_id);
}

}  // namespace

OutputLayout layout_of(const RunConfig& config, const PromptFile& prompts) {
  OutputLayout layout;
  layout.text = config.output.store_text;
  layout.token_ids = config.output.store_token_ids;
  layout.logprobs = prompts.most_logprobs(config.sampling.logprobs);
  layout.prompt_logprobs = config.sampling.prompt_logprobs;
  layout.prompt_token_ids = config.output.store_prompt_token_ids;
  layout.stop_reason = config.output.store_stop_reason;
  layout.gzip_level = config.output.gzip_level;
  layout.ids = prompts.has_text_ids() ? IdKind::Text : IdKind::Integer;
  return layout;
}

OutputWriter::OutputWriter(std::string path, const OutputLayout& layout, const RootAttributes& attributes,
                           OutputSize size)
    : path_(std::move(path)),
      layout_(layout),
      attributes_(attributes),
      size_(size),
      file_(h5::create_file(files::temporary_name(path_), seal_bytes)) {
  text_type_ = h5::text_type();
  h5::create_group(file_, "completions");
  make_completions();
  if (layout_.stop_reason) make_stop_reason();
  if (layout_.prompt_token_ids) {
    h5::create_group(file_, "prompt_token_ids");
    data_.prompt_values = make("prompt_token_ids/values", H5T_STD_I32LE, H5T_NATIVE_INT32,
                               fitted(token_chunk, size_.prompt_tokens), one_dimensional);
    data_.prompt_offsets = make("prompt_token_ids/offsets", H5T_STD_U64LE, H5T_NATIVE_UINT64,
                                fitted(row_chunk, offsets_of(size_.prompts)), one_dimensional);
    put(data_.prompt_offsets, 1, &prompt_end_);
  }
  if (layout_.prompt_logprobs) {
    h5::create_group(file_, "prompt_logprobs");
    data_.score_values = make("prompt_logprobs/values", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT,
                              fitted(token_chunk, size_.scored_tokens), one_dimensional);
    data_.score_offsets = make("prompt_logprobs/offsets", H5T_STD_U64LE, H5T_NATIVE_UINT64,
                               fitted(row_chunk, offsets_of(size_.prompts)), one_dimensional);
    put(data_.score_offsets, 1, &score_end_);
  }
  h5::create_group(file_, "errors");
  const std::uint64_t error_rows = fitted(error_chunk, size_.errors);
  data_.error_prompt = make("errors/prompt_index", H5T_STD_U64LE, H5T_NATIVE_UINT64, error_rows, one_dimensional);
  data_.error_sample = make("errors/sample_index", H5T_STD_U32LE, H5T_NATIVE_UINT32, error_rows, one_dimensional);
  data_.error_code = make("errors/code", text_type_, text_type_, error_rows, one_dimensional);
  data_.error_message = make("errors/message", text_type_, text_type_, error_rows, one_dimensional);
  data_.carry = h5::create_group(file_, "carry");
  name_codes();
}

void OutputWriter::make_stop_reason() {
  h5::create_group(file_, "completions/stop_reason");
  data_.stop_values = make("completions/stop_reason/values", H5T_STD_U8LE, H5T_NATIVE_UINT8,
                           fitted(byte_chunk, size_.stop_bytes), one_dimensional);
  data_.stop_offsets = make("completions/stop_reason/offsets", H5T_STD_U64LE, H5T_NATIVE_UINT64,
                            fitted(row_chunk, offsets_of(size_.rows)), one_dimensional);
  put(data_.stop_offsets, 1, &stop_end_);
}

// For whoever has the file and not this page: names[code], and the same as a line to read.
void OutputWriter::name_codes() {
  auto name = [](hid_t dataset, const auto& names, bool numbered) {
    std::string line;
    for (std::size_t i = 0; i < names.size(); i++)
      line += (i > 0 ? ", " : "") + (numbered ? std::to_string(i) + " " : "") + std::string(names[i]);
    h5::write_attribute(dataset, "codes", line);
    h5::write_attribute(dataset, "names", std::vector<std::string>(names.begin(), names.end()));
  };
  name(data_.status.dataset, status_names, true);
  name(data_.finish_reason.dataset, finish_reason_names, true);
  name(data_.error_code.dataset, error_code_names, false);
}

void OutputWriter::make_completions() {
  const std::uint64_t rows = fitted(row_chunk, size_.rows), offsets = fitted(row_chunk, offsets_of(size_.rows));
  const std::uint64_t tokens = fitted(token_chunk, size_.tokens);
  auto column = [&](const std::string& name, hid_t stored, hid_t memory, std::uint64_t chunk) {
    return make("completions/" + name, stored, memory, chunk, one_dimensional);
  };
  auto group = [&](const std::string& name) { h5::create_group(file_, "completions/" + name); };
  data_.prompt_index = column("prompt_index", H5T_STD_U64LE, H5T_NATIVE_UINT64, rows);
  data_.sample_index = column("sample_index", H5T_STD_U32LE, H5T_NATIVE_UINT32, rows);
  data_.id = layout_.ids == IdKind::Text ? column("id", text_type_, text_type_, rows)
                                         : column("id", H5T_STD_I64LE, H5T_NATIVE_INT64, rows);
  data_.status = column("status", H5T_STD_U8LE, H5T_NATIVE_UINT8, rows);
  data_.finish_reason = column("finish_reason", H5T_STD_U8LE, H5T_NATIVE_UINT8, rows);
  data_.num_prompt_tokens = column("num_prompt_tokens", H5T_STD_U32LE, H5T_NATIVE_UINT32, rows);
  data_.num_completion_tokens = column("num_completion_tokens", H5T_STD_U32LE, H5T_NATIVE_UINT32, rows);
  data_.seed = column("seed", H5T_STD_U64LE, H5T_NATIVE_UINT64, rows);
  data_.cumulative_logprob = column("cumulative_logprob", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, rows);
  if (layout_.text) {
    group("text");
    data_.text_values = column("text/values", H5T_STD_U8LE, H5T_NATIVE_UINT8, fitted(byte_chunk, size_.text_bytes));
    data_.text_offsets = column("text/offsets", H5T_STD_U64LE, H5T_NATIVE_UINT64, offsets);
    put(data_.text_offsets, 1, &text_end_);
  }
  if (layout_.token_ids || layout_.logprobs) {
    group("token_ids");
    data_.token_offsets = column("token_ids/offsets", H5T_STD_U64LE, H5T_NATIVE_UINT64, offsets);
    put(data_.token_offsets, 1, &token_end_);
  }
  if (layout_.token_ids) data_.token_values = column("token_ids/values", H5T_STD_I32LE, H5T_NATIVE_INT32, tokens);
  if (!layout_.logprobs) return;
  group("logprobs");
  data_.logprobs = column("logprobs/values", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, tokens);
  if (std::uint64_t k = *layout_.logprobs; k > 0) {
    std::uint64_t chunk = fitted(std::max<std::uint64_t>(1, token_chunk / k), size_.tokens);
    data_.top_ids = make("completions/logprobs/top_ids", H5T_STD_I32LE, H5T_NATIVE_INT32, chunk, k);
    data_.top_values = make("completions/logprobs/top_values", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, chunk, k);
  }
}

OutputWriter::Column OutputWriter::make(const std::string& name, hid_t stored, hid_t memory, std::uint64_t chunk_rows,
                                        std::uint64_t width) {
  std::string what = files::temporary_name(path_) + ": dataset '/" + name + "'";
  int rank = width == one_dimensional ? 1 : 2;
  std::array<hsize_t, 2> extents = {0, width}, limits = {H5S_UNLIMITED, width}, chunk = {chunk_rows, width};
  h5::Handle space = h5::own(H5Screate_simple(rank, extents.data(), limits.data()), what);
  h5::Handle creation = h5::own(H5Pcreate(H5P_DATASET_CREATE), what);
  h5::check(H5Pset_obj_track_times(creation, false), what);
  h5::check(H5Pset_chunk(creation, rank, chunk.data()), what);
  if (layout_.gzip_level) {
    if (H5Tget_class(stored) != H5T_STRING && H5Tget_size(stored) > 1) h5::check(H5Pset_shuffle(creation), what);
    h5::check(H5Pset_deflate(creation, *layout_.gzip_level), what);
  }
  // Any reader of the values then notices a flipped bit. Texts of variable length lie outside of the chunks.
  if (H5Tget_class(stored) != H5T_STRING) h5::check(H5Pset_fletcher32(creation), what);
  hid_t id = H5Dcreate2(file_, name.c_str(), stored, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  return {h5::own(id, what), 0, memory, what};
}

void OutputWriter::put(Column& column, std::uint64_t count, const void* data) {
  if (count == 0) return;
  std::vector<hsize_t> extents = h5::shape(column.dataset);
  extents[0] = column.size + count;
  h5::check(H5Dset_extent(column.dataset, extents.data()), column.what);
  h5::write_rows(column.dataset, column.memory_type, column.size, count, data, column.what);
  column.size += count;
}

void OutputWriter::put_offsets(Column& column, std::uint64_t& end, const std::vector<std::uint64_t>& lengths) {
  std::vector<std::uint64_t> ends;
  ends.reserve(lengths.size());
  for (std::uint64_t length : lengths) ends.push_back(end += length);
  put(column, ends.size(), ends.data());
}

void OutputWriter::put_text(Column& column, const std::vector<std::string>& texts) {
  std::vector<const char*> values;
  values.reserve(texts.size());
  for (const std::string& text : texts) values.push_back(text.c_str());
  put(column, values.size(), values.data());
}

void OutputWriter::append(const OutputBlock& block) {
  std::uint64_t rows = block.rows();
  for (std::uint64_t prompt : block.prompt_index) {
    if (prompts_ == 0 || prompt != last_prompt_) prompts_++;
    last_prompt_ = prompt;
  }
  put(data_.prompt_index, rows, block.prompt_index.data());
  put(data_.sample_index, rows, block.sample_index.data());
  if (layout_.ids == IdKind::Text) {
    expect(block.text_ids.size() == rows, "outputs: every row has a text id");
    put_text(data_.id, block.text_ids);
  } else {
    expect(block.integer_ids.size() == rows, "outputs: every row has an integer id");
    put(data_.id, rows, block.integer_ids.data());
  }
  put(data_.status, rows, block.status.data());
  put(data_.finish_reason, rows, block.finish_reason.data());
  put(data_.num_prompt_tokens, rows, block.num_prompt_tokens.data());
  put(data_.num_completion_tokens, rows, block.num_completion_tokens.data());
  put(data_.seed, rows, block.seed.data());
  put(data_.cumulative_logprob, rows, block.cumulative_logprob.data());
  if (layout_.text) {
    put(data_.text_values, block.text.size(), block.text.data());
    put_offsets(data_.text_offsets, text_end_, block.text_bytes);
    expect(text_end_ == data_.text_values.size, "outputs: offsets end where the text does");
  }
  if (layout_.stop_reason) {
    expect(block.stop_bytes.size() == rows, "outputs: every row says what ended it");
    put(data_.stop_values, block.stop_reason.size(), block.stop_reason.data());
    put_offsets(data_.stop_offsets, stop_end_, block.stop_bytes);
  }
  if (layout_.token_ids) put(data_.token_values, block.token_ids.size(), block.token_ids.data());
  if (layout_.token_ids || layout_.logprobs) {
    put_offsets(data_.token_offsets, token_end_, block.token_counts);
    expect(!layout_.token_ids || token_end_ == data_.token_values.size, "outputs: offsets end where the tokens do");
  }
  if (!layout_.logprobs) return;
  put(data_.logprobs, block.logprobs.size(), block.logprobs.data());
  expect(token_end_ == data_.logprobs.size, "outputs: every token has a logprob");
  if (std::uint64_t k = *layout_.logprobs; k > 0) {
    expect(block.top_ids.size() == block.logprobs.size() * k && block.top_values.size() == block.top_ids.size(),
           "outputs: every token has its k best");
    put(data_.top_ids, block.logprobs.size(), block.top_ids.data());
    put(data_.top_values, block.logprobs.size(), block.top_values.data());
  }
}

void OutputWriter::append(const ErrorBlock& errors) {
  put(data_.error_prompt, errors.prompt_index.size(), errors.prompt_index.data());
  put(data_.error_sample, errors.sample_index.size(), errors.sample_index.data());
  put_text(data_.error_code, errors.code);
  put_text(data_.error_message, errors.message);
}

void OutputWriter::append(const ScoreBlock& scores) {
  expect(layout_.prompt_logprobs, "outputs: scores are in the layout");
  put(data_.score_values, scores.values.size(), scores.values.data());
  put_offsets(data_.score_offsets, score_end_, scores.counts);
  expect(score_end_ == data_.score_values.size, "outputs: offsets end where the scores do");
}

void OutputWriter::append(const PromptTokenBlock& tokens) {
  expect(layout_.prompt_token_ids, "outputs: prompt tokens are in the layout");
  put(data_.prompt_values, tokens.values.size(), tokens.values.data());
  put_offsets(data_.prompt_offsets, prompt_end_, tokens.counts);
  expect(prompt_end_ == data_.prompt_values.size, "outputs: offsets end where the prompts' tokens do");
}

void OutputWriter::append_carried(const std::string& name, hid_t source, std::uint64_t first, std::uint64_t count) {
  auto column = std::find_if(data_.carried.begin(), data_.carried.end(), [&](auto& c) { return c.first == name; });
  if (column == data_.carried.end()) {
    Column made;
    made.dataset = make_carried(data_.carry, name, source, layout_.gzip_level, fitted(row_chunk, size_.prompts));
    column = data_.carried.emplace(data_.carried.end(), name, std::move(made));
  }
  copy_carried(source, first, count, column->second.dataset, column->second.size);
  column->second.size += count;
}

OutputWriter::~OutputWriter() {
  if (!published_) files::try_remove(files::temporary_name(path_));
}

void OutputWriter::publish(const std::function<void()>& between) {
  std::string path = files::temporary_name(path_);
  for (const auto& [name, column] : data_.carried)
    expect(column.size == prompts_, "outputs: a carried column has one row a prompt");
  // Ahead of letting go of the datasets: HDF5 forgets a chunk that cannot be written then, and tells nobody.
  h5::check(H5Fflush(file_, H5F_SCOPE_LOCAL), path + ": flush");
  data_ = Datasets();
  write_root_attributes(file_, attributes_);
  h5::check(H5Fflush(file_, H5F_SCOPE_LOCAL), path + ": flush");
  h5::write_attribute(file_, "complete", std::int64_t{1});
  file_.close(path);
  std::vector<std::string> faults = check_form(path);
  if (!faults.empty()) system_error("{}: came back damaged after it was written: {}", path, fmt::join(faults, "; "));
  seal(path, between);
  files::publish(path, path_);
  published_ = true;
}

}  // namespace moemill::dataset
