// Shards, outputs.h5 and verify, on runs made of numbers.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#include "dataset/compare.hpp"
#include "run_for_tests.hpp"
#include "scratch.hpp"

namespace moemill::dataset {
namespace {

std::string joined(const VerifyReport& report) { return fmt::format("{}", fmt::join(report.faults, "\n")); }

// Compares types, shapes, chunks and values of all datasets: equal stored numbers alone would be too little.
void compare_datasets(hid_t a, hid_t b, const std::string& where) {
  REQUIRE(h5::child_names(a) == h5::child_names(b));
  for (const std::string& name : h5::child_names(a)) {
    CAPTURE(where + "/" + name);
    if (h5::object_kind(a, name) == H5I_GROUP) {
      compare_datasets(h5::open_group(a, name), h5::open_group(b, name), where + "/" + name);
      continue;
    }
    h5::Handle x = h5::open_dataset(a, name), y = h5::open_dataset(b, name);
    REQUIRE(h5::shape(x) == h5::shape(y));
    h5::Handle px = h5::own(H5Dget_create_plist(x), name), py = h5::own(H5Dget_create_plist(y), name);
    CHECK(H5Pequal(px, py) > 0);
    auto difference = differ(x, 0, h5::shape(x)[0], y, 0);
    CHECK_MESSAGE(!difference, *difference);
  }
}

TEST_CASE("outputs do not depend on the size of shards") {
  PromptFile prompts = open_fixture("columns");
  for (OutputLayout layout :
       {OutputLayout{}, OutputLayout{true, true, 2, true, 4, {}}, OutputLayout{false, false, 0, false, {}, {}},
        OutputLayout{true, false, 3, true, 9, {}}, OutputLayout{false, true, {}, false, 1, {}},
        OutputLayout{true, true, {}, false, 4, {}, true, true},
        OutputLayout{false, false, {}, true, {}, {}, true, true}}) {
    Scratch scratch;
    Run whole(scratch.path("whole"), prompts, 6, layout);
    whole.write_all(prompts);
    whole.merge();
    CHECK(joined(whole.verify(prompts, VerifyDepth::Deep)) == "");
    for (std::uint64_t size : {1, 2, 4, 5}) {
      CAPTURE(size);
      Run run(scratch.path("run" + std::to_string(size)), prompts, size, layout);
      run.write_all(prompts);
      run.merge();
      VerifyReport report = run.verify(prompts, VerifyDepth::Deep);
      CHECK(joined(report) == "");
      CHECK(report.rows_checked == whole.manifest.completions);
      CHECK(run.verify(prompts, VerifyDepth::Form).rows_checked == whole.manifest.completions);
      compare_datasets(h5::open_file(whole.paths.outputs()), h5::open_file(run.paths.outputs()), "");
    }
  }
}

TEST_CASE("what was written is read back") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 6, OutputLayout{true, true, 2, true, 4, {}});
  run.write_all(prompts);
  OutputReader shard(run.paths.shard(ShardId{0}));
  REQUIRE(shard.rows() == 9);
  CHECK(shard.layout().logprobs == 2);
  const std::vector<Completion> rows = shard.read(0, 9);
  auto all = [&](auto Completion::*member) {
    std::vector<std::remove_cvref_t<decltype(rows[0].*member)>> values;
    for (const Completion& row : rows) values.push_back(row.*member);
    return values;
  };
  CHECK(all(&Completion::prompt_index) == std::vector<std::uint64_t>{0, 1, 1, 2, 3, 3, 3, 4, 5});
  CHECK(all(&Completion::sample_index) == std::vector<std::uint32_t>{0, 0, 1, 0, 0, 1, 2, 0, 0});
  CHECK(all(&Completion::num_completion_tokens) == std::vector<std::uint32_t>{0, 3, 4, 6, 2, 3, 4, 0, 1});
  CHECK(to_text(rows[8].id) == "id-5-ü");
  CHECK(rows[7].status == RowStatus::Failed);
  CHECK(rows[7].finish_reason == FinishReason::Error);
  CHECK(std::isnan(rows[7].cumulative_logprob));
  Completion wanted = ok_row(1, 1, 4);
  fit_to_layout(wanted, run.layout);
  const Completion one = shard.read(2, 1)[0];
  CHECK(one.token_ids == wanted.token_ids);
  CHECK(one.text == wanted.text);
  CHECK(one.top_ids == wanted.top_ids);
  CHECK(same_floats(one.top_values, wanted.top_values));
  CHECK(one.seed == wanted.seed);
  wanted.id = one.id;
  CHECK(differing_columns(one, wanted, run.layout) == "");
  wanted.seed++;
  wanted.top_values[3] = -1;
  wanted.stop_reason = "not stored";
  CHECK(differing_columns(one, wanted, run.layout) == "seed, top_values");
  ErrorBlock errors = shard.read_errors(0, shard.errors());
  CHECK(errors.code == std::vector<std::string>{"too_long"});
  CHECK(errors.message == std::vector<std::string>{"has 9 tokens, at most 8 fit"});
  const PromptBlock<float> scores = shard.read(prompt_logprobs, 0, shard.prompts(prompt_logprobs));
  CHECK(scores.counts == std::vector<std::uint64_t>{1, 2, 3, 4, 0, 2});
  CHECK(shard.number_attribute("complete") == 1);
  CHECK(shard.number_attribute("world_size") == 2);
  CHECK(shard.text_attribute("run_id") == run.manifest.run_id);
  CHECK(shard.text_attribute("config_yaml").size() > 100'000);
  CHECK_FALSE(files::exists(files::temporary_name(run.paths.shard(ShardId{0}))));
}

TEST_CASE("what the model read and what ended a row") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 6, OutputLayout{true, true, {}, false, 4, {}, true, true});
  run.write_all(prompts);
  {
    OutputReader shard(run.paths.shard(ShardId{0}));
    CHECK((shard.layout().prompt_token_ids && shard.layout().stop_reason));
    CHECK(shard.read(prompt_token_ids, 0, 6).counts == std::vector<std::uint64_t>{1, 2, 3, 1, 0, 3});
    CHECK(shard.read(prompt_token_ids, 1, 1).values == std::vector<TokenId>{7, 7});
    CHECK(shard.read(1, 1)[0].stop_reason == std::to_string(ok_row(1, 0, 3).token_ids[2]));
    CHECK(shard.read(2, 1)[0].stop_reason.empty());
  }
  // Impossible values are noticed: a token that is not the last one, a reason for a row without one, a token outside
  // the vocabulary.
  auto fault_of = [&](auto&& spoil) {
    ShardRows rows = rows_of_range(prompts, {0, 6}, run.layout);
    spoil(rows);
    write_shard(run.paths.shard(ShardId{0}), rows, prompts, run.layout, attributes_for(run.manifest));
    return joined(run.verify(prompts, VerifyDepth::Deep));
  };
  auto of_row = [](ShardRows& rows, std::uint64_t prompt, std::uint32_t sample) -> Completion& {
    return *std::find_if(rows.completions.begin(), rows.completions.end(), [&](const Completion& row) {
      return row.prompt_index == prompt && row.sample_index == sample;
    });
  };
  CHECK_CONTAINS(fault_of([&](ShardRows& rows) { of_row(rows, 1, 0).stop_reason = "1"; }), "row 1 has stop_reason '1'");
  CHECK_CONTAINS(fault_of([&](ShardRows& rows) { of_row(rows, 1, 1).stop_reason = "x"; }), "row 2 has stop_reason 'x'");
  CHECK_CONTAINS(fault_of([&](ShardRows& rows) { of_row(rows, 1, 0).stop_reason = ""; }), "row 1 has stop_reason ''");
  CHECK_CONTAINS(fault_of([](ShardRows& rows) { rows.prompt_tokens[2][1] = 2000; }), "/prompt_token_ids has 2000");
}

TEST_CASE("codes have their names in the file") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 6, OutputLayout{});
  run.write_all(prompts);
  h5::Handle file = h5::open_file(run.paths.shard(ShardId{0}));
  auto codes = [&](const char* name) { return h5::read_text_attribute(h5::open_dataset(file, name), "codes"); };
  CHECK(codes("completions/status") == "0 pending, 1 ok, 2 failed, 3 skipped");
  CHECK(codes("completions/finish_reason") == "0 none, 1 stop, 2 length, 3 stop_string, 4 repetition, 5 error");
  CHECK(codes("errors/code") == "too_long, empty, bad_utf8, bad_token, internal");
}

TEST_CASE("a file that the system does not give is not called damaged") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 6, OutputLayout{});
  run.write_all(prompts);
  const std::string shard = run.paths.shard(ShardId{0});
  auto message = [](const std::string& path) { return message_of<SystemError>([&] { OutputReader reader(path); }); };
  std::vector<std::pair<std::string, std::string>> told = {
      {message(scratch.path("nothing.h5")), "No such file or directory"},
      {message(scratch.path("run")), "a directory"}};
  struct rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  struct rlimit none = {0, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  told.emplace_back(message(shard), "Too many open files");
  setrlimit(RLIMIT_NOFILE, &before);
  for (const auto& pair : told) {
    const std::string &text = pair.first, &reason = pair.second;
    CHECK_CONTAINS(text, reason);
    CHECK(text.find("damaged") == std::string::npos);
    CHECK(text.find("remove") == std::string::npos);
  }
  CHECK(OutputReader(shard).rows() == 9);
  const std::string bytes = *files::read_text(shard);
  std::ofstream(shard, std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  CHECK_CONTAINS(message(shard), "shard-000000.h5: is damaged");
  CHECK_CONTAINS(message(shard), "remove this file");
}

TEST_CASE("verify distinguishes unfinished rows from rows whose file has a fault") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 2, OutputLayout{});
  run.write(prompts, ShardId{0});
  run.write(prompts, ShardId{2});
  VerifyReport report = run.verify(prompts, VerifyDepth::Form);
  CHECK(report.rows_checked == 5);
  CHECK(report.rows_unfinished == 4);
  CHECK(report.whole_files == std::vector<std::string>{run.paths.shard(ShardId{0}), run.paths.shard(ShardId{2})});
  CHECK(report.broken_files.empty());
  const std::string bytes = *files::read_text(run.paths.shard(ShardId{2}));
  std::ofstream(run.paths.shard(ShardId{2}), std::ios::binary) << bytes.substr(0, bytes.size() - 1) << '?';
  report = run.verify(prompts, VerifyDepth::Form);
  CHECK(report.rows_checked == 3);
  CHECK(report.rows_unfinished == 4);
  CHECK_CONTAINS(joined(report), "shard-000002.h5: its bytes are not those that were written");
  CHECK(report.broken_files == std::vector<std::string>{run.paths.shard(ShardId{2})});
  files::remove(run.paths.shard(ShardId{2}));
  std::ofstream(run.paths.outputs()) << "no";  // with an outputs.h5 no row counts as unfinished
  report = run.verify(prompts, VerifyDepth::Form);
  CHECK(report.rows_checked == 0);
  CHECK(report.rows_unfinished == 0);
  CHECK(report.broken_files == std::vector<std::string>{run.paths.outputs()});
}

TEST_CASE("a shard with a missing, doubled or foreign row is refused before anything is written") {
  PromptFile prompts = open_fixture("columns");
  OutputLayout layout;
  layout.ids = IdKind::Text;
  Scratch scratch;
  std::string path = scratch.path("shard.h5");
  auto refused = [&](auto&& change) {
    ShardRows rows = rows_of_range(prompts, {1, 4}, layout);
    change(rows);
    CHECK_THROWS_AS(write_shard(path, rows, prompts, layout, {}), ContractViolation);
    CHECK_FALSE(files::exists(path));
    CHECK_FALSE(files::exists(files::temporary_name(path)));
  };
  refused([](ShardRows& rows) { rows.completions.pop_back(); });
  refused([](ShardRows& rows) { rows.completions.erase(rows.completions.begin() + 1); });
  refused([](ShardRows& rows) { rows.completions.push_back(rows.completions[2]); });
  refused([](ShardRows& rows) { rows.completions[0].prompt_index = 5; });
  refused([](ShardRows& rows) { rows.completions.clear(); });
  refused([](ShardRows& rows) { rows.completions[0].status = RowStatus::Failed; });
  refused([](ShardRows& rows) { rows.scores = {{1, {}}, {1, {}}}; });
  refused([](ShardRows& rows) { rows.scores = {{0, {}}}; });
}

TEST_CASE("a file with another number of carried rows than prompts is not published") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  OutputLayout layout;
  layout.ids = IdKind::Text;
  OutputWriter writer(scratch.path("o.h5"), layout, {});
  writer.append(std::vector{ok_row(4, 0, 0), ok_row(4, 1, 0), ok_row(5, 0, 0)});
  const hid_t label = prompts.carried_dataset("label");
  for (int twice = 0; twice < 2; twice++) writer.append_carried("label", label, 4, 2);
  CHECK_THROWS_AS(writer.publish(), ContractViolation);
  CHECK_FALSE(files::exists(scratch.path("o.h5")));
}

TEST_CASE("verify finds what is wrong") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 2, OutputLayout{true, true, 2, true, 4, {}});
  run.write_all(prompts);
  CHECK_CONTAINS(joined(run.verify(prompts, VerifyDepth::Form)), "outputs.h5: is missing");
  CHECK(joined(verify_run({run.paths.dir, VerifyDepth::Deep, {}, {}, false}, prompts)) == "");  // output.merge: false
  run.merge();
  CHECK(joined(run.verify(prompts, VerifyDepth::Deep)) == "");

  auto change = [&](const std::string& path, const std::string& name, hid_t type, std::uint64_t row, auto value) {
    decltype(value) before;
    {
      h5::Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT));
      h5::Handle dataset = h5::open_dataset(file, name);
      h5::read_rows(dataset, type, row, 1, &before, name);
      h5::write_rows(dataset, type, row, 1, &value, name);
    }
    seal(path, [] {});  // as a faulty writer would have
    return before;
  };
  struct Case {
    const char* name;
    std::uint64_t row;
    std::uint64_t value;
    const char* says;
  };
  std::string outputs = run.paths.outputs();
  for (Case c : {Case{"completions/prompt_index", 3, 9, "row 3 is prompt 9 sample 0"},
                 {"completions/sample_index", 2, 5, "row 2 is prompt 1 sample 5"},
                 {"completions/status", 0, 0, "row 0 has status 0"},
                 {"completions/status", 1, 7, "row 1 has status 7"},
                 {"completions/status", 1, 2, "row 1 has status 2"},
                 {"completions/finish_reason", 1, 9, "finish_reason 9"},
                 {"completions/num_completion_tokens", 1, 2, "num_completion_tokens says 2"},
                 {"completions/text/offsets", 2, 9999, "does not ascend"},
                 {"completions/token_ids/offsets", 9, 3, "'/completions/token_ids/values' has 23 rows, expected 3"},
                 {"prompt_logprobs/offsets", 1, 9, "does not ascend"},
                 {"errors/prompt_index", 0, 3, "/errors does not list exactly the failed rows"}}) {
    CAPTURE(c.name);
    auto before = change(outputs, c.name, H5T_NATIVE_UINT64, c.row, c.value);
    CHECK_CONTAINS(joined(run.verify(prompts, VerifyDepth::Form)), c.says);
    change(outputs, c.name, H5T_NATIVE_UINT64, c.row, before);
  }
  for (Case c : {Case{"completions/token_ids/values", 4, 2000, "has token 2000, outside of the vocabulary"},
                 {"completions/token_ids/values", 4, 7, "differ from those of"},
                 {"completions/text/values", 0, 0xff, "is not UTF-8"},
                 {"completions/seed", 4, 1, "differ from those of"},
                 {"carry/label", 3, 77, "'/carry/label': row 3 differs from the input"}}) {
    CAPTURE(c.name);
    auto before = change(outputs, c.name, H5T_NATIVE_UINT64, c.row, c.value);
    CHECK(joined(run.verify(prompts, VerifyDepth::Form)) == "");
    CHECK_CONTAINS(joined(run.verify(prompts, VerifyDepth::Deep)), c.says);
    change(outputs, c.name, H5T_NATIVE_UINT64, c.row, before);
  }
  CHECK(joined(run.verify(prompts, VerifyDepth::Deep)) == "");

  files::remove(run.paths.shard(ShardId{1}));  // a merged run does not need its shards
  CHECK(joined(run.verify(prompts, VerifyDepth::Deep)) == "");
  std::string bytes = *files::read_text(outputs);
  std::ofstream(outputs, std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  CHECK_CONTAINS(joined(run.verify(prompts, VerifyDepth::Form)), "outputs.h5");
  files::remove(outputs);
  CHECK_CONTAINS(joined(run.verify(prompts, VerifyDepth::Form)), "shard-000001.h5: is missing");
  CHECK_THROWS_AS(verify_run({scratch.path("nothing"), VerifyDepth::Form, {}, {}}, prompts), UserError);
  CHECK_CONTAINS(joined(run.verify(open_fixture("three_lines"), VerifyDepth::Form)), "another input or limit");
}

TEST_CASE("a full disk under a shard is a SystemError and no shard") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 6, OutputLayout{});
  // In a process of its own, as in a job: HDF5 keeps what it could not write and leaks it.
  pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = {9000, 9000};
    setrlimit(RLIMIT_FSIZE, &small);
    std::string text = message_of<SystemError>([&] { run.write(prompts, ShardId{0}); });
    ::_exit(text.find("shard-000000.h5.") != std::string::npos ? 42 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
  CHECK(list_run(run.paths).finished.empty());
}

}  // namespace
}  // namespace moemill::dataset
