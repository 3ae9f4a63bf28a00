// Rows of logits, with what the product that made them has found out while they were in its cache. Made by layers/cpu's
// head, read by cpu::Sampler.
#pragma once

#include "base/rows.hpp"

namespace moemill::cpu {

struct Logits {
  Logits(Rows<const float> values_) : values(values_) {}
  Logits(Rows<const float> values_, Rows<const float> maxima_) : values(values_), maxima(maxima_) {}

  Rows<const float> values;  // [rows, vocabulary]
  // [rows, chunks] the largest logit of every maxima_chunk (kernels/rows.hpp); NaN somewhere in rows with a logit that
  // is NaN or infinite. May be left out.
  Rows<const float> maxima;
};

}  // namespace moemill::cpu
