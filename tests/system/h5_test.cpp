#include "system/files/h5.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/text/utf8.hpp"
#include "support/temp_dir.hpp"

namespace moemill::h5 {
namespace {

TEST_CASE("HDF5's reasons print, whatever a broken file has put into them") {
  be_quiet();
  const Handle access = own(H5Pcreate(H5P_FILE_ACCESS), "list");
  check(H5Pset_fapl_core(access, 1 << 16, false), "list");  // in memory, never written
  const Handle file = own(H5Fcreate("nothing.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access), "file");
  CHECK(H5Dopen2(file,
                 "a\xff\x01"
                 "\x1b[31m\n\xc3\xa9\xc2\x85z",
                 H5P_DEFAULT) < 0);
  const std::string text = error_text();
  CAPTURE(text);
  CHECK_FALSE(first_bad_utf8(text));
  CHECK(text.find("a???[31m \xc3\xa9?z") != std::string::npos);  // printable characters stay
  CHECK(error_text() == "no reason given");
}

TEST_CASE("a chunk of any size up to the limit is unpacked once") {
  const test::TempDir folder;
  const std::string path = folder.str() + "/chunks.h5";
  for (const hsize_t rows : std::vector<hsize_t>{1000, 1u << 20, (most_cached_bytes >> 3) + 1}) {
    Handle file = create_file(path);
    const hsize_t limit = H5S_UNLIMITED, none = 0;
    const Handle space = own(H5Screate_simple(1, &none, &limit), "space");
    const Handle settings = own(H5Pcreate(H5P_DATASET_CREATE), "settings");
    check(H5Pset_chunk(settings, 1, &rows), "settings");
    Handle made = own(H5Dcreate2(file, "x", H5T_STD_I64LE, space, H5P_DEFAULT, settings, H5P_DEFAULT), "dataset");
    made = Handle();
    const Handle dataset = open_dataset(file, "x");
    CHECK(chunk_bytes(dataset) == 8 * rows);
    const Handle access = own(H5Dget_access_plist(dataset), "access");
    std::size_t slots = 0, bytes = 0;
    double preemption = 0;
    check(H5Pget_chunk_cache(access, &slots, &bytes, &preemption), "cache");
    CHECK(bytes == (8 * rows > most_cached_bytes ? 1u << 20 : std::max<std::size_t>(1u << 20, 8 * rows)));
  }
}

}  // namespace
}  // namespace moemill::h5
