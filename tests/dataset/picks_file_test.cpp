// picks.h5: what is written is read, and a file that is none, or is damaged, is refused with its path and the cause.
#include "dataset/run_dir/picks_file.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <functional>

#include "base/error.hpp"
#include "support/temp_dir.hpp"
#include "system/files/h5.hpp"

using namespace moemill;
using namespace moemill::dataset;

namespace {

RecordedPicks two_layers() { return {"toy", 8, 2, 3, {1, 4}, {{0, 7, 3, 2, 5, 6}, {1, 2, 3, 4, 7, 0}}}; }

// Refused after `change`, with a message that has the path and `why`.
void refused(const std::function<void(RecordedPicks&)>& change, const std::string& why) {
  const moemill::test::TempDir folder;
  const std::string path = folder.str() + "/picks.h5";
  RecordedPicks picks = two_layers();
  change(picks);
  write_picks(path, picks);
  CAPTURE(why);
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains(why.c_str()), UserError);
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains(path.c_str()), UserError);
}

// A file whose root attributes are right, and whose datasets `make` makes.
void refused_datasets(const std::function<void(hid_t)>& make, const std::string& why) {
  const moemill::test::TempDir folder;
  const std::string path = folder.str() + "/picks.h5";
  {
    h5::Handle file = h5::create_file(path);
    h5::write_attribute(file, "format", std::string("moemill-picks"));
    h5::write_attribute(file, "model_type", std::string("toy"));
    for (const auto& [name, value] : {std::pair("format_version", 1), {"experts", 8}, {"picks", 2}, {"steps", 1}})
      h5::write_attribute(file, name, std::int64_t{value});
    make(file);
    file.close(path);
  }
  CAPTURE(why);
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains(why.c_str()), UserError);
}

void make_dataset(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& extents) {
  const h5::Handle space = h5::own(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), name);
  h5::own(H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), name);
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
    CHECK(got.experts == 8);
    CHECK(got.picks == 2);
    CHECK(got.steps == picks.steps);
    CHECK(got.layers == picks.layers);
    CHECK(got.of_layer == picks.of_layer);
    CHECK(got.rows() == picks.of_layer[0].size() / 2);
  }
}

TEST_CASE("picks that no router made are refused") {
  refused([](RecordedPicks& p) { p.of_layer[1][3] = 8; }, "a row picks expert 8 of 8");
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
  refused_datasets([](hid_t file) { make_dataset(file, "layers", H5T_IEEE_F32LE, {2}); }, "not of whole numbers");
  refused_datasets([](hid_t file) { make_dataset(file, "layers", H5T_STD_I32LE, {2, 1}); }, "with 1 axes");
  refused_datasets([](hid_t file) { make_dataset(file, "layers", H5T_STD_I32LE, {2}); }, "there is no dataset 'picks'");
  const auto with = [](const std::vector<hsize_t>& extents) {
    return [=](hid_t file) {
      make_dataset(file, "layers", H5T_STD_I32LE, {2}), make_dataset(file, "picks", H5T_STD_U16LE, extents);
    };
  };
  refused_datasets(with({2, 3}), "with 3 axes");
  refused_datasets(with({3, 3, 2}), "do not fit together");
  refused_datasets(with({2, 3, 1}), "do not fit together");
  refused_datasets(with({2, 0, 2}), "there are no rows");
  refused_datasets(with({2, hsize_t{1} << 50, 2}), "larger than any");
}

TEST_CASE("other files are refused as picks") {
  const moemill::test::TempDir folder;
  const std::string path = folder.str() + "/picks.h5";
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains(path.c_str()), UserError);
  std::ofstream(path) << "not HDF5";
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains("picks.h5 of a run"), UserError);
  {
    h5::Handle file = h5::create_file(path);
    h5::write_attribute(file, "format", std::string("moemill-outputs"));
    file.close(path);
  }
  CHECK_THROWS_WITH_AS(read_picks(path), doctest::Contains("another format"), UserError);
}
