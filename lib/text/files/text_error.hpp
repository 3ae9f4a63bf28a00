// The exceptions that Tokenizer::encode throws for a text that it cannot tokenise.
#pragma once

#include <cstddef>
#include <stdexcept>

namespace moemill::text {

// A text that cannot be tokenised. It makes a failed row and never ends a job.
class TextError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class BadUtf8 : public TextError {  // the row's error code is bad_utf8
 public:
  explicit BadUtf8(std::size_t offset);
  std::size_t offset() const { return offset_; }  // offset in bytes of the first invalid byte

 private:
  std::size_t offset_;
};

}  // namespace moemill::text
