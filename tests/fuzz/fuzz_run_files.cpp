// The text files of a run directory, which HDF5 does not protect: run.json, attempts.jsonl, metrics.jsonl and run.lock.
// The first byte chooses the file, the rest is its contents. run.json gets its correct checksum if it is an object, so
// that the fuzzer gets past it.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.hpp"
#include "dataset/lock/lock_holder.hpp"
#include "dataset/lock/run_lock.hpp"
#include "dataset/run_dir/attempts.hpp"
#include "dataset/seal.hpp"
#include "mill/progress.hpp"
#include "process_path.hpp"

namespace {

using namespace moemill;
using namespace moemill::dataset;

RunPaths scratch_run() {
  RunPaths paths{process_path("run")};
  files::make_folders(paths.dir);
  return paths;
}

void put(const std::string& path, const std::string& text) {
  files::Descriptor file = files::open_to_append(path);
  files::truncate(file.fd(), 0, path);
  files::write_all(file.fd(), std::as_bytes(std::span(text)), path);
}

void read_run_json(const RunPaths& paths, const std::string& text) {
  put(paths.manifest(), text);
  const auto manifest = read_manifest(paths);
  if (!manifest) return;
  expect(manifest->prompts > 0 && manifest->shard_prompts > 0, "a run has prompts");
  const auto range = manifest->range_of(ShardId{0});
  expect(range.count > 0 && range.count <= manifest->prompts, "a shard has prompts");
}

std::string with_checksum(const std::string& text) {
  auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!json.is_object()) return text;
  json.erase("crc32c");
  json["crc32c"] = crc32c_hex(json.dump(2));
  return json.dump(2);
}

void read_attempts(const RunPaths& paths, const std::string& text) {
  put(paths.attempts(), text);
  for (std::uint32_t attempt : {0u, 1u, 2u})
    if (auto end = read_end(paths, attempt)) expect(end->attempt == attempt, "the end is that attempt's");
  tries_without_a_row(paths, 5);
}

void read_metrics(const RunPaths& paths, const std::string& text) {
  put(paths.metrics(), text);
  mill::read_earlier_attempts(paths, 3);
}

// Complete lines have one length: the rest is blanks, as in a holder's own line.
void read_lock(const RunPaths& paths, std::string text) {
  if (text.size() < holder_line_bytes && !text.empty() && text.back() == '}') {
    text.resize(holder_line_bytes - 1, ' ');
    text += '\n';
  }
  put(paths.lock(), text);
  lock_holder(paths);
  if (auto holder = parse_holder(text)) {
    expect(!describe(*holder).empty(), "a holder can be described");
    process_state(*holder);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const RunPaths paths = scratch_run();
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0] % 5) {
      case 0: read_run_json(paths, text); break;
      case 1: read_run_json(paths, with_checksum(text)); break;
      case 2: read_attempts(paths, text); break;
      case 3: read_metrics(paths, text); break;
      default: read_lock(paths, text);
    }
  } catch (const UserError&) {
  }
  return 0;
}
