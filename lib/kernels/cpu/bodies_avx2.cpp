// The AVX2 + FMA bodies. Everything but the table is local to this file: see bodies.hpp.
#include "kernels/cpu/vector_file.hpp"

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx2.inl"

#include "kernels/cpu/rows_bodies.inl"

#include "kernels/cpu/fixed_bodies.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/attention_lanes_bodies.inl"

#include "kernels/cpu/attention_pages_bodies.inl"

#include "kernels/cpu/bodies_table.inl"

}  // namespace

const Bodies avx2_bodies = table;

}  // namespace moemill::cpu
