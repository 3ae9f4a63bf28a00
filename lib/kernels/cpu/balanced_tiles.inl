// Calls step(begin, rows) for `count` rows in tiles of nearly equal height, at most tile_rows.
template <class Step>
INLINE void balanced_tiles(std::size_t count, Step step) {
  const std::size_t tiles = (count + tile_rows - 1) / tile_rows;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < tiles; ++i) {
    std::size_t rows = count / tiles + (i < count % tiles ? 1 : 0);
    step(begin, rows);
    begin += rows;
  }
}
