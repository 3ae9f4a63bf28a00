#include "base/buffer.hpp"

#include <doctest/doctest.h>

#include <cstdint>

using namespace moemill;

TEST_CASE("a buffer in host memory is aligned, grows, never shrinks, and starts zeroed") {
  Buffer<float> buffer;
  float* p = buffer.reserve(100);
  CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
  for (int i = 0; i < 100; i++) REQUIRE(p[i] == 0.0f);
  p[3] = 7;
  CHECK(buffer.reserve(50) == p);
  CHECK(buffer[3] == 7.0f);
  CHECK(buffer.reserve(1000)[999] == 0.0f);
  CHECK(buffer.capacity() == 1000);
}
