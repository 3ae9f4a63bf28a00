// prompts.h5 in every form that h5py writes (tests/data/dataset/make_fixtures.py makes the fixtures).
#include "dataset/prompts/prompts.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>

#include "scratch.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {
namespace {

const std::vector<std::string> texts = {"Hello", "Grüße, 世界", "", "a b\nc", "🦜 end"};

std::vector<Prompt> read_all(const PromptFile& file) { return file.read(0, file.size(), SamplingParams()); }

TEST_CASE("every form of text") {
  struct Case {
    const char* name;
    const char* group;
  };
  for (Case c : {Case{"three_lines", "/"},
                 {"fixed_null_padded", "/"},
                 {"fixed_utf8_gzip", "/"},
                 {"packed_text", "train"},
                 {"packed_text", "/train"}}) {
    CAPTURE(c.name);
    PromptFile file = open_fixture(c.name, c.group);
    CHECK(file.form() == PromptForm::Text);
    CHECK_FALSE(file.has_id_column());
    REQUIRE(file.size() == texts.size());
    file.check_ids();
    CHECK(file.check_columns(SamplingParams()) == texts.size());
    auto prompts = read_all(file);
    for (std::size_t i = 0; i < texts.size(); i++) {
      CHECK(prompts[i].text == texts[i]);
      CHECK(prompts[i].index == i);
      CHECK(prompts[i].id == PromptId(static_cast<std::int64_t>(i)));
      CHECK(prompts[i].fault.has_value() == texts[i].empty());
      // Any range gives the same rows.
      auto one = file.read(i, 1, SamplingParams());
      CHECK(one[0].text == texts[i]);
    }
    CHECK(prompts[2].fault->code == ErrorCode::Empty);
  }
}

TEST_CASE("padding of fixed strings") {
  CHECK(read_all(open_fixture("ascii_vlen"))[1].text == "two");
  for (const char* name : {"fixed_space_padded", "fixed_null_ended"}) {
    CAPTURE(name);
    auto prompts = read_all(open_fixture(name));
    CHECK(prompts[0].text == "one");
    CHECK(prompts[1].text == "two wor");
    CHECK(prompts[2].text == " three");
  }
}

TEST_CASE("every form of token ids") {
  const std::vector<std::vector<TokenId>> tokens = {{1, 2, 3}, {}, {70000}, {5, 4}, {2147483647}};
  for (const char* name : {"tokens_vlen", "tokens_packed"}) {
    CAPTURE(name);
    PromptFile file = open_fixture(name);
    CHECK(file.form() == PromptForm::TokenIds);
    auto prompts = read_all(file);
    for (std::size_t i = 0; i < tokens.size(); i++) CHECK(prompts[i].token_ids == tokens[i]);
    REQUIRE(prompts[1].fault);
    CHECK(prompts[1].fault->code == ErrorCode::Empty);
    CHECK_FALSE(prompts[0].fault);
    auto range = file.read(3, 2, SamplingParams());
    CHECK(range[1].token_ids == tokens[4]);
  }
  PromptFile with_text = open_fixture("tokens_vlen");
  REQUIRE(with_text.carried().size() == 1);
  CHECK(with_text.carried()[0].name == "prompt");
  auto wide = read_all(open_fixture("tokens_vlen_big_endian_u2"));
  CHECK(wide[0].token_ids == std::vector<TokenId>{1, 65535});
  for (const char* name : {"tokens_bad", "tokens_bad_u8"}) {
    CAPTURE(name);
    auto bad = read_all(open_fixture(name));
    REQUIRE(bad[0].fault);
    CHECK(bad[0].fault->code == ErrorCode::BadToken);
    CHECK(bad[0].token_ids.empty());
    CHECK_FALSE(bad.back().fault);
    CHECK(bad.back().token_ids == std::vector<TokenId>{3});
  }
}

TEST_CASE("bad UTF-8 is a fault of its row only") {
  auto prompts = read_all(open_fixture("bad_utf8"));
  CHECK_FALSE(prompts[0].fault);
  REQUIRE(prompts[1].fault);
  CHECK(prompts[1].fault->code == ErrorCode::BadUtf8);
  CHECK_CONTAINS(prompts[1].fault->message, "byte 4");
  CHECK(prompts[2].fault->code == ErrorCode::BadUtf8);
}

TEST_CASE("columns merge over the run's defaults") {
  SamplingParams defaults;
  defaults.n = 4;
  defaults.temperature = 0.75f;
  defaults.top_p = 0.875f;
  defaults.top_k = 11;
  defaults.min_p = 0.125f;
  defaults.max_tokens = 99;
  defaults.stop = {"default"};
  PromptFile file = open_fixture("columns");
  CHECK(file.has_text_ids());
  file.check_ids();
  CHECK(file.check_columns(defaults) == 1 + 2 + 4 + 3 + 1 + 1);
  CHECK(file.read_sample_counts(1, 3, defaults) == std::vector<std::uint32_t>{2, 4, 3});
  auto p = file.read(0, 6, defaults);
  CHECK(std::get<std::string>(p[1].id) == "id-1-ü");
  CHECK(p[0].sampling.n == 1);
  CHECK(p[2].sampling.n == 4);
  CHECK(p[0].sampling.temperature == 0.0f);
  CHECK(p[1].sampling.temperature == 0.75f);
  CHECK(p[2].sampling.temperature == 0.75f);
  CHECK(p[3].sampling.temperature == 0.5f);
  CHECK(p[1].sampling.top_p == 0.25f);
  CHECK(p[2].sampling.top_p == 0.875f);
  CHECK(p[3].sampling.top_p == 0.875f);
  CHECK(p[0].sampling.top_k == 0);
  CHECK(p[2].sampling.top_k == 11);
  CHECK(p[3].sampling.top_k == 40);
  CHECK(p[1].sampling.min_p == 1.0f);
  CHECK(p[3].sampling.min_p == 0.125f);
  CHECK(p[0].sampling.max_tokens == 1);
  CHECK(p[1].sampling.max_tokens == 99);
  CHECK(p[1].sampling.seed == std::numeric_limits<std::uint64_t>::max());
  CHECK(p[0].sampling.stop == std::vector<std::string>{"\n", "###"});
  CHECK(p[1].sampling.stop == std::vector<std::string>{"default"});
  CHECK(p[2].sampling.stop.empty());
  CHECK(p[3].sampling.stop == std::vector<std::string>{"é"});
}

TEST_CASE("what is carried") {
  auto names = [](const PromptFile& file) {
    std::vector<std::string> names;
    for (const auto& column : file.carried()) names.push_back(column.name);
    return names;
  };
  CHECK(names(open_fixture("columns")) ==
        std::vector<std::string>{"code", "flag", "label", "name", "none", "point", "record", "tags"});
  InputSettings input;
  input.path = fixture("columns");
  CHECK(names(PromptFile(input, std::vector<std::string>{"label", "prompt"})) ==
        std::vector<std::string>{"label", "prompt"});
  CHECK(names(PromptFile(input, std::vector<std::string>{})).empty());
  for (const char* name : {"absent", "other", "version", "other/of_another_length"}) {
    CAPTURE(name);
    std::string text = message_of<UserError>([&] { PromptFile(input, std::vector<std::string>{name}); });
    CHECK_CONTAINS(text, name);
    CHECK_CONTAINS(text, "carry_columns");
  }
}

TEST_CASE("limit cuts") {
  InputSettings input;
  input.path = fixture("three_lines");
  input.limit = 2;
  PromptFile file(input, std::nullopt);
  CHECK(file.size() == 2);
  CHECK(file.file_rows() == 5);
  input.limit = 100;
  CHECK(PromptFile(input, std::nullopt).size() == 5);
  input.limit = 0;
  CHECK_THROWS_AS(PromptFile(input, std::nullopt), UserError);
  CHECK_THROWS_AS(file.read(1, 2, SamplingParams()), ContractViolation);
}

TEST_CASE("ids are unique or both rows are named") {
  open_fixture("ids_integer").check_ids();
  CHECK(read_all(open_fixture("ids_integer"))[1].id == PromptId(std::int64_t{-5}));
  std::string text = message_of<UserError>([] { open_fixture("ids_double").check_ids(); });
  CHECK_CONTAINS(text, "rows 1 and 3 have the same id 'y'");
  CHECK_CONTAINS(text, "dataset '/id'");
  text = message_of<UserError>([] { open_fixture("ids_double_integer").check_ids(); });
  CHECK_CONTAINS(text, "rows 0 and 3 have the same id '4'");
  InputSettings input;  // rows beyond the limit are not checked
  input.path = fixture("ids_double");
  input.limit = 3;
  PromptFile(input, std::nullopt).check_ids();
}

TEST_CASE("files that cannot work name file, dataset and the way out") {
  struct Case {
    const char* name;
    const char* says;
  };
  for (Case c : {Case{"no_rows", "no rows"},
                 {"no_prompt_column", "neither 'prompt' nor 'prompt_token_ids'; it has: text"},
                 {"ragged_option", "dataset '/temperature': has 1 rows, but 'prompt' has 2"},
                 {"ragged_carried", "dataset '/label': has 3 rows, but 'prompt' has 2"},
                 {"prompt_numbers", "holds integers, needs strings"},
                 {"prompt_scalar", "has 0 dimensions"},
                 {"prompt_table", "has 2 dimensions"},
                 {"prompt_compound", "holds compound records"},
                 {"tokens_table", "padding cannot be distinguished from tokens"},
                 {"tokens_floats", "holds floats, needs variable-length integers"},
                 {"id_floats", "dataset '/id': holds floats"},
                 {"n_text", "dataset '/n': holds strings, needs numbers"},
                 {"temperature_bool", "dataset '/temperature': holds enumerated values or booleans"},
                 {"offsets_missing", "dataset '/prompt/offsets': is missing"},
                 {"values_floats", "dataset '/prompt_token_ids/values': holds floats"},
                 {"offsets_empty", "dataset '/prompt/offsets': is empty"},
                 {"reference", "dataset '/link': is a scalar or holds references"}}) {
    CAPTURE(c.name);
    std::string name = std::string("refused/") + c.name;
    std::string text = message_of<UserError>([&] { open_fixture(name); });
    CHECK_CONTAINS(text, c.says);
    CHECK_CONTAINS(text, fixture(name));
  }
}

TEST_CASE("values out of range name dataset and row") {
  struct Case {
    const char* name;
    const char* says;
  };
  for (Case c : {Case{"n_zero", "dataset '/n': row 1 is 0"},
                 {"n_negative", "dataset '/n': row 1 is -2"},
                 {"n_half", "dataset '/n': row 1 is 1.5"},
                 {"n_huge", "dataset '/n': row 1 is 1099511627776"},
                 {"temperature", "dataset '/temperature': row 1 is -3"},
                 {"temperature_infinite", "dataset '/temperature': row 1 is inf"},
                 {"top_p_zero", "dataset '/top_p': row 1 is 0"},
                 {"top_p_above", "dataset '/top_p': row 1 is 1.5"},
                 {"min_p", "dataset '/min_p': row 1 is 1.5"},
                 {"top_k", "dataset '/top_k': row 1 is -7"},
                 {"stop_text", "dataset '/stop': row 1 must be a JSON list"},
                 {"stop_object", "dataset '/stop': row 1 must be a JSON list"},
                 {"stop_empty", "dataset '/stop': row 1 must be a JSON list"},
                 {"stop_number", "dataset '/stop': row 1 must be a JSON list"}}) {
    CAPTURE(c.name);
    PromptFile file = open_fixture(std::string("refused_rows/") + c.name);
    CHECK_CONTAINS(message_of<UserError>([&] { file.check_columns(SamplingParams()); }), c.says);
    CHECK_CONTAINS(message_of<UserError>([&] { read_all(file); }), c.says);
  }
  CHECK(open_fixture("refused_rows/max_tokens").check_columns(SamplingParams()) == 2);  // 0, as in run.yaml
}

TEST_CASE("offsets that do not ascend") {
  for (const char* name : {"offsets_fall", "offsets_beyond", "offsets_short", "offsets_start", "offsets_negative"}) {
    CAPTURE(name);
    PromptFile file = open_fixture(std::string("refused_rows/") + name);
    CHECK_CONTAINS(message_of<UserError>([&] { read_all(file); }), "/prompt/offsets");
    CHECK_CONTAINS(message_of<UserError>([&] { file.check_columns(SamplingParams()); }), "/prompt/offsets");
  }
}

void make_prompts(const std::string& path, const std::vector<std::string>& prompts, hsize_t chunk) {
  const h5::Handle file = h5::create_file(path);
  const h5::Handle text = h5::own(H5Tcopy(H5T_C_S1), path);
  H5Tset_size(text, 8);
  const hsize_t rows = prompts.size();
  const h5::Handle space = h5::own(H5Screate_simple(1, &rows, nullptr), path);
  const h5::Handle settings = h5::own(H5Pcreate(H5P_DATASET_CREATE), path);
  H5Pset_chunk(settings, 1, &chunk);
  const h5::Handle set = h5::own(H5Dcreate2(file, "prompt", text, space, H5P_DEFAULT, settings, H5P_DEFAULT), path);
  std::string padded;
  for (std::string prompt : prompts) prompt.resize(8), padded += prompt;
  h5::check(H5Dwrite(set, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, padded.data()), path);
}

// Writes in place, as a different process does with h5py's mode "w": the file keeps its inode. HDF5 does not write to a
// file that this process reads.
void write_prompts(const std::string& path, const std::vector<std::string>& prompts, hsize_t chunk) {
  make_prompts(path + ".made", prompts, chunk);
  std::ifstream made(path + ".made", std::ios::binary);
  std::ofstream(path, std::ios::binary | std::ios::trunc) << made.rdbuf();
}

std::string fault_of(const PromptFile& file) {
  try {
    return read_all(file).at(2).text;
  } catch (const UserError& e) {
    return e.what();
  }
}

TEST_CASE("a file that somebody writes to while it is read holds the same values, or is refused") {
  const Scratch scratch;
  const std::string path = scratch.path("p.h5");
  const std::vector<std::string> prompts = {"one", "two", "three", "four"};
  write_prompts(path, prompts, 4);
  PromptFile file = open_prompts(path);
  file.hold_to(file.contents(), file.stamp_when_opened());
  CHECK(fault_of(file) == "three");
  CHECK(file.check_contents() == PromptFile::Reopened::No);
  SUBCASE("touched") {
    std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::seconds(3));
    CHECK(file.check_contents() == PromptFile::Reopened::Yes);
    CHECK(file.check_contents() == PromptFile::Reopened::No);
  }
  SUBCASE("stored another way") { write_prompts(path, prompts, 1); }
  SUBCASE("replaced by a file of the same name: the open one counts") {
    write_prompts(path + ".new", {"x", "y", "z", "w"}, 1);
    std::filesystem::rename(path + ".new", path);
    CHECK(file.check_contents() == PromptFile::Reopened::No);
  }
  SUBCASE("opened by another process before it was changed") {
    PromptFile late = open_prompts(path);
    CHECK_NOTHROW(late.hold_to(file.contents(), "another stamp"));
    CHECK_THROWS_WITH_AS(
        late.hold_to({"of others", ""}, "another stamp"),
        doctest::Contains("was written to while this job reads it, and holds different values (in prompt)"), UserError);
  }
  CHECK(fault_of(file) == "three");
}

TEST_CASE("other prompts in a file that is being read are refused, half-written ones too") {
  const Scratch scratch;
  const std::string path = scratch.path("p.h5");
  write_prompts(path, {"one", "two", "three", "four"}, 4);
  PromptFile file = open_prompts(path);
  file.hold_to(file.contents(), file.stamp_when_opened());
  SUBCASE("other values") {
    write_prompts(path, {"one", "two", "THREE", "four"}, 4);
    CHECK(fault_of(file).find("holds different values (in prompt)") != std::string::npos);
  }
  SUBCASE("fewer rows") {
    write_prompts(path, {"one", "two"}, 2);
    CHECK(fault_of(file).find("holds different values (in prompt)") != std::string::npos);
  }
  SUBCASE("cut short") {
    std::filesystem::resize_file(path, 100);
    CHECK(fault_of(file).find("cannot be read any more") != std::string::npos);
  }
  // A later read, to finish a shard, throws as well, and succeeds when the prompts are back.
  CHECK(fault_of(file).find("was written to while") != std::string::npos);
  CHECK_THROWS_AS(file.check_contents(), UserError);
  CHECK(file.size() == 4);
  write_prompts(path, {"one", "two", "three", "four"}, 4);
  CHECK(fault_of(file) == "three");
}

TEST_CASE("files that are none") {
  Scratch scratch;
  InputSettings input;
  auto message = [&] { return message_of<UserError>([&] { PromptFile(input, std::nullopt); }); };
  CHECK_CONTAINS(message(), "input.path is empty");
  input.path = scratch.path("absent.h5");
  CHECK_CONTAINS(message(), "no such file");
  input.path = scratch.dir();
  CHECK_CONTAINS(message(), "is a folder, not a file");
  input.path = scratch.path("text.h5");
  std::ofstream(input.path) << "prompt\nHello\n";
  CHECK_CONTAINS(message(), "not an HDF5 file");
  input.path = fixture("three_lines");
  input.group = "absent/deeper";
  CHECK_CONTAINS(message(), "has no group 'absent/deeper'");
  CHECK_CONTAINS(message(), "at its root are: prompt");
  input.group = "prompt";
  CHECK_CONTAINS(message(), "has no group 'prompt'");
  input.group = "";
  CHECK_CONTAINS(message(), "has no group ''");
}

TEST_CASE("a file cut short is an error at some point, never a crash") {
  Scratch scratch;
  std::string whole = *files::read_text(fixture("columns"));
  InputSettings input;
  input.path = scratch.path("cut.h5");
  for (std::size_t size = 0; size < whole.size(); size += whole.size() / 97 + 1) {
    std::ofstream(input.path, std::ios::binary) << whole.substr(0, size);
    CAPTURE(size);
    CHECK_THROWS_AS(
        {
          PromptFile file(input, std::nullopt);
          read_all(file);
        },
        UserError);
  }
}

}  // namespace
}  // namespace moemill::dataset
