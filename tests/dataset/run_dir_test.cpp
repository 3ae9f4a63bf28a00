// The run directory: manifest, lock, listing, overwriting.
#include "dataset/run_dir/run_dir.hpp"
#include "dataset/json_lines.hpp"
#include "dataset/seal.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "scratch.hpp"

namespace moemill::dataset {
namespace {

RunManifest sample_manifest() {
  RunManifest manifest;
  manifest.run_id = new_run_id();
  manifest.created_utc = "2026-01-02T03:04:05Z";
  manifest.prompts = 10;
  manifest.completions = 12;
  manifest.shard_prompts = 4;
  manifest.fingerprints = {{"input_sha256", "ab"}, {"model_sha256", "cd"}};
  return manifest;
}

// The temporary name that a different process would give a file.
std::string other_process(const std::string& path) { return path + ".0123456789abcdef.tmp"; }

TEST_CASE("temporary names") {
  const std::string mine = files::temporary_name("out/run.json");
  CHECK(mine == files::temporary_name("out/run.json"));
  CHECK(files::name_of_temporary(mine) == "out/run.json");
  CHECK(files::name_of_temporary(other_process("a")) == "a");
  for (const char* name :
       {"a.tmp", ".0123456789abcdef.tmp", "a.0123456789abcdeg.tmp", "a.0123456789abcdef", "a0123456789abcdef.tmp", ""})
    CHECK_FALSE(files::name_of_temporary(name));
  if (const pid_t child = ::fork(); child == 0) {
    ::_exit(files::temporary_name("out/run.json") == mine ? 1 : 0);
  } else {
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
}

TEST_CASE("shards cover the prompts") {
  RunManifest manifest = sample_manifest();
  CHECK(manifest.shard_count() == 3);
  CHECK(manifest.range_of(ShardId{0}).first == 0);
  CHECK(manifest.range_of(ShardId{2}).first == 8);
  CHECK(manifest.range_of(ShardId{2}).count == 2);
  CHECK_THROWS_AS(manifest.range_of(ShardId{3}), ContractViolation);
  CHECK(auto_shard_prompts(1) == 1);
  CHECK(auto_shard_prompts(4) == 1);
  CHECK(auto_shard_prompts(5) == 2);
  CHECK(auto_shard_prompts(63) == 16);
  CHECK(auto_shard_prompts(64) == 16);
  CHECK(auto_shard_prompts(1024) == 16);
  CHECK(auto_shard_prompts(1025) == 17);
  CHECK(auto_shard_prompts(1'000'000) == 1024);
  CHECK((10'000'000'000 - 1) / auto_shard_prompts(10'000'000'000) < 1'000'000);
}

TEST_CASE("the manifest comes back as it was") {
  Scratch scratch;
  RunPaths paths{scratch.path("run")};
  CHECK_FALSE(read_manifest(paths));
  RunManifest manifest = sample_manifest();
  create_run(paths, manifest, "schema_version: 1\n");
  CHECK(files::read_text(paths.config()) == "schema_version: 1\n");
  CHECK_THROWS_AS(create_run(paths, manifest, ""), UserError);
  RunManifest found = *read_manifest(paths);
  CHECK(found.run_id == manifest.run_id);
  CHECK(found.run_id.size() == 32);
  CHECK(found.fingerprints == manifest.fingerprints);
  CHECK(found.attempts == 0);
  CHECK_FALSE(found.exit_code);
  begin_attempt(paths, found);
  end_attempt(paths, found, 75);
  CHECK(read_manifest(paths)->exit_code == 75);
  begin_attempt(paths, found);
  CHECK(read_manifest(paths)->attempts == 2);
  CHECK_FALSE(read_manifest(paths)->exit_code);
}

TEST_CASE("a damaged or later manifest is a UserError") {
  Scratch scratch;
  RunPaths paths{scratch.path("run")};
  create_run(paths, sample_manifest(), "");
  std::string whole = *files::read_text(paths.manifest());
  auto message = [&](const std::string& text) {
    std::ofstream(paths.manifest()) << text;
    return message_of<UserError>([&] { read_manifest(paths); });
  };
  CHECK_CONTAINS(message(whole.substr(0, whole.size() / 2)), "is damaged");
  CHECK_CONTAINS(message("{}"), "is damaged");
  CHECK_CONTAINS(message("[1]"), "is damaged");
  std::string later = whole;
  later.replace(later.find("\"format_version\": 2"), 19, "\"format_version\": 9");
  CHECK_CONTAINS(message(later), "format version 9");
  std::string none = whole;
  none.replace(none.find("\"shard_prompts\": 4"), 18, "\"shard_prompts\": 0");
  CHECK_CONTAINS(message(none), "is damaged");
  RunManifest no_shards = sample_manifest();
  no_shards.shard_prompts = 0;
  CHECK_CONTAINS(message_of<UserError>([&] { write_manifest(paths, no_shards); }), "cannot be");
}

TEST_CASE("a bit that flips in run.json or config.yaml is noticed") {
  Scratch scratch;
  RunPaths paths{scratch.path("run")};
  const std::string yaml = with_checksum_line("schema_version: 1\nsampling:\n  n: 2\n");
  CHECK_FALSE(broken_checksum_line(yaml));
  for (std::size_t bit = 0; bit < yaml.size() * 8; bit++) {
    std::string flipped = yaml;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    REQUIRE(broken_checksum_line(flipped));
  }
  CHECK(broken_checksum_line(""));
  create_run(paths, sample_manifest(), yaml);
  const std::string json = *files::read_text(paths.manifest());
  for (std::size_t bit = 0; bit < (json.size() - 1) * 8; bit++) {  // the last line break has no meaning
    std::string flipped = json;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    std::ofstream(paths.manifest()) << flipped;
    CAPTURE(flipped);
    REQUIRE_THROWS_AS(read_manifest(paths), UserError);
  }
}

TEST_CASE("the listing knows shards, journals and leftovers apart") {
  Scratch scratch;
  RunPaths paths{scratch.path("run")};
  create_run(paths, sample_manifest(), "");
  for (std::string path : {paths.shard(ShardId{2}), paths.shard(ShardId{0}), other_process(paths.shard(ShardId{1})),
                           paths.journal(ShardId{0}), paths.journal(ShardId{1}), paths.shards() + "/shard-1.h5",
                           paths.shards() + "/notes.txt", other_process(paths.outputs())}) {
    std::ofstream(path) << "x";
  }
  RunListing listing = list_run(paths);
  CHECK(listing.finished == std::vector<ShardId>{ShardId{0}, ShardId{2}});
  CHECK(listing.journals == std::vector<ShardId>{ShardId{1}});
  remove_leftovers(paths);
  CHECK_FALSE(files::exists(other_process(paths.shard(ShardId{1}))));
  CHECK_FALSE(files::exists(paths.journal(ShardId{0})));
  CHECK_FALSE(files::exists(other_process(paths.outputs())));
  CHECK(files::exists(paths.journal(ShardId{1})));
  std::ofstream(paths.dir + "/my_notes.txt") << "x";
  clear_run(paths);
  CHECK_FALSE(read_manifest(paths));
  CHECK(files::list(paths.dir) == std::vector<std::string>{"journal", "my_notes.txt", "shards"});
  CHECK(files::list(paths.shards()) == std::vector<std::string>{"notes.txt", "shard-1.h5"});
  CHECK(files::list(paths.journals()).empty());
  create_run(paths, sample_manifest(), "");
}

TEST_CASE("a shard or journal with a number that the run has not is refused by name") {
  Scratch scratch;
  RunPaths paths{scratch.path("run")};
  const RunManifest manifest = sample_manifest();
  create_run(paths, manifest, "");
  const ShardId last{static_cast<std::int32_t>(manifest.shard_count()) - 1}, beyond{last.value + 1};
  std::ofstream(paths.shard(last)) << "x";
  CHECK(list_run(paths, manifest).finished == std::vector<ShardId>{last});
  std::ofstream(paths.journal(beyond)) << "x";
  CHECK_CONTAINS(message_of<UserError>([&] { list_run(paths, manifest); }), paths.journal(beyond));
  files::rename(paths.journal(beyond), paths.shard(beyond));
  CHECK_CONTAINS(message_of<UserError>([&] { list_run(paths, manifest); }), paths.shard(beyond));
}

TEST_CASE("what is not a run's is neither written over nor removed") {
  for (const char* name : {"config.yaml", "metrics.jsonl", "summary.json", "outputs.h5"}) {
    CAPTURE(name);
    Scratch scratch;
    RunPaths paths{scratch.dir()};
    std::ofstream(scratch.path(name)) << "mine";
    clear_run(paths);
    CHECK_CONTAINS(message_of<UserError>([&] { create_run(paths, sample_manifest(), ""); }), scratch.path(name));
    CHECK(files::list(paths.dir) == std::vector<std::string>{name});
    CHECK(files::read_text(scratch.path(name)) == "mine");
  }
  Scratch scratch;
  RunPaths paths{scratch.dir()};
  std::ofstream(paths.config()) << "n: 1\n";  // a kill before run.json leaves this
  create_run(paths, sample_manifest(), "n: 1\n");
  files::remove(paths.manifest());
  std::ofstream(paths.shard(ShardId{9})) << "another run's";
  CHECK_CONTAINS(message_of<UserError>([&] { create_run(paths, sample_manifest(), "n: 1\n"); }), "shard-000009.h5");
}

TEST_CASE("metrics are whole lines, also behind a torn one") {
  Scratch scratch;
  RunPaths paths{scratch.dir()};
  std::ofstream(paths.metrics()) << "{\"a\":1}\n{\"b\":";
  {
    JsonLines metrics(paths.metrics());
    metrics.append("{\"c\":3}");
    CHECK_THROWS_AS(metrics.append("two\nlines"), ContractViolation);
  }
  JsonLines(paths.metrics()).append("{\"d\":4}");
  CHECK(files::read_text(paths.metrics()) == "{\"a\":1}\n{\"b\":\n{\"c\":3}\n{\"d\":4}\n");
}

}  // namespace
}  // namespace moemill::dataset
