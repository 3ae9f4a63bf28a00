// The products with weights by AMX-BF16 and AMX-INT8. Everything but the tables is local to this file: see bodies.hpp.
#include "kernels/cpu/vector_file.hpp"

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx512.inl"

#include "kernels/cpu/gemm/codes.inl"

#include "kernels/cpu/gemm/amx.inl"

#include "kernels/cpu/gemm/amx_exact.inl"

#include "kernels/cpu/int8/amx.inl"

// The instructions. A tile's number is part of one, and g++ 12 wants it written out.
struct AmxTiles {
  void configure(const TileConfig& config) {
    finish_stores();
    _tile_loadconfig(&config);
  }
  void release() { _tile_release(); }  // or every switch of the thread would save the tiles
  template <int tile>
  INLINE void zero() {
    if constexpr (tile == 0) _tile_zero(0);
    if constexpr (tile == 1) _tile_zero(1);
    if constexpr (tile == 2) _tile_zero(2);
    if constexpr (tile == 3) _tile_zero(3);
  }
  template <int tile>
  INLINE void load(const void* from, std::size_t row_stride) {
    finish_stores();
    if constexpr (tile == 0) _tile_loadd(0, from, row_stride);
    if constexpr (tile == 1) _tile_loadd(1, from, row_stride);
    if constexpr (tile == 2) _tile_loadd(2, from, row_stride);
    if constexpr (tile == 3) _tile_loadd(3, from, row_stride);
    if constexpr (tile == 4) _tile_loadd(4, from, row_stride);
    if constexpr (tile == 5) _tile_loadd(5, from, row_stride);
    if constexpr (tile == 6) _tile_loadd(6, from, row_stride);
    if constexpr (tile == 7) _tile_loadd(7, from, row_stride);
  }
  template <int tile>
  INLINE void store(void* to, std::size_t row_stride) {
    if constexpr (tile == 0) _tile_stored(0, to, row_stride);
    if constexpr (tile == 1) _tile_stored(1, to, row_stride);
    if constexpr (tile == 2) _tile_stored(2, to, row_stride);
    if constexpr (tile == 3) _tile_stored(3, to, row_stride);
  }
  template <int sum, int rows, int weights>
  INLINE void dot() {
    if constexpr (sum == 0 && rows == 4 && weights == 6) _tile_dpbf16ps(0, 4, 6);
    if constexpr (sum == 1 && rows == 4 && weights == 7) _tile_dpbf16ps(1, 4, 7);
    if constexpr (sum == 2 && rows == 5 && weights == 6) _tile_dpbf16ps(2, 5, 6);
    if constexpr (sum == 3 && rows == 5 && weights == 7) _tile_dpbf16ps(3, 5, 7);
  }
  // Of signed bytes and unsigned ones.
  template <int sum, int rows, int weights>
  INLINE void dot_int8() {
    if constexpr (sum == 0 && rows == 4 && weights == 6) _tile_dpbsud(0, 4, 6);
    if constexpr (sum == 1 && rows == 4 && weights == 7) _tile_dpbsud(1, 4, 7);
    if constexpr (sum == 2 && rows == 5 && weights == 6) _tile_dpbsud(2, 5, 6);
    if constexpr (sum == 3 && rows == 5 && weights == 7) _tile_dpbsud(3, 5, 7);
  }

 private:
  // The intrinsics of g++ 12 do not say that they read memory.
  INLINE static void finish_stores() { asm volatile("" ::: "memory"); }
};

}  // namespace

const ExactGemm amx_exact_gemm = exact_gemm;
const GemmBody amx_gemm = {PairOrder::Successive, row_bytes, pack_row<bf16>, gemm_block<AmxTiles>, &amx_exact_gemm};
const Int8Gemm amx_int8_gemm = {sizeof(Int8PackedRow), int8_pack_row<bf16>, int8_pack_row<float>, int8_block<AmxTiles>};

}  // namespace moemill::cpu
