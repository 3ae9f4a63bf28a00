// picks.h5: what is written is read, and a file that is none, or is damaged, is refused with its path and the cause.
#include "dataset/run_dir/picks_file.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "base/error.hpp"
#include "support/temp_dir.hpp"
#include "system/files/files.hpp"
#include "system/files/h5.hpp"

using namespace moemill;
using namespace moemill::dataset;

namespace {

RecordedPicks two_layers() { return {"toy", "ab12", 4, 8, 2, 3, {1, 4}, {{0, 7, 3, 2, 5, 6}, {1, 2, 3, 4, 7, 0}}}; }

std::string fault_of_reading(const std::string& path) {
  try {
    read_picks(path);
  } catch (const UserError& fault) {
    return fault.what();
  }
  return "no fault";
}

std::size_t times(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

// Refused after `change`, with a message that has the path and `why`.
void refused(const std::function<void(RecordedPicks&)>& change, const std::string& why) {
  const moemill::test::TempDir folder;
  const std::string path = folder.str() + "/picks.h5";
  RecordedPicks picks = two_layers();
  change(picks);
  write_picks(path, picks);
  CAPTURE(why);
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains(why.c_str()), UserError);
  CHECK(times(fault_of_reading(path), path) == 1);
}

// A file whose root attributes are right, and whose datasets `make` makes.
void refused_datasets(const std::function<void(hid_t)>& make, const std::string& why) {
  const moemill::test::TempDir folder;
  const std::string path = folder.str() + "/picks.h5";
  {
    h5::Handle file = h5::create_file(path);
    h5::write_attribute(file, "format", std::string("moemill-picks"));
    h5::write_attribute(file, "model_type", std::string("toy"));
    h5::write_attribute(file, "model_sha256", std::string("ab12"));
    for (const auto& [name, value] :
         {std::pair("format_version", 1), {"experts", 8}, {"picks", 2}, {"steps", 1}, {"attempt", 1}})
      h5::write_attribute(file, name, std::int64_t{value});
    make(file);
    file.close(path);
  }
  CAPTURE(why);
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains(why.c_str()), UserError);
}

void make_dataset(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& extents,
                  hid_t settings = H5P_DEFAULT) {
  const h5::Handle space = h5::own(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), name);
  h5::own(H5Dcreate2(file, name, type, space, H5P_DEFAULT, settings, H5P_DEFAULT), name);
}

// The layers of two_layers().
void make_layers(hid_t file) {
  make_dataset(file, "layers", H5T_STD_I32LE, {2});
  h5::write_rows(h5::open_dataset(file, "layers"), H5T_NATIVE_INT32, 0, 2, two_layers().layers.data(), "layers");
}

}  // namespace

TEST_CASE("recorded picks are read as they were written, in place of earlier ones") {
  const moemill::test::TempDir folder;
  const std::string path = folder.str() + "/picks.h5";
  RecordedPicks other = two_layers();
  other.steps = 9, other.of_layer[0].resize(2), other.of_layer[1].resize(2);
  for (const RecordedPicks& picks : {other, two_layers()}) {
    write_picks(path, picks);
    const RecordedPicks got = read_picks(path);
    CHECK(got.model_type == "toy");
    CHECK(got.model_sha256 == "ab12");
    CHECK(got.attempt == 4);
    CHECK(got.experts == 8);
    CHECK(got.picks == 2);
    CHECK(got.steps == picks.steps);
    CHECK(got.layers == picks.layers);
    CHECK(got.of_layer == picks.of_layer);
    CHECK(got.rows() == picks.of_layer[0].size() / 2);
  }
}

TEST_CASE("picks that no router made are refused") {
  refused([](RecordedPicks& p) { p.of_layer[1][3] = 8; }, "has expert 8 of 8");
  refused([](RecordedPicks& p) { p.of_layer[1][3] = p.of_layer[1][2]; }, "one twice");
  refused([](RecordedPicks& p) { p.layers = {4, 1}; }, "'layers' does not ascend");
  refused([](RecordedPicks& p) { p.layers = {1, 1}; }, "'layers' does not ascend");
  refused([](RecordedPicks& p) { p.layers = {-1, 1}; }, "'layers' does not ascend");
  refused([](RecordedPicks& p) { p.experts = 1; }, "do not fit together");
  refused([](RecordedPicks& p) { p.of_layer = {{}, {}}; }, "there are no rows");
}

TEST_CASE("files without the datasets, or with others of their names, are refused") {
  refused_datasets([](hid_t) {}, "there is no dataset 'layers'");
  refused_datasets([](hid_t file) { h5::create_group(file, "layers"); }, "there is no dataset 'layers'");
  refused_datasets([](hid_t file) { make_dataset(file, "layers", H5T_IEEE_F32LE, {2}); }, "'layers' is not int32");
  refused_datasets([](hid_t file) { make_dataset(file, "layers", H5T_STD_U32LE, {2}); }, "'layers' is not int32");
  refused_datasets([](hid_t file) { make_dataset(file, "layers", H5T_STD_I32LE, {2, 1}); }, "not int32 [layers]");
  refused_datasets(make_layers, "there is no dataset 'picks'");
  const auto with = [](const std::vector<hsize_t>& extents, hid_t type = H5T_STD_U16LE) {
    return [=](hid_t file) { make_layers(file), make_dataset(file, "picks", type, extents); };
  };
  refused_datasets(with({2, 3}), "'picks' is not uint16 [layers, rows, picks]");
  refused_datasets(with({2, 3, 2}, H5T_STD_I16LE), "'picks' is not uint16");
  refused_datasets(with({2, 3, 2}, H5T_STD_I32LE), "'picks' is not uint16");  // -7 would be read as 0
  refused_datasets(with({2, 3, 2}, H5T_IEEE_F32LE), "'picks' is not uint16");
  refused_datasets(with({3, 3, 2}), "do not fit together");
  refused_datasets(with({2, 3, 1}), "do not fit together");
  refused_datasets(with({2, 0, 2}), "there are no rows");
}

TEST_CASE("picks take no more memory than their file has bytes, and no more than a run records") {
  const auto with = [](const std::vector<hsize_t>& extents) {
    return [=](hid_t file) { make_layers(file), make_dataset(file, "picks", H5T_STD_U16LE, extents); };
  };
  refused_datasets(with({2, 3, 2}), "'picks' has no values");
  refused_datasets(with({2, 1 << 26, 2}), "'picks' has more than 256 MiB");
  refused_datasets(with({2, hsize_t{1} << 60, 2}), "'picks' has more than 256 MiB");
  const auto chunked = [](hid_t file) {
    const h5::Handle settings = h5::own(H5Pcreate(H5P_DATASET_CREATE), "settings");
    const std::vector<hsize_t> chunk = {2, 64, 2};
    h5::check(H5Pset_chunk(settings, 3, chunk.data()), "chunk");
    make_layers(file), make_dataset(file, "picks", H5T_STD_U16LE, {2, 64, 2}, settings);
  };
  refused_datasets(chunked, "'picks' is not stored in one piece");
  const auto external = [](hid_t file) {
    const h5::Handle settings = h5::own(H5Pcreate(H5P_DATASET_CREATE), "settings");
    h5::check(H5Pset_external(settings, "/dev/zero", 0, H5F_UNLIMITED), "external");
    make_layers(file), make_dataset(file, "picks", H5T_STD_U16LE, {2, 64, 2}, settings);
  };
  refused_datasets(external, "'picks' is not stored in one piece");

  const moemill::test::TempDir folder;
  const std::string path = folder.str() + "/picks.h5";
  RecordedPicks large = two_layers();
  large.picks = 1, large.layers = {2}, large.of_layer = {std::vector<std::uint16_t>(most_picks_bytes / 2 + 5, 3)};
  write_picks(path, large);  // the last step of a recording goes beyond its limit
  CHECK(read_picks(path).rows() == most_picks_bytes / 2);
}

TEST_CASE("picks that cannot be written leave no file behind") {
  const moemill::test::TempDir folder;
  const std::string path = folder.str() + "/picks.h5";
  std::filesystem::create_directory(path);  // which no file can replace
  CHECK_THROWS_AS(write_picks(path, two_layers()), SystemError);
  CHECK(files::list(folder.str()) == std::vector<std::string>{"picks.h5"});
}

TEST_CASE("other files are refused as picks") {
  const moemill::test::TempDir folder;
  const std::string path = folder.str() + "/picks.h5";
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains("No such file"), UserError);
  CHECK(times(fault_of_reading(path), path) == 1);
  std::ofstream(path) << "not HDF5";
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains("picks.h5 of a run"), UserError);
  {
    h5::Handle file = h5::create_file(path);
    h5::write_attribute(file, "format", std::string("moemill-outputs"));
    file.close(path);
  }
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains("another format"), UserError);
}
