#include "dataset/outputs/merge.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "dataset/seal.hpp"

namespace moemill::dataset {
namespace {

void check_layout(const OutputReader& shard, OutputLayout layout) {
  layout.gzip_level = shard.layout().gzip_level;
  if (shard.layout() != layout)
    system_error("{}: stores different parts (text, token ids, logprobs, kind of id) from this run", shard.path());
}

// Shards come in the order of their prompts, without a gap: each begins where the one before it has ended.
void check_place(const OutputReader& shard, const RootAttributes& attributes, std::uint64_t next_prompt) {
  if (const std::string id = shard.text_attribute("run_id"); id != attributes.run_id)
    fail_as_damaged(shard.path(), fmt::format("it is of run {}, not of {}", id, attributes.run_id));
  if (shard.rows() == 0) fail_as_damaged(shard.path(), "it has no rows");
  const std::uint64_t first = shard.read_prompts(0, 1).at(0);
  if (first != next_prompt)
    fail_as_damaged(shard.path(), fmt::format("it begins with prompt {}, not with {}", first, next_prompt));
}

// Columns by prompt and /carry have one row for each of the `prompts` of a shard.
void check_prompts(const OutputReader& shard, std::uint64_t prompts) {
  auto check = [&](const std::string& what, std::uint64_t count) {
    if (count != prompts)
      fail_as_damaged(shard.path(), fmt::format("'/{}' has {} rows for {} prompts", what, count, prompts));
  };
  for_each_field(prompt_fields, [&](const auto& field) {
    if (shard.layout().*field.flag) check(field.group, shard.prompts(field));
  });
  for (const std::string& name : shard.carried_names()) check("carry/" + name, h5::shape(shard.open_carried(name))[0]);
}

void copy_shard(const OutputReader& shard, OutputWriter& out, const std::function<void()>& between) {
  const std::uint64_t prompts_before = out.prompts();
  copy_rows(shard, 0, shard.rows(), out, between);
  const std::uint64_t prompts = out.prompts() - prompts_before;
  check_prompts(shard, prompts);
  constexpr std::uint64_t error_rows = 4096;
  for (std::uint64_t first = 0; first < shard.errors(); first += error_rows)
    out.append(shard.read_errors(first, std::min(error_rows, shard.errors() - first)));
  copy_prompts(shard, 0, prompts, out, between);
}

}  // namespace

void copy_rows(const OutputReader& from, std::uint64_t first, std::uint64_t end, OutputWriter& to,
               const std::function<void()>& between) {
  while (first < end) {
    const std::uint64_t block_end = std::min(from.block_end(first), end);
    between();
    to.append(from.read(first, block_end - first));
    first = block_end;
  }
}

void copy_prompts(const OutputReader& from, std::uint64_t first, std::uint64_t end, OutputWriter& to,
                  const std::function<void()>& between) {
  for_each_field(prompt_fields, [&](const auto& field) {
    if (!(from.layout().*field.flag)) return;
    for (std::uint64_t at = first; at < end;) {
      const std::uint64_t block_end = std::min(from.block_end(field, at), end);
      between();
      to.append(field, from.read(field, at, block_end - at));
      at = block_end;
    }
  });
}

void merge_shards(const std::vector<std::string>& shards, const std::string& path, const OutputLayout& layout,
                  const RootAttributes& attributes, std::uint64_t completions, const std::function<void()>& between) {
  OutputWriter out(path, layout, attributes);
  for (const std::string& shard_path : shards) {
    refuse_broken(shard_path, between);
    OutputReader shard(shard_path);
    check_layout(shard, layout);
    check_place(shard, attributes, out.prompts());
    copy_shard(shard, out, between);
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
