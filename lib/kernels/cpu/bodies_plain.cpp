// The plain C++ bodies: what every kernel computes, without any instruction set beyond the compiler's default.
#include "kernels/cpu/bodies.hpp"

#define INLINE [[gnu::always_inline]] inline

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_plain.inl"

#include "kernels/cpu/rows_bodies.inl"

#include "kernels/cpu/fixed_bodies.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/attention_lanes_bodies.inl"

#include "kernels/cpu/attention_pages_bodies.inl"

#include "kernels/cpu/bodies_table.inl"

}  // namespace

const Bodies plain_bodies = table;

}  // namespace moemill::cpu
