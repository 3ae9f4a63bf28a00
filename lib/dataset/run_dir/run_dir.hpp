// RUN_DIR: the names of its files, its manifest run.json, and its finished shards. Rank 0 lists and writes the files of
// the whole run and sends plain data to all ranks; the owner of a shard writes that shard's files.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
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
  std::string picks() const { return dir + "/picks.h5"; }
  std::string expert_load() const { return dir + "/expert_load.json"; }
  std::string outputs() const { return dir + "/outputs.h5"; }
  // outputs.h5 as it was before --extend or --retry-failed, for readers until there is a new one. The run does not use
  // it.
  std::string outputs_before() const { return dir + "/outputs-before.h5"; }
  std::string log() const { return dir + "/run.log"; }
  std::string lock() const { return dir + "/run.lock"; }
  std::string shards() const { return dir + "/shards"; }
  std::string journals() const { return dir + "/journal"; }
  std::string shard(ShardId shard) const;    // shards/shard-000012.h5
  std::string journal(ShardId shard) const;  // journal/shard-000012.journal
};

// A change of an existing run by --retry-failed or --extend.
struct RunChange {
  std::string time_utc;
  std::string what;                                                   // "retry_failed", "extend"
  std::uint32_t after_attempt = 0;                                    // the attempts that had begun before it
  std::map<std::string, std::pair<std::string, std::string>> values;  // key of run.yaml, or fingerprint: before, after
  std::uint64_t prompts_before = 0, prompts = 0;
  std::uint64_t completions_before = 0, completions = 0;
};
void to_json(nlohmann::ordered_json& json, const RunChange& change);
void from_json(const nlohmann::ordered_json& json, RunChange& change);

// Values that are fixed when the directory is made or the run is changed, and how the attempts ended.
struct RunManifest {
  std::string run_id;       // 32 hex digits
  std::string created_utc;  // begin of the first attempt
  std::uint64_t prompts = 0;
  std::uint64_t completions = 0;  // rows of outputs.h5: the sum of n
  std::uint64_t shard_prompts = 0;
  std::map<std::string, std::string> fingerprints;  // input_sha256, model_sha256, tokenizer_sha256, config, ...
  std::uint32_t attempts = 0;
  std::optional<int> exit_code;  // of the last attempt; nothing while it runs, or when it was killed
  bool shards_removed = false;   // only outputs.h5 has the rows: without it they are lost
  bool reopening = false;        // the last change may not have reached all files: it must be completed first
  std::vector<RunChange> history;

  std::uint32_t shard_count() const;
  ShardRange range_of(ShardId shard) const;
  ShardId shard_of(std::uint64_t prompt_index) const;
};

std::string new_run_id();  // 128 random bits of the kernel as hex
// Prompts per shard for `auto`. It depends on the number of prompts alone, not on the ranks: about 64 shards of 16 to
// 1024 prompts each, or 4 shards of fewer.
std::uint64_t auto_shard_prompts(std::uint64_t prompts);

// The manifest, or nothing when the directory holds no run. UserError when it is damaged or of a different version.
std::optional<RunManifest> read_manifest(const RunPaths& paths);
// UserError when shards of that size cannot be numbered.
void check_numbers(const RunPaths& paths, const RunManifest& manifest);
void write_manifest(const RunPaths& paths, const RunManifest& manifest);  // atomic
// The entries of run.json without its checksum; also used to send the manifest to all ranks.
void to_json(nlohmann::ordered_json& json, const RunManifest& manifest);
void from_json(const nlohmann::ordered_json& json, RunManifest& manifest);
// UserError if a directory without run.json has a file under a name that the run would write. A config.yaml that a job
// left there when it was killed early is accepted.
void check_no_foreign_files(const RunPaths& paths, std::string_view config_yaml);
void make_folders(const RunPaths& paths);  // of shards and journals
// Makes the folders and config.yaml, then run.json, so that a directory with run.json is complete. UserError when there
// is a run, or a foreign file under a name that the run would write.
void create_run(const RunPaths& paths, const RunManifest& manifest, std::string_view config_yaml);
// For --overwrite: removes the files that a run makes, run.json last, and nothing else. In a directory without run.json
// it removes nothing. A kill leaves a run that can be resumed or overwritten.
void clear_run(const RunPaths& paths);
// begin_attempt() counts the attempt and clears the last exit code; end_attempt() stores the code.
void begin_attempt(const RunPaths& paths, RunManifest& manifest);
void end_attempt(const RunPaths& paths, RunManifest& manifest, int exit_code);

struct RunListing {
  std::vector<ShardId> finished;  // ascending
  std::vector<ShardId> journals;  // ascending, of shards that are not finished
};
RunListing list_run(const RunPaths& paths);
// UserError for a file whose number is not one of this run's shards.
RunListing list_run(const RunPaths& paths, const RunManifest& manifest);
// Removes the leftovers of a killed job: temporary files, and journals of finished shards. Called under the lock.
void remove_leftovers(const RunPaths& paths);
// Called under the lock when outputs.h5 has all rows. Checks every byte of it against its seal, then removes shards and
// journals; from then on the manifest says that only outputs.h5 has the rows. After a kill, the next call completes it.
// Returns the number of removed shards. SystemError, with nothing removed, if outputs.h5 is damaged. `between` is
// called while the file is read, which may take long, and may throw to stop that.
std::size_t remove_merged_shards(const RunPaths& paths, RunManifest& manifest, const std::function<void()>& between);

}  // namespace moemill::dataset
