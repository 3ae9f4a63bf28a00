// Calls step(begin, rows) for `count` rows in tiles of nearly equal height, at most Most.
template <std::size_t Most = tile_rows, class Step>
INLINE void balanced_tiles(std::size_t count, Step step) {
  const std::size_t tiles = (count + Most - 1) / Most;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < tiles; ++i) {
    std::size_t rows = count / tiles + (i < count % tiles ? 1 : 0);
    step(begin, rows);
    begin += rows;
  }
}
