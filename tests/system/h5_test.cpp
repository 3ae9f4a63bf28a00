#include "system/h5.hpp"

#include <doctest/doctest.h>

#include "base/utf8.hpp"

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
  CHECK(text.find("a???[31m \xc3\xa9?z") != std::string::npos);  // what prints stays
  CHECK(error_text() == "no reason given");
}

}  // namespace
}  // namespace moemill::h5
