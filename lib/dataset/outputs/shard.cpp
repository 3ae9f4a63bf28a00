#include "dataset/outputs/shard.hpp"

#include <algorithm>
#include <tuple>

#include "base/error.hpp"

namespace moemill::dataset {
namespace {

constexpr std::size_t most_held_values = 4u << 20;

// Sorts the rows and expects each prompt of the range with samples 0 .. n-1, each once, and an error in exactly the
// failed rows.
void sort_and_check(ShardRows& rows) {
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
           "shard: at most one score per prompt of the range");
  }
}

template <class T>
void extend(std::vector<T>& into, const std::vector<T>& values) {
  into.insert(into.end(), values.begin(), values.end());
}

// Writes blocks of rows that are fitted to the layout, because the logprobs of a whole shard may exceed memory.
void write_completions(const std::vector<Completion>& rows, const OutputLayout& layout, OutputWriter& writer) {
  std::vector<Completion> block;
  std::size_t values = 0;
  for (const Completion& row : rows) {
    fit_to_layout(block.emplace_back(row), layout);
    values += row.text.size() + row.token_ids.size() * (1 + layout.logprobs.value_or(0));
    if (values < most_held_values) continue;
    writer.append(block);
    block.clear();
    values = 0;
  }
  writer.append(block);
}

void write_errors(const std::vector<Completion>& rows, OutputWriter& writer) {
  ErrorBlock errors;
  for (const Completion& row : rows)
    if (row.error) errors.add(row.prompt_index, row.sample_index, *row.error);
  writer.append(errors);
}

// Writes one entry per prompt of the range. A failed prompt has no score, and its entry is empty.
void write_scores(const ShardRows& rows, OutputWriter& writer) {
  PromptBlock<float> block;
  auto next = rows.scores.begin();
  for (std::uint64_t i = 0; i < rows.range.count; i++) {
    bool scored = next != rows.scores.end() && next->prompt_index == rows.range.first + i;
    block.counts.push_back(scored ? next->logprobs.size() : 0);
    if (scored) extend(block.values, (next++)->logprobs);
  }
  writer.append(prompt_logprobs, block);
}

void write_prompt_tokens(const ShardRows& rows, OutputWriter& writer) {
  expect(rows.prompt_tokens.size() == rows.range.count, "shard: every prompt of the range has its tokens");
  PromptBlock<TokenId> block;
  for (const auto& tokens : rows.prompt_tokens) {
    block.counts.push_back(tokens.size());
    extend(block.values, tokens);
  }
  writer.append(prompt_token_ids, block);
}

OutputSize size_of(const ShardRows& rows) {
  OutputSize size{rows.range.count, rows.completions.size(), 0};
  for_each_ragged([&](const auto& field) {
    if (field.values != std::string(field.lengths) + "/values") return;  // shares the offsets of a column before it
    for (const Completion& row : rows.completions) size.units[field.lengths] += (row.*field.member).size();
  });
  for (const Completion& row : rows.completions) size.errors += row.error ? 1 : 0;
  for (const auto& tokens : rows.prompt_tokens) size.units[prompt_token_ids.group] += tokens.size();
  for (const PromptScore& score : rows.scores) size.units[prompt_logprobs.group] += score.logprobs.size();
  return size;
}

// A fault while the prompts file changes is not reported, because another process may have been writing to it.
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
  sort_and_check(rows);
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
