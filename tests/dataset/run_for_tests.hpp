// A run made of numbers: its directory, shards with rows of every kind, the merge.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "dataset/checks/verify.hpp"
#include "dataset/outputs/merge.hpp"
#include "dataset/outputs/shard.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "dataset/seal.hpp"
#include "rows_for_tests.hpp"

namespace moemill::dataset {

inline RootAttributes attributes_for(const RunManifest& manifest) {
  RootAttributes attributes;
  attributes.run_id = manifest.run_id;
  attributes.created_utc = manifest.created_utc;
  attributes.config_yaml = "schema_version: 1\n" + std::string(100'000, '#') +
                           "\n";  // longer than 64 KiB, HDF5's limit for attributes of fixed size
  attributes.input_sha256 = "11";
  attributes.model_sha256 = "22";
  attributes.tokenizer_sha256 = "33";
  attributes.backend = "cpu-test";
  attributes.dtype = "bfloat16";
  attributes.world_size = 2;
  return attributes;
}

// The rows of the prompts of a range: some fail, token counts vary, ids as in the input.
inline ShardRows rows_of_range(const PromptFile& prompts, ShardRange range, const OutputLayout& layout) {
  ShardRows rows;
  rows.range = range;
  for (const Prompt& prompt : prompts.read(range.first, range.count, SamplingParams())) {
    for (std::uint32_t sample = prompt.sampling.n; sample-- > 0;) {  // not in order
      bool fails = prompt.fault || prompt.index % 5 == 4;
      Completion row = ok_row(prompt.index, sample, static_cast<std::uint32_t>(prompt.index * 3 + sample) % 7,
                              layout.logprobs.value_or(0));
      if (fails) row = failed_row(prompt.index, sample, prompt.id, {ErrorCode::TooLong, "has 9 tokens, at most 8 fit"});
      row.id = prompt.id;
      rows.completions.push_back(row);
    }
    if (layout.prompt_token_ids)
      rows.prompt_tokens.push_back(prompt.index % 5 == 4 ? std::vector<TokenId>()
                                                         : std::vector<TokenId>(prompt.index % 3 + 1, 7));
    if (layout.prompt_logprobs && prompt.index % 5 != 4) {
      std::vector<float> scores(prompt.index % 4 + 1, -0.125f);
      scores[0] = std::nanf("");
      rows.scores.push_back({prompt.index, scores});
    }
  }
  return rows;
}

struct Run {
  RunPaths paths;
  RunManifest manifest;
  OutputLayout layout;

  Run(const std::string& dir, const PromptFile& prompts, std::uint64_t shard_prompts, OutputLayout stored)
      : paths{dir}, layout(stored) {
    layout.ids = prompts.has_text_ids() ? IdKind::Text : IdKind::Integer;
    manifest.run_id = new_run_id();
    manifest.created_utc = "2026-01-02T03:04:05Z";
    manifest.prompts = prompts.size();
    manifest.completions = prompts.check_columns(SamplingParams());
    manifest.shard_prompts = shard_prompts;
    manifest.fingerprints = {{"input_sha256", "11"}, {"model_sha256", "22"}};
    files::make_folders(dir);
    create_run(paths, manifest, with_checksum_line("schema_version: 1\n"));
  }
  void write(const PromptFile& prompts, ShardId shard) {
    write_shard(paths.shard(shard), rows_of_range(prompts, manifest.range_of(shard), layout), prompts, layout,
                attributes_for(manifest));
  }
  void write_all(const PromptFile& prompts) {
    for (std::uint32_t i = 0; i < manifest.shard_count(); i++) write(prompts, ShardId{static_cast<std::int32_t>(i)});
  }
  void merge() {
    std::vector<std::string> shards;
    for (ShardId shard : list_run(paths).finished) shards.push_back(paths.shard(shard));
    merge_shards(shards, paths.outputs(), layout, attributes_for(manifest), manifest.completions);
  }
  VerifyReport verify(const PromptFile& prompts, VerifyDepth depth) {
    return verify_run({paths.dir, depth, SamplingParams(), 2000, true}, prompts);
  }
};

}  // namespace moemill::dataset
