#include "dataset/outputs/merge.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "dataset/seal.hpp"

namespace moemill::dataset {
namespace {

void check_layout(const OutputReader& shard, const OutputLayout& layout) {
  const OutputLayout& found = shard.layout();
  bool same = found.text == layout.text && found.token_ids == layout.token_ids && found.logprobs == layout.logprobs &&
              found.prompt_logprobs == layout.prompt_logprobs && found.ids == layout.ids &&
              found.prompt_token_ids == layout.prompt_token_ids && found.stop_reason == layout.stop_reason;
  if (!same) {
    system_error("{}: stores other parts (text, token ids, logprobs, kind of id) than this run does", shard.path());
  }
}

// Shards come in the order of their prompts, without a gap: each begins where the one before it ended.
void check_place(const OutputReader& shard, const RootAttributes& attributes, std::uint64_t next_prompt) {
  if (const std::string id = shard.text_attribute("run_id"); id != attributes.run_id)
    tell_damaged(shard.path(), fmt::format("it is of run {}, not of {}", id, attributes.run_id));
  if (shard.rows() == 0) tell_damaged(shard.path(), "it has no rows");
  const std::uint64_t first = shard.read_prompts(0, 1).at(0);
  if (first != next_prompt)
    tell_damaged(shard.path(), fmt::format("it begins with prompt {}, not with {}", first, next_prompt));
}

// /prompt_logprobs and /carry have one row for each of the `prompts` of a shard.
void check_prompts(const OutputReader& shard, std::uint64_t prompts) {
  auto check = [&](const std::string& what, std::uint64_t count) {
    if (count != prompts)
      tell_damaged(shard.path(), fmt::format("'/{}' has {} rows for {} prompts", what, count, prompts));
  };
  if (shard.layout().prompt_logprobs) check("prompt_logprobs", shard.scored_prompts());
  if (shard.layout().prompt_token_ids) check("prompt_token_ids", shard.prompts_with_tokens());
  for (const std::string& name : shard.carried_names()) check("carry/" + name, h5::shape(shard.open_carried(name))[0]);
}

void copy_rows(const OutputReader& shard, OutputWriter& out, const std::function<void()>& between) {
  const std::uint64_t prompts_before = out.prompts();
  for (std::uint64_t first = 0; first < shard.rows();) {
    std::uint64_t end = shard.block_end(first);
    between();
    out.append(shard.read(first, end - first));
    first = end;
  }
  check_prompts(shard, out.prompts() - prompts_before);
  constexpr std::uint64_t error_rows = 4096;
  for (std::uint64_t first = 0; first < shard.errors(); first += error_rows) {
    out.append(shard.read_errors(first, std::min(error_rows, shard.errors() - first)));
  }
  for (std::uint64_t first = 0; first < shard.scored_prompts();) {
    std::uint64_t end = shard.score_block_end(first);
    between();
    out.append(shard.read_scores(first, end - first));
    first = end;
  }
  for (std::uint64_t first = 0; first < shard.prompts_with_tokens();) {
    std::uint64_t end = shard.prompt_token_block_end(first);
    between();
    out.append(shard.read_prompt_tokens(first, end - first));
    first = end;
  }
}

}  // namespace

void merge_shards(const std::vector<std::string>& shards, const std::string& path, const OutputLayout& layout,
                  const RootAttributes& attributes, std::uint64_t completions, const std::function<void()>& between) {
  OutputWriter out(path, layout, attributes);
  for (const std::string& shard_path : shards) {
    refuse_broken(shard_path, between);
    OutputReader shard(shard_path);
    check_layout(shard, layout);
    check_place(shard, attributes, out.prompts());
    copy_rows(shard, out, between);
    for (const std::string& name : shard.carried_names()) {
      between();
      h5::Handle source = shard.open_carried(name);
      out.append_carried(name, source, 0, h5::shape(source)[0]);
    }
  }
  if (out.rows() != completions)
    system_error(
        "{}: not written: the shards hold {} rows, the run has {}; moemill verify says which shard is not whole", path,
        out.rows(), completions);
  out.publish(between);
}

}  // namespace moemill::dataset
