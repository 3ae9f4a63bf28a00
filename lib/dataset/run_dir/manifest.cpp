#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "dataset/seal.hpp"

namespace moemill::dataset {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const RunChange& change) {
  ordered_json values = ordered_json::object();
  for (const auto& [key, both] : change.values) values[key] = {both.first, both.second};
  return {{"time", change.time_utc},
          {"what", change.what},
          {"after_attempt", change.after_attempt},
          {"values", values},
          {"prompts", {change.prompts_before, change.prompts}},
          {"completions", {change.completions_before, change.completions}}};
}

RunChange change_of(const ordered_json& json) {
  RunChange change;
  change.time_utc = json.at("time").get<std::string>();
  change.what = json.at("what").get<std::string>();
  change.after_attempt = json.at("after_attempt").get<std::uint32_t>();
  for (const auto& [key, both] : json.at("values").items())
    change.values[key] = {both.at(0).get<std::string>(), both.at(1).get<std::string>()};
  change.prompts_before = json.at("prompts").at(0).get<std::uint64_t>();
  change.prompts = json.at("prompts").at(1).get<std::uint64_t>();
  change.completions_before = json.at("completions").at(0).get<std::uint64_t>();
  change.completions = json.at("completions").at(1).get<std::uint64_t>();
  return change;
}

ordered_json to_json(const RunManifest& manifest) {
  ordered_json json = {{"format", "moemill-run"},
                       {"format_version", run_format_version},
                       {"run_id", manifest.run_id},
                       {"created_utc", manifest.created_utc},
                       {"prompts", manifest.prompts},
                       {"completions", manifest.completions},
                       {"shard_prompts", manifest.shard_prompts},
                       {"fingerprints", manifest.fingerprints},
                       {"attempts", manifest.attempts},
                       {"exit_code", nullptr},
                       {"shards_removed", manifest.shards_removed},
                       {"reopening", manifest.reopening},
                       {"history", ordered_json::array()}};
  if (manifest.exit_code) json["exit_code"] = *manifest.exit_code;
  for (const RunChange& change : manifest.history) json["history"].push_back(to_json(change));
  return json;
}

RunManifest from_json(const ordered_json& json) {
  RunManifest manifest;
  manifest.run_id = json.at("run_id").get<std::string>();
  manifest.created_utc = json.at("created_utc").get<std::string>();
  manifest.prompts = json.at("prompts").get<std::uint64_t>();
  manifest.completions = json.at("completions").get<std::uint64_t>();
  manifest.shard_prompts = json.at("shard_prompts").get<std::uint64_t>();
  manifest.fingerprints = json.at("fingerprints").get<std::map<std::string, std::string>>();
  manifest.attempts = json.at("attempts").get<std::uint32_t>();
  if (const auto& code = json.at("exit_code"); !code.is_null()) manifest.exit_code = code.get<int>();
  if (!json.contains("history")) return manifest;  // of a moemill before runs could be changed
  manifest.shards_removed = json.at("shards_removed").get<bool>();
  manifest.reopening = json.at("reopening").get<bool>();
  for (const auto& change : json.at("history")) manifest.history.push_back(change_of(change));
  return manifest;
}

}  // namespace

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
        "{}: is damaged (it speaks of a change that it does not name): restore it, or start anew with --overwrite",
        paths.manifest());
}

std::string manifest_text(const RunManifest& manifest) { return to_json(manifest).dump(); }

RunManifest parse_manifest(const std::string& text, const std::string& name) {
  try {
    auto json = ordered_json::parse(text);
    if (auto version = json.at("format_version").get<std::uint32_t>(); version != run_format_version) {
      user_error(
          "{}: run of format version {}, this moemill knows version {}: go on with the moemill that began it, or "
          "start anew with --overwrite",
          name, version, run_format_version);
    }
    return from_json(json);
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: is damaged ({}): restore it, or start anew with --overwrite", name, error.what());
  }
}

std::optional<RunManifest> read_manifest(const RunPaths& paths) {
  auto text = files::read_text(paths.manifest());
  if (!text) return std::nullopt;
  RunManifest manifest = parse_manifest(*text, paths.manifest());
  try {
    auto json = ordered_json::parse(*text);
    const auto checksum = json.at("crc32c").get<std::string>();
    json.erase("crc32c");
    if (checksum != crc32c_hex(json.dump(2)))
      user_error("{}: is damaged (its checksum is that of another text): restore it, or start anew with --overwrite",
                 paths.manifest());
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: is damaged ({}): restore it, or start anew with --overwrite", paths.manifest(), error.what());
  }
  check_numbers(paths, manifest);
  return manifest;
}

void write_manifest(const RunPaths& paths, const RunManifest& manifest) {
  check_numbers(paths, manifest);
  ordered_json json = to_json(manifest);
  json["crc32c"] = crc32c_hex(json.dump(2));  // of the text without this key
  files::write_atomically(paths.manifest(), json.dump(2) + "\n");
}

}  // namespace moemill::dataset
