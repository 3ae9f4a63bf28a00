// RUN_DIR: its names, its manifest run.json, what lies finished in it. One rank lists and writes the files of
// the run as a whole and tells the others in plain data; the owner of a shard writes that shard's files.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "dataset/outputs/shard.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {

constexpr std::uint32_t run_format_version = 2;
constexpr std::uint64_t most_shards = 1'000'000;  // shard names have six digits

// The names in a run directory. A plain value that every rank may have.
struct RunPaths {
  std::string dir;

  std::string manifest() const { return dir + "/run.json"; }
  std::string config() const { return dir + "/config.yaml"; }
  std::string metrics() const { return dir + "/metrics.jsonl"; }
  std::string attempts() const { return dir + "/attempts.jsonl"; }
  std::string summary() const { return dir + "/summary.json"; }
  std::string outputs() const { return dir + "/outputs.h5"; }
  // outputs.h5 as it was before --extend or --retry-failed, to be read until there is a new one. The run needs it for
  // nothing.
  std::string outputs_before() const { return dir + "/outputs-before.h5"; }
  std::string log() const { return dir + "/run.log"; }
  std::string lock() const { return dir + "/run.lock"; }
  std::string shards() const { return dir + "/shards"; }
  std::string journals() const { return dir + "/journal"; }
  std::string shard(ShardId shard) const;    // shards/shard-000012.h5
  std::string journal(ShardId shard) const;  // journal/shard-000012.journal
};

// What --retry-failed or --extend made of a run that was there.
struct RunChange {
  std::string time_utc;
  std::string what;                                                   // "retry_failed", "extend"
  std::uint32_t after_attempt = 0;                                    // how many attempts had begun before it
  std::map<std::string, std::pair<std::string, std::string>> values;  // key of run.yaml, or fingerprint: before, after
  std::uint64_t prompts_before = 0, prompts = 0;
  std::uint64_t completions_before = 0, completions = 0;
};

// What is fixed when the directory is made or the run is changed, and how the attempts ended.
struct RunManifest {
  std::string run_id;       // 32 hex digits
  std::string created_utc;  // of the first attempt
  std::uint64_t prompts = 0;
  std::uint64_t completions = 0;  // rows of outputs.h5: the sum of n
  std::uint64_t shard_prompts = 0;
  std::map<std::string, std::string> fingerprints;  // input_sha256, model_sha256, tokenizer_sha256, config, ...
  std::uint32_t attempts = 0;
  std::optional<int> exit_code;  // of the last attempt; empty while it runs, or when it was killed
  bool shards_removed = false;   // outputs.h5 alone has the rows: without it they are lost
  bool reopening = false;        // files may still be as they were before the last change: it is carried through first
  std::vector<RunChange> history;

  std::uint32_t shard_count() const;
  ShardRange range_of(ShardId shard) const;
};

std::string new_run_id();  // 128 random bits of the kernel as hex
// Prompts a shard for `auto`: from the number of prompts alone, so that it does not depend on the ranks: about 64
// shards of 16 to 1024 prompts each, or 4 shards of fewer.
std::uint64_t auto_shard_prompts(std::uint64_t prompts);

// The manifest, or nothing when the directory holds no run. UserError when it cannot be read or is of a later version.
std::optional<RunManifest> read_manifest(const RunPaths& paths);
// UserError when shards of that size cannot be numbered.
void check_numbers(const RunPaths& paths, const RunManifest& manifest);
void write_manifest(const RunPaths& paths, const RunManifest& manifest);  // atomic
// The same as text, for other ranks.
std::string manifest_text(const RunManifest& manifest);
RunManifest parse_manifest(const std::string& text, const std::string& name);  // `name` is for messages
// UserError when a directory without run.json has a file under a name that the run would write, other than the
// config.yaml that a job which was killed early left there.
void check_no_foreign_files(const RunPaths& paths, std::string_view config_yaml);
void make_folders(const RunPaths& paths);  // of shards and journals
// Folders and config.yaml, then run.json: a directory with run.json is a whole one. UserError when there is a run, or a
// file of somebody else under a name that the run would write.
void create_run(const RunPaths& paths, const RunManifest& manifest, std::string_view config_yaml);
// For --overwrite: removes the files that a run makes, run.json last, and nothing else; nothing at all in a directory
// without run.json. A kill leaves a run that can be resumed or overwritten.
void clear_run(const RunPaths& paths);
// An attempt begins: counts it and forgets the last exit code. It ends: stores the code.
void begin_attempt(const RunPaths& paths, RunManifest& manifest);
void end_attempt(const RunPaths& paths, RunManifest& manifest, int exit_code);

struct RunListing {
  std::vector<ShardId> finished;  // ascending
  std::vector<ShardId> journals;  // ascending, of shards that are not finished
};
RunListing list_run(const RunPaths& paths);
// UserError for a file with a number that this run has not.
RunListing list_run(const RunPaths& paths, const RunManifest& manifest);
// Under the lock: removes what a killed job left: temporary files, and journals of finished shards.
void remove_leftovers(const RunPaths& paths);
// Under the lock, where outputs.h5 has all rows: once every byte of it is found as it was sealed, shards and journals
// go. From then on the manifest says that outputs.h5 is all there is. A kill in between is finished by the next call.
// Returns how many shards went. SystemError when outputs.h5 is not whole: then nothing is removed. `between` is called
// while the file is read, which may take long, and may throw to end that.
std::size_t remove_merged_shards(const RunPaths& paths, RunManifest& manifest, const std::function<void()>& between);

}  // namespace moemill::dataset
