// The merge: what it refuses to put into outputs.h5. On runs made of numbers.
#include <doctest/doctest.h>

#include <filesystem>

#include "run_for_tests.hpp"
#include "scratch.hpp"

namespace moemill::dataset {
namespace {

std::string joined(const std::vector<std::string>& faults) { return fmt::format("{}", fmt::join(faults, "\n")); }

// Changes a finished file as a faulty writer would have, and seals it.
template <class Change>
void change_sealed(const std::string& path, Change&& change) {
  h5::Handle file = h5::own(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), path);
  change(file);
  file.close(path);
  seal(path, [] {});
}

void extend(hid_t file, const std::string& name, hsize_t more) {
  h5::Handle dataset = h5::open_dataset(file, name);
  std::vector<hsize_t> extents = h5::shape(dataset);
  extents[0] += more;
  h5::check(H5Dset_extent(dataset, extents.data()), name);
}

template <class T>
void set_last(hid_t file, const std::string& name, hid_t type, T value) {
  h5::Handle dataset = h5::open_dataset(file, name);
  h5::write_rows(dataset, type, h5::shape(dataset)[0] - 1, 1, &value, name);
}

TEST_CASE("a shard with extents that its rows cannot have is reported as damaged, and they are not read") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 6, OutputLayout{true, true, 2, true, 4, {}});
  const std::string shard = run.paths.shard(ShardId{0});
  auto refused = [&](auto&& change, const char* says) {
    CAPTURE(says);
    run.write_all(prompts);
    change_sealed(shard, change);
    const std::string what = message_of<SystemError>([&] { run.merge(); });
    CHECK_CONTAINS(what, "shard-000000.h5: is damaged");
    CHECK_CONTAINS(what, says);
    CHECK_FALSE(files::exists(run.paths.outputs()));
    CHECK(joined(run.verify(prompts, VerifyDepth::Form).faults).find("shard-000000.h5") != std::string::npos);
  };
  constexpr hsize_t huge = hsize_t{1} << 33;
  auto more_scores = [](hid_t file, hsize_t more) {
    extend(file, "prompt_logprobs/offsets", more);
    set_last(file, "prompt_logprobs/offsets", H5T_NATIVE_UINT64, std::uint64_t{12});
  };
  auto more_errors = [](hid_t file, hsize_t more) {
    for (const char* name : {"prompt_index", "sample_index", "code", "message"})
      extend(file, std::string("errors/") + name, more);
  };
  auto one_label_more = [](hid_t file) {
    extend(file, "carry/label", 1);
    set_last(file, "carry/label", H5T_NATIVE_INT, 9);
  };
  refused(one_label_more, "'/carry/label' has 7 rows for 6 prompts");
  refused([&](hid_t file) { extend(file, "carry/label", huge); }, "'/carry/label' claims 8589934598");
  refused([&](hid_t file) { more_scores(file, 1); }, "'/prompt_logprobs' has 7 rows for 6 prompts");
  refused([&](hid_t file) { more_scores(file, 4); }, "'/prompt_logprobs/offsets' claims 10");
  refused([&](hid_t file) { more_errors(file, 9); }, "'/errors/prompt_index' claims 10");
  refused([&](hid_t file) { extend(file, "completions/text/values", huge); }, "completions/text/values");
}

TEST_CASE("a file with a chunk that was never written has not the form, though HDF5 reads zeros there") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 6, OutputLayout{});
  run.write_all(prompts);
  const std::string shard = run.paths.shard(ShardId{0});
  change_sealed(shard, [](hid_t file) {
    const h5::Handle old = h5::open_dataset(file, "completions/seed");
    const h5::Handle settings = h5::own(H5Dget_create_plist(old), "seed"), space = h5::own(H5Dget_space(old), "seed");
    h5::check(H5Ldelete(file, "completions/seed", H5P_DEFAULT), "seed");
    h5::own(H5Dcreate2(file, "completions/seed", H5T_STD_U64LE, space, H5P_DEFAULT, settings, H5P_DEFAULT), "seed");
  });
  CHECK(joined(check_form(shard)) ==
        "dataset '/completions/seed' has 0 of its 1 chunks: the others were never written");
  CHECK_CONTAINS(message_of<SystemError>([&] { run.merge(); }), "shard-000000.h5: is damaged");
}

TEST_CASE("a merge without its shards, or with another's, is an error and leaves nothing under the name") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 3, OutputLayout{});
  run.write_all(prompts);
  std::vector<std::string> shards = {run.paths.shard(ShardId{0}), run.paths.shard(ShardId{9})};
  CHECK_THROWS_AS(merge_shards(shards, run.paths.outputs(), run.layout, attributes_for(run.manifest), 9), SystemError);
  OutputLayout other = run.layout;
  other.text = false;
  shards.pop_back();
  CHECK_CONTAINS(message_of<SystemError>([&] { merge_shards(shards, run.paths.outputs(), other, {}, 9); }),
                 "shard-000000.h5");
  CHECK_FALSE(files::exists(run.paths.outputs()));
  CHECK_FALSE(files::exists(files::temporary_name(run.paths.outputs())));
}

TEST_CASE("a shard of another run, in another place or lacking rows does not get into the merged file") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 2, OutputLayout{}), other(scratch.path("other"), prompts, 2, OutputLayout{});
  run.write_all(prompts);
  other.write_all(prompts);
  auto refused = [&](const std::string& from, const char* says) {
    const std::string at = run.paths.shard(ShardId{1}), mine = *files::read_text(at);
    std::filesystem::copy_file(from, at, std::filesystem::copy_options::overwrite_existing);
    CHECK_CONTAINS(message_of<SystemError>([&] { run.merge(); }), says);
    CHECK_FALSE(files::exists(run.paths.outputs()));
    files::write_atomically(at, mine);
  };
  refused(other.paths.shard(ShardId{1}), "shard-000001.h5: is damaged (it is of run ");
  refused(run.paths.shard(ShardId{2}), "shard-000001.h5: is damaged (it begins with prompt 4, not with 2)");
  refused(run.paths.shard(ShardId{0}), "shard-000001.h5: is damaged (it begins with prompt 0, not with 2)");
  const std::vector<std::string> first = {run.paths.shard(ShardId{0})};
  CHECK_CONTAINS(message_of<SystemError>(
                     [&] { merge_shards(first, run.paths.outputs(), run.layout, attributes_for(run.manifest), 9); }),
                 "the shards hold 3 rows, the run has 9");
  run.merge();
  CHECK(joined(run.verify(prompts, VerifyDepth::Deep).faults) == "");
}

TEST_CASE("a merge that is stopped leaves nothing under the name, and can be made again") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 3, OutputLayout{});
  run.write_all(prompts);
  std::vector<std::string> shards = {run.paths.shard(ShardId{0}), run.paths.shard(ShardId{1})};
  int blocks = 0;
  auto stop = [&] {
    if (++blocks == 2) throw std::runtime_error("stop");
  };
  CHECK_THROWS_WITH(merge_shards(shards, run.paths.outputs(), run.layout, attributes_for(run.manifest), 9, stop),
                    "stop");
  CHECK(blocks == 2);
  CHECK_FALSE(files::exists(run.paths.outputs()));
  merge_shards(shards, run.paths.outputs(), run.layout, attributes_for(run.manifest), 9);
  CHECK(files::exists(run.paths.outputs()));
}

}  // namespace
}  // namespace moemill::dataset
