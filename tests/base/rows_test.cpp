// Views of rows, and buffers that make them.
#include "base/rows.hpp"

#include <doctest/doctest.h>

#include <type_traits>
#include <vector>

#include "base/buffer.hpp"

using namespace moemill;

namespace {

// A memory space that is not the host's.
struct Device {};

// A view for writing becomes one for reading; neither the reverse nor a different space compiles.
static_assert(std::is_convertible_v<Rows<float>, Rows<const float>>);
static_assert(!std::is_convertible_v<Rows<const float>, Rows<float>>);
static_assert(!std::is_convertible_v<Rows<float, Device>, Rows<const float>>);
static_assert(!std::is_convertible_v<Rows<float>, Rows<const float, Device>>);
static_assert(!std::is_convertible_v<Rows<float>, Rows<double>>);

}  // namespace

TEST_CASE("a view knows where rows begin, and parts of it are views") {
  std::vector<int> values(20);
  for (int i = 0; i < 20; ++i) values[static_cast<std::size_t>(i)] = i;
  const Rows<const int> rows(values.data(), 4, 3, 5);
  CHECK(*rows.row(2) == 10);
  const Rows<const int> part = rows.range(1, 2).columns(1, 2);
  CHECK(part.rows == 2);
  CHECK(part.width == 2);
  CHECK(part.row(0)[0] == 6);
  CHECK(part.row(1)[1] == 12);
  CHECK(Rows<const int>(values.data(), 4, 5).stride == 5);
  CHECK(rows);
  CHECK_FALSE(Rows<int>());
}

TEST_CASE("a buffer's rows share its memory") {
  Buffer<float> buffer(12);
  const Rows<float> rows = buffer.rows(2, 4, 6);
  rows.row(1)[3] = 7;
  CHECK(buffer[9] == 7);
  CHECK(buffer.rows(3, 4).row(2) == buffer.data() + 8);
}
