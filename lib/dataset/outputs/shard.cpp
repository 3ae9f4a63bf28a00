#include "dataset/outputs/shard.hpp"

#include <algorithm>
#include <tuple>

#include "base/error.hpp"

namespace moemill::dataset {
namespace {

constexpr std::size_t most_block_values = 4u << 20;

// Sorted, each prompt of the range with samples 0 .. n-1, each once; failed rows and only they have an error.
void settle(ShardRows& rows) {
  auto by_key = [](const Completion& a, const Completion& b) {
    return std::tie(a.prompt_index, a.sample_index) < std::tie(b.prompt_index, b.sample_index);
  };
  std::sort(rows.completions.begin(), rows.completions.end(), by_key);
  std::uint64_t prompt = rows.range.first;
  std::uint32_t sample = 0;
  for (const Completion& row : rows.completions) {
    if (row.prompt_index != prompt && sample > 0) prompt++, sample = 0;
    expect(row.prompt_index == prompt && row.sample_index == sample, "shard: every (prompt, sample) is there once");
    expect(row.error.has_value() == (row.status == RowStatus::Failed), "shard: exactly failed rows have an error");
    sample++;
  }
  expect(rows.range.count == 0 || (prompt + 1 == rows.range.first + rows.range.count && sample > 0),
         "shard: every prompt of the range has rows");
  auto by_prompt = [](const PromptScore& a, const PromptScore& b) { return a.prompt_index < b.prompt_index; };
  std::sort(rows.scores.begin(), rows.scores.end(), by_prompt);
  for (std::size_t i = 0; i < rows.scores.size(); i++) {
    bool within = rows.scores[i].prompt_index - rows.range.first < rows.range.count;
    expect(within && (i == 0 || rows.scores[i - 1].prompt_index < rows.scores[i].prompt_index),
           "shard: at most one score a prompt of the range");
  }
}

template <class T>
void extend(std::vector<T>& into, const std::vector<T>& values) {
  into.insert(into.end(), values.begin(), values.end());
}

// One row at a time gets the width of the file: of a whole shard it may be more than memory holds.
void add_logprobs(OutputBlock& block, const Completion& row, std::uint32_t k) {
  const std::size_t tokens = row.token_ids.size();
  if (row.logprobs.size() != tokens || row.top_ids.size() != tokens * k) {
    Completion wide = row;
    widen_logprobs(wide, k);
    return add_logprobs(block, wide, k);
  }
  extend(block.logprobs, row.logprobs);
  extend(block.top_ids, row.top_ids);
  extend(block.top_values, row.top_values);
}

void add(OutputBlock& block, const Completion& row, const OutputLayout& layout) {
  block.prompt_index.push_back(row.prompt_index);
  block.sample_index.push_back(row.sample_index);
  if (layout.ids == IdKind::Text) {
    block.text_ids.push_back(to_text(row.id));
  } else {
    expect(std::holds_alternative<std::int64_t>(row.id), "shard: ids are integers in every row");
    block.integer_ids.push_back(std::get<std::int64_t>(row.id));
  }
  block.status.push_back(static_cast<std::uint8_t>(row.status));
  block.finish_reason.push_back(static_cast<std::uint8_t>(row.finish_reason));
  block.num_prompt_tokens.push_back(row.num_prompt_tokens);
  block.num_completion_tokens.push_back(static_cast<std::uint32_t>(row.token_ids.size()));
  block.seed.push_back(row.seed);
  block.cumulative_logprob.push_back(row.cumulative_logprob);
  if (layout.text) {
    block.text_bytes.push_back(row.text.size());
    block.text.insert(block.text.end(), row.text.begin(), row.text.end());
  }
  if (layout.stop_reason) {
    block.stop_bytes.push_back(row.stop_reason.size());
    block.stop_reason.insert(block.stop_reason.end(), row.stop_reason.begin(), row.stop_reason.end());
  }
  block.token_counts.push_back(row.token_ids.size());
  if (layout.token_ids) extend(block.token_ids, row.token_ids);
  if (layout.logprobs) add_logprobs(block, row, *layout.logprobs);
}

void write_completions(const std::vector<Completion>& rows, const OutputLayout& layout, OutputWriter& writer) {
  OutputBlock block;
  std::size_t values = 0;
  for (const Completion& row : rows) {
    add(block, row, layout);
    values += row.text.size() + row.token_ids.size() * (1 + layout.logprobs.value_or(0));
    if (values < most_block_values) continue;
    writer.append(block);
    block = {};
    values = 0;
  }
  writer.append(block);
}

void write_errors(const std::vector<Completion>& rows, OutputWriter& writer) {
  ErrorBlock errors;
  for (const Completion& row : rows) {
    if (!row.error) continue;
    errors.prompt_index.push_back(row.prompt_index);
    errors.sample_index.push_back(row.sample_index);
    errors.code.emplace_back(name_of(row.error->code));
    errors.message.push_back(row.error->message);
  }
  writer.append(errors);
}

// One entry a prompt of the range; a prompt without a score (a failed one) has an empty one.
void write_scores(const ShardRows& rows, OutputWriter& writer) {
  ScoreBlock block;
  auto next = rows.scores.begin();
  for (std::uint64_t i = 0; i < rows.range.count; i++) {
    bool scored = next != rows.scores.end() && next->prompt_index == rows.range.first + i;
    block.counts.push_back(scored ? next->logprobs.size() : 0);
    if (scored) extend(block.values, (next++)->logprobs);
  }
  writer.append(block);
}

void write_prompt_tokens(const ShardRows& rows, OutputWriter& writer) {
  expect(rows.prompt_tokens.size() == rows.range.count, "shard: every prompt of the range has its tokens");
  PromptTokenBlock block;
  for (const auto& tokens : rows.prompt_tokens) {
    block.counts.push_back(tokens.size());
    extend(block.values, tokens);
  }
  writer.append(block);
}

OutputSize size_of(const ShardRows& rows) {
  OutputSize size{rows.range.count, rows.completions.size(), 0, 0, 0, 0, 0, 0};
  for (const Completion& row : rows.completions) {
    size.text_bytes += row.text.size();
    size.tokens += row.token_ids.size();
    size.stop_bytes += row.stop_reason.size();
    size.errors += row.error ? 1 : 0;
  }
  for (const auto& tokens : rows.prompt_tokens) size.prompt_tokens += tokens.size();
  for (const PromptScore& score : rows.scores) size.scored_tokens += score.logprobs.size();
  return size;
}

}  // namespace

namespace {

// Rows of carried columns may be torn where somebody writes to the prompts file: that is who is at fault then.
PromptFile::Reopened append_carried(const PromptFile& prompts, ShardRange range, OutputWriter& writer) {
  prompts.check_contents();
  try {
    for (const CarriedColumn& column : prompts.carried())
      writer.append_carried(column.name, prompts.carried_dataset(column.name), range.first, range.count);
  } catch (const SystemError&) {
    if (prompts.check_contents() == PromptFile::Reopened::No) throw;
    return PromptFile::Reopened::Yes;
  }
  return prompts.check_contents();
}

}  // namespace

void write_shard(const std::string& path, ShardRows rows, const PromptFile& prompts, const OutputLayout& layout,
                 const RootAttributes& attributes) {
  settle(rows);
  do {
    OutputWriter writer(path, layout, attributes, size_of(rows));
    write_completions(rows.completions, layout, writer);
    write_errors(rows.completions, writer);
    if (layout.prompt_logprobs) write_scores(rows, writer);
    if (layout.prompt_token_ids) write_prompt_tokens(rows, writer);
    if (append_carried(prompts, rows.range, writer) == PromptFile::Reopened::Yes) continue;
    return writer.publish();
  } while (true);
}

}  // namespace moemill::dataset
