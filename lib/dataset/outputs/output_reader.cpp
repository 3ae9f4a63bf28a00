#include <algorithm>
#include <numeric>

#include "base/error.hpp"
#include "dataset/outputs/outputs.hpp"
#include "dataset/seal.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t most_block_rows = 4096;
constexpr std::uint64_t most_block_values = 4u << 20;

// Of the rows that `ends` = offsets[first ..] describe, how many make a block.
std::uint64_t rows_within(const std::vector<std::uint64_t>& ends, std::uint64_t most_rows) {
  std::uint64_t rows = 1;
  while (rows < most_rows && ends[rows + 1] - ends[0] <= most_block_values) rows++;
  return rows;
}

std::vector<std::uint64_t> lengths_of(const std::vector<std::uint64_t>& ends) {
  std::vector<std::uint64_t> lengths(ends.size() - 1);
  for (std::size_t i = 0; i < lengths.size(); i++) lengths[i] = ends[i + 1] - ends[i];
  return lengths;
}

// "Damaged" is said only of what the system reads to the end: no right, no descriptor or a broken disk is no reason to
// remove a file.
h5::Handle open_finished(const std::string& path) {
  files::open_to_read(path).close(path);
  std::string refusal, faults;
  try {
    h5::Handle file = h5::open_file(path);
    faults = fmt::format("{}", fmt::join(check_form(file), "; "));
    if (faults.empty()) return file;
  } catch (const std::runtime_error& error) {
    refusal = error.what();
  }
  const auto broken = broken_seal(path, [] {});
  if (!broken && faults.empty()) system_error("{}: cannot be opened: {}", path, refusal);
  tell_damaged(path, faults.empty() ? refusal : faults);
}

}  // namespace

OutputReader::OutputReader(const std::string& path) : path_(path), file_(open_finished(path)) {
  auto rows = [&](const std::string& name) { return h5::shape(h5::open_dataset(file_, name))[0]; };
  rows_ = rows("completions/prompt_index");
  errors_ = rows("errors/prompt_index");
  layout_.text = h5::exists(file_, "completions/text");
  layout_.token_ids = h5::exists(file_, "completions/token_ids/values");
  if (h5::exists(file_, "completions/logprobs")) {
    bool top = h5::exists(file_, "completions/logprobs/top_ids");
    auto width = [&] { return h5::shape(h5::open_dataset(file_, "completions/logprobs/top_ids"))[1]; };
    layout_.logprobs = top ? static_cast<std::uint32_t>(width()) : 0;
  }
  layout_.stop_reason = h5::exists(file_, "completions/stop_reason");
  layout_.prompt_token_ids = h5::exists(file_, "prompt_token_ids");
  if (layout_.prompt_token_ids) prompts_with_tokens_ = rows("prompt_token_ids/offsets") - 1;
  layout_.prompt_logprobs = h5::exists(file_, "prompt_logprobs");
  if (layout_.prompt_logprobs) scored_prompts_ = rows("prompt_logprobs/offsets") - 1;
  h5::Handle id_type = h5::type_of(h5::open_dataset(file_, "completions/id"));
  layout_.ids = H5Tget_class(id_type) == H5T_STRING ? IdKind::Text : IdKind::Integer;
}

template <class T>
std::vector<T> OutputReader::column(const std::string& name, hid_t type, std::uint64_t first, std::uint64_t count,
                                    std::uint64_t width) const {
  std::vector<T> values(count * width);
  h5::Handle dataset = h5::open_dataset(file_, name);
  h5::read_rows(dataset, type, first, count, values.data(), path_ + ": dataset '/" + name + "'");
  return values;
}

std::vector<std::string> OutputReader::text_column(const std::string& name, std::uint64_t first,
                                                   std::uint64_t count) const {
  std::string what = path_ + ": dataset '/" + name + "'";
  h5::Handle type = h5::text_type();
  hsize_t extent = count;
  h5::Handle space = h5::own(H5Screate_simple(1, &extent, nullptr), what);
  std::vector<char*> values = column<char*>(name, type, first, count);
  std::vector<std::string> texts(count);
  for (std::uint64_t i = 0; i < count; i++) texts[i] = values[i] ? values[i] : "";
  if (count > 0) h5::check(H5Dvlen_reclaim(type, space, H5P_DEFAULT, values.data()), what);
  return texts;
}

// offsets[first .. first+count], held to ascend.
std::vector<std::uint64_t> OutputReader::offsets(const std::string& name, std::uint64_t first,
                                                 std::uint64_t count) const {
  auto ends = column<std::uint64_t>(name + "/offsets", H5T_NATIVE_UINT64, first, count + 1);
  auto falls = std::is_sorted_until(ends.begin(), ends.end());
  std::uint64_t values = ends.back();
  if (h5::exists(file_, name + "/values")) values = h5::shape(h5::open_dataset(file_, name + "/values"))[0];
  if (falls != ends.end() || ends.back() > values || (first == 0 && ends[0] != 0)) {
    system_error("{}: dataset '/{}/offsets': from row {} on does not ascend from 0 to the {} values", path_, name,
                 first + static_cast<std::uint64_t>(falls - ends.begin()) % (count + 1), values);
  }
  return ends;
}

OutputBlock OutputReader::read_numbers(std::uint64_t first, std::uint64_t count) const {
  OutputBlock block;
  auto rows = [&]<class T>(std::vector<T>& into, const char* name, hid_t type) {
    into = column<T>(std::string("completions/") + name, type, first, count);
  };
  rows(block.prompt_index, "prompt_index", H5T_NATIVE_UINT64);
  rows(block.sample_index, "sample_index", H5T_NATIVE_UINT32);
  rows(block.status, "status", H5T_NATIVE_UINT8);
  rows(block.finish_reason, "finish_reason", H5T_NATIVE_UINT8);
  rows(block.num_prompt_tokens, "num_prompt_tokens", H5T_NATIVE_UINT32);
  rows(block.num_completion_tokens, "num_completion_tokens", H5T_NATIVE_UINT32);
  rows(block.seed, "seed", H5T_NATIVE_UINT64);
  rows(block.cumulative_logprob, "cumulative_logprob", H5T_NATIVE_FLOAT);
  return block;
}

OutputBlock OutputReader::read(std::uint64_t first, std::uint64_t count) const {
  OutputBlock block = read_numbers(first, count);
  if (layout_.ids == IdKind::Text) {
    block.text_ids = text_column("completions/id", first, count);
  } else {
    block.integer_ids = column<std::int64_t>("completions/id", H5T_NATIVE_INT64, first, count);
  }
  if (layout_.text) {
    auto ends = offsets("completions/text", first, count);
    block.text_bytes = lengths_of(ends);
    block.text = column<std::uint8_t>("completions/text/values", H5T_NATIVE_UINT8, ends[0], ends.back() - ends[0]);
  }
  if (layout_.stop_reason) {
    auto ends = offsets("completions/stop_reason", first, count);
    block.stop_bytes = lengths_of(ends);
    block.stop_reason =
        column<std::uint8_t>("completions/stop_reason/values", H5T_NATIVE_UINT8, ends[0], ends.back() - ends[0]);
  }
  if (!layout_.token_ids && !layout_.logprobs) return block;
  auto ends = offsets("completions/token_ids", first, count);
  std::uint64_t begin = ends[0], tokens = ends.back() - ends[0];
  block.token_counts = lengths_of(ends);
  if (layout_.token_ids)
    block.token_ids = column<TokenId>("completions/token_ids/values", H5T_NATIVE_INT32, begin, tokens);
  if (!layout_.logprobs) return block;
  block.logprobs = column<float>("completions/logprobs/values", H5T_NATIVE_FLOAT, begin, tokens);
  if (std::uint64_t k = *layout_.logprobs; k > 0) {
    block.top_ids = column<TokenId>("completions/logprobs/top_ids", H5T_NATIVE_INT32, begin, tokens, k);
    block.top_values = column<float>("completions/logprobs/top_values", H5T_NATIVE_FLOAT, begin, tokens, k);
  }
  return block;
}

ScoreBlock OutputReader::read_scores(std::uint64_t first, std::uint64_t count) const {
  auto ends = offsets("prompt_logprobs", first, count);
  return {lengths_of(ends), column<float>("prompt_logprobs/values", H5T_NATIVE_FLOAT, ends[0], ends.back() - ends[0])};
}

PromptTokenBlock OutputReader::read_prompt_tokens(std::uint64_t first, std::uint64_t count) const {
  auto ends = offsets("prompt_token_ids", first, count);
  return {lengths_of(ends),
          column<TokenId>("prompt_token_ids/values", H5T_NATIVE_INT32, ends[0], ends.back() - ends[0])};
}

ErrorBlock OutputReader::read_errors(std::uint64_t first, std::uint64_t count) const {
  ErrorBlock errors;
  errors.prompt_index = read_error_prompts(first, count);
  errors.sample_index = column<std::uint32_t>("errors/sample_index", H5T_NATIVE_UINT32, first, count);
  errors.code = text_column("errors/code", first, count);
  errors.message = text_column("errors/message", first, count);
  return errors;
}

std::vector<std::uint64_t> OutputReader::read_prompts(std::uint64_t first, std::uint64_t count) const {
  return column<std::uint64_t>("completions/prompt_index", H5T_NATIVE_UINT64, first, count);
}

std::vector<std::uint64_t> OutputReader::read_error_prompts(std::uint64_t first, std::uint64_t count) const {
  return column<std::uint64_t>("errors/prompt_index", H5T_NATIVE_UINT64, first, count);
}

std::vector<std::uint8_t> OutputReader::read_status(std::uint64_t first, std::uint64_t count) const {
  return column<std::uint8_t>("completions/status", H5T_NATIVE_UINT8, first, count);
}

std::uint64_t OutputReader::block_end(std::uint64_t first) const {
  std::uint64_t rows = std::min(rows_ - first, most_block_rows);
  if (rows == 0) return first;
  if (layout_.text) rows = rows_within(offsets("completions/text", first, rows), rows);
  if (layout_.stop_reason) rows = rows_within(offsets("completions/stop_reason", first, rows), rows);
  if (layout_.token_ids || layout_.logprobs) rows = rows_within(offsets("completions/token_ids", first, rows), rows);
  return first + rows;
}

std::uint64_t OutputReader::score_block_end(std::uint64_t first) const {
  std::uint64_t rows = std::min(scored_prompts_ - first, most_block_rows);
  return rows == 0 ? first : first + rows_within(offsets("prompt_logprobs", first, rows), rows);
}

std::uint64_t OutputReader::prompt_token_block_end(std::uint64_t first) const {
  std::uint64_t rows = std::min(prompts_with_tokens_ - first, most_block_rows);
  return rows == 0 ? first : first + rows_within(offsets("prompt_token_ids", first, rows), rows);
}

std::vector<std::string> OutputReader::carried_names() const { return h5::child_names(h5::open_group(file_, "carry")); }

h5::Handle OutputReader::open_carried(const std::string& name) const {
  return h5::open_dataset(file_, "carry/" + name);
}

std::string OutputReader::text_attribute(const std::string& name) const { return h5::read_text_attribute(file_, name); }

std::int64_t OutputReader::number_attribute(const std::string& name) const {
  return h5::read_number_attribute(file_, name);
}

}  // namespace moemill::dataset
