// Any contents of a shard: refused with faults, or everything in it can be read, verified and merged, each successfully
// or with an error message. The input chooses how the file differs from a complete one; an empty input is a complete
// one. HDF5, whose own format is not fuzzed (see fuzz_prompts.cpp), writes the file around the contents.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "dataset/checks/verify.hpp"
#include "dataset/outputs/merge.hpp"
#include "dataset/seal.hpp"
#include "input_bytes.hpp"
#include "process_path.hpp"
#include "system/files/files.hpp"
#include "system/files/h5.hpp"

namespace {

using namespace moemill;
using namespace moemill::dataset;

constexpr std::uint64_t prompts = 2;
const std::string run_id(32, 'a');

// Changes to a dataset. `Right` is the most frequent, so that the fuzzer gets past the first dataset.
enum class Change { Right, Missing, Group, Type, Rank, Extent, HugeExtent, Values };

hid_t any_type(std::uint8_t choice) {
  const std::array<hid_t, 10> types = {H5T_STD_I8LE,  H5T_STD_U8LE,  H5T_STD_U16LE,  H5T_STD_U32LE,  H5T_STD_I32LE,
                                       H5T_STD_U64LE, H5T_STD_I64BE, H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_C_S1};
  return types[choice % types.size()];
}

bool is_text(hid_t type) { return H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) > 0; }

class ShardFile {
 public:
  ShardFile(const std::string& path, InputBytes& in) : in_(in), file_(h5::create_file(path, seal_bytes)) {}

  void write() {
    const std::uint8_t parts = in_.byte();  // bits of parts that are left out
    for (const char* group : {"completions", "errors"}) make_group(group);
    completions();
    if (!(parts & 1)) text();
    if (!(parts & 2)) make_group("completions/token_ids");
    if (!(parts & 4)) make_group("completions/logprobs");
    if (!(parts & 2)) tokens(parts);
    if (!(parts & 8)) scores();
    if (!(parts & 128)) ends();
    plain("errors/prompt_index", H5T_STD_U64LE, {0}, std::vector<std::uint64_t>{});
    plain("errors/sample_index", H5T_STD_U32LE, {0}, std::vector<std::uint32_t>{});
    texts("errors/code", 0);
    texts("errors/message", 0);
    if (!(parts & 16)) make_group("carry");
    if (!(parts & 16)) plain("carry/label", H5T_STD_I64LE, {prompts}, std::vector<std::int64_t>{7, 8});
    attributes();
    file_.close("shard");
  }

 private:
  void make_group(const std::string& name) { h5::create_group(file_, name); }

  void completions() {
    constexpr hsize_t rows = prompts;
    plain("completions/prompt_index", H5T_STD_U64LE, {rows}, std::vector<std::uint64_t>{0, 1});
    plain("completions/sample_index", H5T_STD_U32LE, {rows}, std::vector<std::uint32_t>{0, 0});
    plain("completions/id", H5T_STD_I64LE, {rows}, std::vector<std::int64_t>{0, 1});
    plain("completions/status", H5T_STD_U8LE, {rows}, std::vector<std::uint8_t>{1, 1});
    plain("completions/finish_reason", H5T_STD_U8LE, {rows}, std::vector<std::uint8_t>{1, 1});
    plain("completions/num_prompt_tokens", H5T_STD_U32LE, {rows}, std::vector<std::uint32_t>{3, 3});
    plain("completions/num_completion_tokens", H5T_STD_U32LE, {rows}, std::vector<std::uint32_t>{1, 2});
    plain("completions/seed", H5T_STD_U64LE, {rows}, std::vector<std::uint64_t>{4, 5});
    plain("completions/cumulative_logprob", H5T_IEEE_F32LE, {rows}, std::vector<float>{-1, -2});
  }

  void text() {
    make_group("completions/text");
    plain("completions/text/offsets", H5T_STD_U64LE, {3}, std::vector<std::uint64_t>{0, 2, 4});
    plain("completions/text/values", H5T_STD_U8LE, {4}, std::vector<std::uint8_t>{'a', 'b', 'c', 'd'});
  }

  void tokens(std::uint8_t parts) {
    plain("completions/token_ids/offsets", H5T_STD_U64LE, {3}, std::vector<std::uint64_t>{0, 1, 3});
    if (!(parts & 32)) plain("completions/token_ids/values", H5T_STD_I32LE, {3}, std::vector<std::int32_t>{1, 2, 3});
    if (parts & 4) return;
    const std::vector<float> values(6, -1.0f);
    plain("completions/logprobs/values", H5T_IEEE_F32LE, {3}, values);
    if (parts & 64) return;
    plain("completions/logprobs/top_ids", H5T_STD_I32LE, {3, 2}, std::vector<std::int32_t>(6, 1));
    plain("completions/logprobs/top_values", H5T_IEEE_F32LE, {3, 2}, values);
  }

  void ends() {
    make_group("completions/stop_reason");
    plain("completions/stop_reason/offsets", H5T_STD_U64LE, {3}, std::vector<std::uint64_t>{0, 1, 2});
    plain("completions/stop_reason/values", H5T_STD_U8LE, {2}, std::vector<std::uint8_t>{'1', '3'});
    make_group("prompt_token_ids");
    plain("prompt_token_ids/offsets", H5T_STD_U64LE, {3}, std::vector<std::uint64_t>{0, 3, 6});
    plain("prompt_token_ids/values", H5T_STD_I32LE, {6}, std::vector<std::int32_t>(6, 1));
  }

  void scores() {
    make_group("prompt_logprobs");
    const float first = std::numeric_limits<float>::quiet_NaN();
    plain("prompt_logprobs/offsets", H5T_STD_U64LE, {3}, std::vector<std::uint64_t>{0, 2, 4});
    plain("prompt_logprobs/values", H5T_IEEE_F32LE, {4}, std::vector<float>{first, -1, first, -1});
  }

  template <class T>
  void plain(const std::string& name, hid_t type, std::vector<hsize_t> extents, const std::vector<T>& right) {
    const auto change = static_cast<Change>(in_.byte() % 8);
    std::vector<std::byte> bytes(right.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), right.data(), bytes.size());
    if (change == Change::Values) in_.fill(bytes.data(), bytes.size());
    make(name, type, std::move(extents), std::move(bytes), change);
  }

  void texts(const std::string& name, hsize_t rows) {
    const h5::Handle type = h5::text_type();
    make(name, type, {rows}, {}, static_cast<Change>(in_.byte() % 8));
  }

  void make(const std::string& name, hid_t type, std::vector<hsize_t> extents, std::vector<std::byte> bytes,
            Change change) {
    switch (change) {
      case Change::Missing: return;
      case Change::Group: return make_group(name);
      case Change::Type: type = any_type(in_.byte()); break;
      case Change::Rank: extents.resize(in_.byte() % 4, 1); break;
      case Change::Extent: extents[in_.byte() % extents.size()] = in_.byte() % 8; break;
      case Change::HugeExtent: extents[in_.byte() % extents.size()] = hsize_t{1} << (33 + in_.byte() % 29); break;
      default: break;
    }
    put(name, type, extents, bytes, change == Change::HugeExtent);
  }

  // Values from `bytes`, which may have been made for different extents; none for huge extents, which take no space.
  void put(const std::string& name, hid_t type, const std::vector<hsize_t>& extents, std::vector<std::byte>& bytes,
           bool huge) {
    const int rank = static_cast<int>(extents.size());
    const h5::Handle settings = h5::own(H5Pcreate(H5P_DATASET_CREATE), name);
    const std::vector<hsize_t> chunk(extents.size(), 4), limits(extents.size(), H5S_UNLIMITED);
    if (huge) h5::check(H5Pset_chunk(settings, rank, chunk.data()), name);
    const h5::Handle space =
        rank == 0 ? h5::own(H5Screate(H5S_SCALAR), name)
                  : h5::own(H5Screate_simple(rank, extents.data(), huge ? limits.data() : nullptr), name);
    const h5::Handle dataset =
        h5::own(H5Dcreate2(file_, name.c_str(), type, space, H5P_DEFAULT, settings, H5P_DEFAULT), name);
    if (huge || is_text(type)) return;
    const hsize_t count = std::accumulate(extents.begin(), extents.end(), hsize_t{1}, std::multiplies<>());
    if (count == 0) return;
    bytes.resize(count * H5Tget_size(type));
    h5::check(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), name);
  }

  void attributes() {
    for (const char* name : {"format", "run_id", "created_utc", "moemill_version", "git_commit", "config_yaml",
                             "input_sha256", "model_sha256", "tokenizer_sha256", "backend", "dtype", "slurm_job_id"})
      attribute(name, name == std::string("format")   ? "moemill-outputs"
                      : name == std::string("run_id") ? run_id
                                                      : name);
    for (const char* name : {"format_version", "complete", "world_size"}) {
      const std::uint8_t change = in_.byte() % 8;
      if (change == 0) h5::write_attribute(file_, name, std::int64_t{1});
      if (change == 2) h5::write_attribute(file_, name, std::string("1"));
      if (change > 2) odd_attribute(name);
    }
  }

  void attribute(const std::string& name, const std::string& right) {
    switch (in_.byte() % 8) {
      case 0: return h5::write_attribute(file_, name, right);
      case 1: return;
      case 2: return h5::write_attribute(file_, name, std::int64_t{in_.byte()});
      case 3: return h5::write_attribute(file_, name, std::string(in_.byte(), '\xff'));
      default: odd_attribute(name);
    }
  }

  // Several values, or none, of any type.
  void odd_attribute(const std::string& name) {
    const std::uint8_t choice = in_.byte();
    const h5::Handle text = h5::text_type();
    const hid_t type = choice % 11 == 10 ? text.id() : any_type(choice % 11);
    const hsize_t count = choice / 11 % 3;
    const h5::Handle space = count == 2 ? h5::own(H5Screate(H5S_NULL), name)
                                        : h5::own(H5Screate_simple(1, std::array{count + 1}.data(), nullptr), name);
    const h5::Handle made = h5::own(H5Acreate2(file_, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), name);
    if (count == 2) return;
    if (type == text.id()) {
      const std::array<const char*, 2> values = {"moemill-outputs", "second"};
      h5::check(H5Awrite(made, type, values.data()), name);
      return;
    }
    std::array<std::byte, 16> values{};
    in_.fill(values.data(), values.size());
    h5::check(H5Awrite(made, type, values.data()), name);
  }

  InputBytes& in_;
  h5::Handle file_;
};

// A run of two prompts in one shard.
struct Run {
  RunPaths paths;
  std::string input;
};

Run make_run() {
  Run run{{process_path("shard")}, {}};
  run.input = run.paths.dir + "/p.h5";
  std::filesystem::remove_all(run.paths.dir);  // left by an earlier process with the same number
  files::make_folders(run.paths.dir);
  h5::Handle file = h5::create_file(run.input);
  const hsize_t rows = prompts;
  auto put = [&](const char* name, hid_t type, const void* values) {
    const h5::Handle space = h5::own(H5Screate_simple(1, &rows, nullptr), name);
    const h5::Handle dataset =
        h5::own(H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), name);
    h5::write_rows(dataset, type, 0, rows, values, name);
  };
  const h5::Handle text = h5::text_type();
  const std::array<const char*, 2> words = {"a", "b"};
  const std::array<std::int64_t, 2> labels = {7, 8};
  put("prompt", text, words.data());
  put("label", H5T_STD_I64LE, labels.data());
  file.close(run.input);
  RunManifest manifest;
  manifest.run_id = run_id;
  manifest.prompts = manifest.completions = manifest.shard_prompts = prompts;
  create_run(run.paths, manifest, with_checksum_line("output: {merge: true}\n"));
  return run;
}

const PromptFile& input_of(const Run& run) {
  InputSettings settings;
  settings.path = run.input;
  static const PromptFile file(settings, std::nullopt);
  return file;
}

void read_all(const std::string& path) {
  const OutputReader file(path);
  for (std::uint64_t first = 0, end; first < file.rows(); first = end) {
    end = file.block_end(first);
    expect(file.read(first, end - first).size() == end - first, "a block has its rows");
    file.read_status(first, end - first);
  }
  for_each_field(prompt_fields, [&](const auto& field) {
    for (std::uint64_t first = 0, end; first < file.prompts(field); first = end) {
      end = file.block_end(field, first);
      expect(file.read(field, first, end - first).counts.size() == end - first, "a block has its prompts");
    }
  });
  expect(file.read_errors(0, file.errors()).code.size() == file.errors(), "errors have their rows");
  for (const std::string& name : file.carried_names()) file.open_carried(name);
  for (const char* name : {"run_id", "config_yaml", "dtype"}) file.text_attribute(name);
  file.number_attribute("world_size");
}

template <class Body>
bool ends_well(Body&& body) {
  try {
    body();
    return true;
  } catch (const UserError&) {
  } catch (const SystemError&) {
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Run run = make_run();
  const std::string shard = run.paths.shard(ShardId{0});
  InputBytes in(data, size);
  ShardFile(shard, in).write();
  const bool formed = check_form(shard).empty();
  expect(ends_well([&] { read_all(shard); }) <= formed, "a reader refuses what has not the form");
  expect(broken_seal(shard, [] {}).has_value(), "a file without a seal is told");
  seal(shard, [] {});
  expect(!broken_seal(shard, [] {}), "a sealed file is whole");

  VerifyRequest request;
  request.dir = run.paths.dir;
  request.depth = VerifyDepth::Deep;
  request.vocabulary = 100;
  const PromptFile& input = input_of(run);
  ends_well([&] { verify_run(request, input); });
  OutputLayout layout;
  layout.gzip_level.reset();  // faster
  layout.logprobs = 2;
  layout.prompt_logprobs = layout.prompt_token_ids = layout.stop_reason = true;
  RootAttributes attributes;
  attributes.run_id = run_id;
  auto merged = [&] {
    try {
      return ends_well([&] { merge_shards({shard}, run.paths.outputs(), layout, attributes, prompts); });
    } catch (const ContractViolation&) {
      return false;  // the writer refuses rows and columns that do not belong together
    }
  };
  if (merged()) {
    const VerifyReport report = verify_run(request, input);
    if (size == 0) expect(report.faults.empty(), report.faults.empty() ? "" : report.faults[0].c_str());
    expect(size > 0 || report.rows_checked == prompts, "an empty input is a whole shard");
  } else {
    expect(size > 0, "an empty input is a whole shard");
  }
  for (const std::string& name : files::list(run.paths.dir))
    if (name.starts_with("outputs.h5")) files::remove(run.paths.dir + "/" + name);
  return 0;
}
