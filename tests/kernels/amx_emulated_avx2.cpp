// What Intel's manual (volume 2, TDPBF16PS, TDPBSUD and their neighbours) says of the six instructions, in plain C++.
// Any use that the manual forbids ends the test.
#include <immintrin.h>

#include <cstdlib>
#include <cstring>

#include "amx_emulated.hpp"
#include "system/machine/flush_subnormals.hpp"

#define INLINE [[gnu::always_inline]] inline

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx2.inl"

#include "kernels/cpu/gemm/codes.inl"

#include "kernels/cpu/gemm/amx.inl"

#include "kernels/cpu/gemm/amx_exact.inl"

#include "kernels/cpu/int8/amx.inl"

void hold(bool rule) {
  if (!rule) std::abort();
}

class EmulatedTiles {
 public:
  void release() { *this = {}; }
  void configure(const TileConfig& config) {
    hold(config.palette == 1 && config.start_row == 0);
    for (std::uint8_t zero : config.reserved) hold(zero == 0);
    for (int t = 0; t < 16; ++t) {
      if (t >= 8) {
        hold(config.rows[t] == 0 && config.row_bytes[t] == 0);
        continue;
      }
      hold(config.rows[t] <= 16 && config.row_bytes[t] <= 64);
      rows_[t] = config.rows[t], bytes_[t] = config.row_bytes[t];
    }
    std::memset(data_, 0, sizeof data_);
  }
  template <int tile>
  void zero() {
    hold(rows_[tile] != 0);
    std::memset(data_[tile], 0, sizeof data_[tile]);
  }
  template <int tile>
  void load(const void* from, std::size_t row_stride) {
    zero<tile>();
    for (std::size_t r = 0; r < rows_[tile]; ++r) {
      std::memcpy(data_[tile][r], static_cast<const std::byte*>(from) + r * row_stride, bytes_[tile]);
    }
  }
  template <int tile>
  void store(void* to, std::size_t row_stride) {
    hold(rows_[tile] != 0);
    for (std::size_t r = 0; r < rows_[tile]; ++r) {
      std::memcpy(static_cast<std::byte*>(to) + r * row_stride, data_[tile][r], bytes_[tile]);
    }
  }
  template <int sum, int left, int right>
  void dot() {
    static_assert(sum != left && sum != right && left != right);
    hold(rows_[sum] == rows_[left] && bytes_[sum] == bytes_[right] && bytes_[left] == 4 * rows_[right]);
    hold(FlushSubnormals::on());  // so that plain arithmetic flushes as the unit does in every mode
    float weights[32][16];        // [k][n]
    for (std::size_t k = 0; k < 32; ++k) {
      for (std::size_t n = 0; n < 16; ++n) weights[k][n] = half(right, k / 2, 2 * n + k % 2);
    }
    for (std::size_t m = 0; m < rows_[sum]; ++m) {
      float chains[2][16] = {}, c[16];
      for (std::size_t k = 0; k < bytes_[left] / 2u; ++k) {
        const float x = half(left, m, k);
        for (std::size_t n = 0; n < 16; ++n) chains[k % 2][n] = __builtin_fmaf(x, weights[k][n], chains[k % 2][n]);
      }
      std::memcpy(c, data_[sum][m], 64);
      for (std::size_t n = 0; n < 16; ++n) c[n] = c[n] + (chains[0][n] + chains[1][n]);
      std::memcpy(data_[sum][m], c, bytes_[sum]);
    }
  }

  // Left: signed bytes; right: unsigned ones.
  template <int sum, int left, int right>
  void dot_int8() {
    static_assert(sum != left && sum != right && left != right);
    hold(rows_[sum] == rows_[left] && bytes_[sum] == bytes_[right] && bytes_[left] == 4 * rows_[right]);
    for (std::size_t m = 0; m < rows_[sum]; ++m) {
      std::int32_t c[16];
      std::memcpy(c, data_[sum][m], 64);
      for (std::size_t k = 0; k < bytes_[left] / 4u; ++k) {
        for (std::size_t n = 0; n < bytes_[sum] / 4u; ++n) {
          for (std::size_t i = 0; i < 4; ++i) {
            c[n] += static_cast<std::int8_t>(data_[left][m][4 * k + i]) *
                    static_cast<std::uint8_t>(data_[right][k][4 * n + i]);
          }
        }
      }
      std::memcpy(data_[sum][m], c, bytes_[sum]);
    }
  }

 private:
  float half(int tile, std::size_t row, std::size_t at) const {
    bf16 x;
    std::memcpy(&x, data_[tile][row] + 2 * at, 2);
    return to_float(x);
  }

  std::size_t rows_[8] = {}, bytes_[8] = {};
  std::byte data_[8][16][64];
};

}  // namespace
}  // namespace moemill::cpu

namespace moemill::test {

const cpu::ExactGemm exact_gemm = cpu::exact_gemm;
const cpu::GemmBody emulated_amx_gemm = {cpu::PairOrder::Successive, cpu::row_bytes, cpu::pack_row<bf16>,
                                         cpu::gemm_block<cpu::EmulatedTiles>, &exact_gemm};
const cpu::Int8Gemm emulated_amx_int8_gemm = {sizeof(cpu::Int8PackedRow), cpu::int8_pack_row<bf16>,
                                              cpu::int8_pack_row<float>, cpu::int8_block<cpu::EmulatedTiles>};

}  // namespace moemill::test
