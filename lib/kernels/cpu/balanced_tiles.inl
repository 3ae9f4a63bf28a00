// Calls step(begin, rows) for `count` rows in tiles of nearly equal height, at most `most`.
template <class Step>
INLINE void balanced_tiles(std::size_t count, Step step, std::size_t most = tile_rows) {
  const std::size_t tiles = (count + most - 1) / most;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < tiles; ++i) {
    std::size_t rows = count / tiles + (i < count % tiles ? 1 : 0);
    step(begin, rows);
    begin += rows;
  }
}
