#include "dataset/run_dir/run_dir.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "dataset/seal.hpp"
#include "system/machine/entropy.hpp"

namespace moemill::dataset {
namespace {

constexpr std::string_view shard_prefix = "shard-";

std::string shard_name(ShardId shard) { return fmt::format("{}{:06}", shard_prefix, shard.value); }

// The shard that a name such as "shard-000012" + suffix belongs to; nothing for any other name.
std::optional<ShardId> shard_of(std::string_view name, std::string_view suffix) {
  if (name.size() != shard_prefix.size() + 6 + suffix.size()) return std::nullopt;
  if (!name.starts_with(shard_prefix) || !name.ends_with(suffix)) return std::nullopt;
  std::int32_t value = 0;
  for (char digit : name.substr(shard_prefix.size(), 6)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value = value * 10 + (digit - '0');
  }
  return ShardId{value};
}

std::vector<ShardId> shards_in(const std::string& folder, std::string_view suffix) {
  std::vector<ShardId> shards;
  for (const std::string& name : files::list(folder)) {
    if (auto shard = shard_of(name, suffix)) shards.push_back(*shard);
  }
  return shards;  // names are sorted, so are these
}

}  // namespace

void check_no_foreign_files(const RunPaths& paths, std::string_view config_yaml) {
  if (files::exists(paths.manifest())) return;
  std::vector<std::string> taken = {paths.config(),  paths.metrics(),        paths.attempts(), paths.summary(),
                                    paths.outputs(), paths.outputs_before(), paths.log()};
  for (ShardId shard : shards_in(paths.shards(), ".h5")) taken.push_back(paths.shard(shard));
  for (ShardId shard : shards_in(paths.journals(), ".journal")) taken.push_back(paths.journal(shard));
  for (const std::string& path : taken) {
    if (!files::exists(path) || (path == paths.config() && files::read_text(path) == config_yaml)) continue;
    user_error(
        "{}: is in the way: {} holds no run (there is no run.json), but a run would write a file of this name; move it "
        "away or choose another output.dir",
        path, paths.dir);
  }
}

std::string RunPaths::shard(ShardId shard) const { return shards() + "/" + shard_name(shard) + ".h5"; }
std::string RunPaths::journal(ShardId shard) const { return journals() + "/" + shard_name(shard) + ".journal"; }

std::uint32_t RunManifest::shard_count() const { return static_cast<std::uint32_t>(divide_up(prompts, shard_prompts)); }

ShardId RunManifest::shard_of(std::uint64_t prompt_index) const {
  return {static_cast<std::int32_t>(prompt_index / shard_prompts)};
}

ShardRange RunManifest::range_of(ShardId shard) const {
  std::uint64_t first = static_cast<std::uint64_t>(shard.value) * shard_prompts;
  expect(shard.value >= 0 && first < prompts, "run: the shard exists");
  return {first, std::min(shard_prompts, prompts - first)};
}

std::string new_run_id() { return random_hex(16); }

std::uint64_t auto_shard_prompts(std::uint64_t prompts) {
  // Work is dealt in lots, whatever the shards are. A small job has few, because a file costs more than some short
  // answers. A keeper holds a shard's rows in memory while it writes the file, and the other ranks wait meanwhile, so a
  // shard has at most 1024 prompts, unless the shard names run out.
  std::uint64_t size = prompts < 64 ? divide_up<std::uint64_t>(prompts, 4)
                                    : std::clamp<std::uint64_t>(divide_up<std::uint64_t>(prompts, 64), 16, 1024);
  return std::max(size, divide_up(prompts, most_shards));
}

void make_folders(const RunPaths& paths) {
  files::make_folders(paths.shards());
  files::make_folders(paths.journals());
}

void create_run(const RunPaths& paths, const RunManifest& manifest, std::string_view config_yaml) {
  check_numbers(paths, manifest);
  if (files::exists(paths.manifest())) user_error("{}: there is a run already", paths.dir);
  check_no_foreign_files(paths, config_yaml);
  make_folders(paths);
  files::write_atomically(paths.config(), config_yaml);
  write_manifest(paths, manifest);
}

namespace {

// Removes the temporary files of this program, whichever job made them. A rank of a killed job that still writes one
// fails then.
void remove_temporaries(const RunPaths& paths) {
  auto sweep = [](const std::string& folder, auto&& is_of_run) {
    for (const std::string& name : files::list(folder)) {
      if (auto finished = files::name_of_temporary(name); finished && is_of_run(*finished))
        files::remove(folder + "/" + name);
    }
  };
  sweep(paths.shards(), [](const std::string& name) { return shard_of(name, ".h5").has_value(); });
  sweep(paths.journals(), [](const std::string& name) { return shard_of(name, ".journal").has_value(); });
  sweep(paths.dir, [&](const std::string& name) {
    const std::string path = paths.dir + "/" + name;
    return path == paths.config() || path == paths.manifest() || path == paths.summary() || path == paths.outputs();
  });
}

// Called before a run loses its rows: removes from the manifest that outputs.h5 has them, so that a kill leaves a run
// that starts from the beginning.
void forget_end(const RunPaths& paths) {
  std::optional<RunManifest> manifest;
  try {
    manifest = read_manifest(paths);
  } catch (const UserError&) {
    return;  // a damaged manifest is removed as it is
  }
  if (!manifest->shards_removed) return;
  manifest->shards_removed = false;
  manifest->exit_code.reset();
  write_manifest(paths, *manifest);
}

}  // namespace

void clear_run(const RunPaths& paths) {
  if (!files::exists(paths.manifest())) return;  // the files there do not belong to a run
  forget_end(paths);
  files::remove(paths.outputs());  // it must not exist without its shards
  remove_temporaries(paths);
  files::sync_folder(paths.dir);
  for (const auto& [folder, suffix] : {std::pair(paths.shards(), ".h5"), std::pair(paths.journals(), ".journal")}) {
    for (ShardId shard : shards_in(folder, suffix)) files::remove(folder + "/" + shard_name(shard) + suffix);
    if (files::exists(folder)) files::sync_folder(folder);
  }
  for (const std::string& path : {paths.config(), paths.metrics(), paths.attempts(), paths.summary(), paths.log(),
                                  paths.outputs(), paths.outputs_before(), paths.manifest()}) {
    if (path != paths.manifest()) files::remove(path);
  }
  files::sync_folder(paths.dir);
  files::remove(paths.manifest());
  files::sync_folder(paths.dir);
}

void begin_attempt(const RunPaths& paths, RunManifest& manifest) {
  manifest.attempts++;
  manifest.exit_code.reset();
  write_manifest(paths, manifest);
}

void end_attempt(const RunPaths& paths, RunManifest& manifest, int exit_code) {
  manifest.exit_code = exit_code;
  write_manifest(paths, manifest);
}

RunListing list_run(const RunPaths& paths) {
  // Journals are listed first, so that a shard that finishes in between is seen as finished, never as absent.
  std::vector<ShardId> journals = shards_in(paths.journals(), ".journal");
  RunListing listing;
  listing.finished = shards_in(paths.shards(), ".h5");
  std::set_difference(journals.begin(), journals.end(), listing.finished.begin(), listing.finished.end(),
                      std::back_inserter(listing.journals));
  return listing;
}

RunListing list_run(const RunPaths& paths, const RunManifest& manifest) {
  RunListing listing = list_run(paths);
  auto check = [&](const std::vector<ShardId>& shards, auto&& path_of) {
    if (shards.empty() || static_cast<std::uint32_t>(shards.back().value) < manifest.shard_count()) return;
    user_error("{}: the run has only {} shards, numbered from 0: this file is of another one; move it away",
               path_of(shards.back()), manifest.shard_count());
  };
  check(listing.finished, [&](ShardId shard) { return paths.shard(shard); });
  check(listing.journals, [&](ShardId shard) { return paths.journal(shard); });
  return listing;
}

void remove_leftovers(const RunPaths& paths) {
  remove_temporaries(paths);
  for (ShardId shard : shards_in(paths.shards(), ".h5")) files::remove(paths.journal(shard));
}

std::size_t remove_merged_shards(const RunPaths& paths, RunManifest& manifest, const std::function<void()>& between) {
  const std::vector<ShardId> shards = shards_in(paths.shards(), ".h5"),
                             journals = shards_in(paths.journals(), ".journal");
  if (manifest.shards_removed && shards.empty() && journals.empty()) return 0;
  refuse_broken(paths.outputs(), between);
  if (!manifest.shards_removed) {
    manifest.shards_removed = true;  // written first, so that a run without shards is not taken for an empty one
    write_manifest(paths, manifest);
  }
  for (ShardId shard : shards) files::remove(paths.shard(shard));
  for (ShardId shard : journals) files::remove(paths.journal(shard));
  return shards.size();
}

}  // namespace moemill::dataset
