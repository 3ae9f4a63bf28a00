// How a text that cannot be tokenised comes out of Tokenizer::encode.
#pragma once

#include <cstddef>
#include <stdexcept>

namespace moemill::text {

// One text that cannot be tokenised: a failed row, never the end of a job.
class TextError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class BadUtf8 : public TextError {  // the row's error code is bad_utf8
 public:
  explicit BadUtf8(std::size_t offset);
  std::size_t offset() const { return offset_; }  // of the first byte that is not UTF-8

 private:
  std::size_t offset_;
};

}  // namespace moemill::text
