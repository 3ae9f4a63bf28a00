// Which kernel bodies this CPU shall use. Every available product with weights proves that it has the plain body's bits
// on random operands of all exponents, in every format, and times itself; the fastest right one wins. generate/backend
// asks once per process and logs what was found. Ranks may choose differently: the bytes are the same.
#pragma once

#include <vector>

#include "kernels/cpu/stream.hpp"

namespace moemill::cpu {

struct IsaTrial {
  Isa isa;
  bool right;
  double seconds;  // of a product of decode's shape
};

struct IsaChoice {
  Isa isa = Isa::Plain;
  std::vector<IsaTrial> trials;  // all available ones but the plain one
};

IsaChoice choose_isa();

// The unit for products with int8 weights: of those that belong to an instruction set, the first one that this CPU has
// and that has the plain unit's bits.
struct Int8Choice {
  Int8Unit unit = Int8Unit::Plain;
  std::vector<Int8Unit> wrong;  // available, and without the plain unit's bits
};
Int8Choice choose_int8(Isa isa);

// The proof alone, which takes a few milliseconds.
bool has_plain_bits(Isa isa);
bool has_plain_bits(const Bodies& bodies, const GemmBody& gemm_body);
bool has_plain_bits(const Int8Gemm& int8_gemm);

}  // namespace moemill::cpu
