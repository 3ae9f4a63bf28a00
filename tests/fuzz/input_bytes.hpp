// A fuzzer's input, read byte by byte; behind its end there are zeros.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

class InputBytes {
 public:
  InputBytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::uint8_t byte() {
    std::uint8_t value = 0;
    fill(&value, 1);
    return value;
  }
  void fill(void* out, std::size_t bytes) {
    const std::size_t there = std::min(bytes, size_);
    if (there > 0) std::memcpy(out, data_, there);
    data_ += there, size_ -= there;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};
