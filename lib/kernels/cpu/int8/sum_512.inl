// Sums keep the compiler's own type of sixteen integers: changes of type made g++ 12 copy and spill them.
using Int8x16 = int __attribute__((vector_size(64)));
struct Int8Sum {
  Int8x16 v;
};
INLINE Int8Sum sum_from(std::int32_t x) { return {(Int8x16)_mm512_set1_epi32(x)}; }
INLINE U lanes_of(Int8Sum a) { return {(__m512i)a.v}; }
