#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/text/json_fault.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "dataset/seal.hpp"

namespace moemill::dataset {
namespace {

using nlohmann::ordered_json;

// The entries of run.json in their order: one list each for writing and reading.
template <class Change, class Visit>
void visit_change(Change& change, Visit&& visit) {
  visit("time", change.time_utc);
  visit("what", change.what);
  visit("after_attempt", change.after_attempt);
  visit("values", change.values);
  visit("prompts", change.prompts_before, change.prompts);
  visit("completions", change.completions_before, change.completions);
}

template <class Manifest, class Visit>
void visit_manifest(Manifest& manifest, Visit&& visit) {
  visit("run_id", manifest.run_id);
  visit("created_utc", manifest.created_utc);
  visit("prompts", manifest.prompts);
  visit("completions", manifest.completions);
  visit("shard_prompts", manifest.shard_prompts);
  visit("fingerprints", manifest.fingerprints);
  visit("attempts", manifest.attempts);
  visit("exit_code", manifest.exit_code);
  visit("shards_removed", manifest.shards_removed);
  visit("reopening", manifest.reopening);
  visit("history", manifest.history);
}

// Entries that manifests of older versions lack.
bool is_newer(std::string_view name) { return name == "shards_removed" || name == "reopening" || name == "history"; }

struct EntryWriter {
  ordered_json& json;
  void operator()(const char* name, const auto& value) const { json[name] = value; }
  void operator()(const char* name, const std::optional<int>& value) const {
    json[name] = value ? ordered_json(*value) : ordered_json();
  }
  void operator()(const char* name, std::uint64_t before, std::uint64_t now) const { json[name] = {before, now}; }
};

struct EntryReader {
  const ordered_json& json;
  void operator()(const char* name, auto& value) const {
    if (json.contains("history") || !is_newer(name)) json.at(name).get_to(value);
  }
  void operator()(const char* name, std::optional<int>& value) const {
    if (const auto& found = json.at(name); !found.is_null()) value = found.get<int>();
  }
  void operator()(const char* name, std::uint64_t& before, std::uint64_t& now) const {
    json.at(name).at(0).get_to(before);
    json.at(name).at(1).get_to(now);
  }
};

}  // namespace

void to_json(ordered_json& json, const RunChange& change) { visit_change(change, EntryWriter{json}); }
void from_json(const ordered_json& json, RunChange& change) { visit_change(change, EntryReader{json}); }
void to_json(ordered_json& json, const RunManifest& manifest) {
  json = {{"format", "moemill-run"}, {"format_version", run_format_version}};
  visit_manifest(manifest, EntryWriter{json});
}
void from_json(const ordered_json& json, RunManifest& manifest) { visit_manifest(manifest, EntryReader{json}); }

void check_numbers(const RunPaths& paths, const RunManifest& manifest) {
  bool fits = manifest.prompts > 0 && manifest.shard_prompts > 0 &&
              (manifest.prompts - 1) / manifest.shard_prompts < most_shards && manifest.run_id.size() <= 40;
  if (!fits) {
    user_error(
        "{}: {} prompts in shards of {} cannot be: needs at least one prompt, and at most {} shards "
        "(output.shard_prompts)",
        paths.manifest(), manifest.prompts, manifest.shard_prompts, most_shards);
  }
  if (manifest.reopening && manifest.history.empty())
    user_error(
        "{}: is damaged (it mentions a change that it does not describe): restore it, or start over with --overwrite",
        paths.manifest());
}

std::optional<RunManifest> read_manifest(const RunPaths& paths) {
  const auto text = files::read_text(paths.manifest());
  if (!text) return std::nullopt;
  RunManifest manifest;
  try {
    auto json = ordered_json::parse(*text);
    if (auto version = json.at("format_version").get<std::uint32_t>(); version != run_format_version)
      user_error(
          "{}: run of format version {}, this moemill knows version {}: continue with the moemill that began it, or "
          "start over with --overwrite",
          paths.manifest(), version, run_format_version);
    manifest = json.get<RunManifest>();
    const auto checksum = json.at("crc32c").get<std::string>();
    json.erase("crc32c");
    if (checksum != crc32c_hex(json.dump(2)))
      user_error("{}: is damaged (its checksum is that of another text): restore it, or start over with --overwrite",
                 paths.manifest());
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: is damaged ({}): restore it, or start over with --overwrite", paths.manifest(),
               json_fault(error.what()));
  }
  check_numbers(paths, manifest);
  return manifest;
}

void write_manifest(const RunPaths& paths, const RunManifest& manifest) {
  check_numbers(paths, manifest);
  ordered_json json = manifest;
  json["crc32c"] = crc32c_hex(json.dump(2));  // of the text without this key
  files::write_atomically(paths.manifest(), json.dump(2) + "\n");
}

}  // namespace moemill::dataset
