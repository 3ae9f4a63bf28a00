// What the products by register tiles share, of bf16 and of int8 weights: what follows a panel, and a last panel that
// is wider than C.

// The data `panels` panels after panel `p`: the block that follows begins behind the last.
const std::byte* data_after(const GemmBlock& g, std::size_t p, std::size_t panels) {
  const std::byte* here = g.w.data + p * g.w.panel_bytes;
  return p + panels < g.panels ? here + panels * g.w.panel_bytes : (g.next ? g.next : here);
}

// The last panel where C is narrower: through a temporary, so that nothing behind C's columns is touched. Calls
// product(part, temporary [rows][panel_columns]) for at most Most rows at a time, each `row_bytes` long in A.
template <std::size_t Most, class Product>
INLINE void through_temporary(const GemmBlock& g, std::size_t row_bytes, float* c, Product product) {
  for (std::size_t row = 0; row < g.rows; row += Most) {
    GemmBlock part = g;
    part.a = g.a + row * row_bytes;
    part.rows = g.rows - row < Most ? g.rows - row : Most;
    alignas(64) float temporary[Most * panel_columns];
    for (std::size_t i = 0; i < part.rows; ++i) {
      for (std::size_t j = 0; j < panel_columns; ++j) {
        temporary[i * panel_columns + j] = j < g.last_columns && !g.first ? c[(row + i) * g.c_stride + j] : 0.0f;
      }
    }
    product(part, temporary);
    for (std::size_t i = 0; i < part.rows; ++i) {
      for (std::size_t j = 0; j < g.last_columns; ++j) {
        c[(row + i) * g.c_stride + j] = temporary[i * panel_columns + j];
      }
    }
  }
}
