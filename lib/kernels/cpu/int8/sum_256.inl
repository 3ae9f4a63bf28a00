// Sums keep the compiler's own type of eight integers: changes of type made g++ 12 copy and spill them.
using Int8x8 = int __attribute__((vector_size(32)));
struct Int8Sum {
  Int8x8 low, high;
};
INLINE Int8Sum sum_from(std::int32_t x) {
  const auto v = (Int8x8)_mm256_set1_epi32(x);
  return {v, v};
}
INLINE U lanes_of(Int8Sum a) { return {(__m256i)a.low, (__m256i)a.high}; }
