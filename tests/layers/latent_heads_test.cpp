// Latent attention with more heads than a tile of the absorbed form has lanes: the models of the other tests have six
// heads, the large ones of the family 128.
#include <doctest/doctest.h>

#include "layers/goldens.hpp"
#include "layers/latent_layer.hpp"

using namespace moemill;
using namespace moemill::test;

TEST_CASE("latent attention of many heads: both forms agree, and threads, bodies and neighbours change no bit") {
  constexpr std::uint32_t tokens = 130;
  const auto rows = rounded(rows_of(20, tokens));
  const GqaPlaces places(tokens), elsewhere(tokens, 7, 3);
  // Tiles of 32 heads: the last one of 8 heads or of 18, and more tiles than take in a page together.
  for (std::uint32_t heads : {40u, 50u, 136u}) {
    CAPTURE(heads);
    const LatentLayer layer(heads);
    cpu::Stream plain(cpu::Isa::Plain);
    LatentBench bench(layer, plain);
    Step prompt, generated, both;
    add(prompt, RowKind::Prompt, 0, tokens, places);
    add(generated, RowKind::Generated, 0, tokens, places);
    const std::vector<float> expanded = bench.run(prompt, rows), absorbed = bench.run(generated, rows);
    // They round nothing and differ by fp32 sums alone, here of some hundred terms.
    CHECK(rms_difference(expanded, absorbed) / rms(expanded) < 100 * 0x1p-24);

    // Two sequences, which together have more rows than are computed at a time.
    add(both, RowKind::Generated, 0, tokens, elsewhere);
    add(both, RowKind::Generated, 0, tokens, places);
    std::vector<bf16> rows_of_both = rows;
    rows_of_both.insert(rows_of_both.end(), rows.begin(), rows.end());
    std::vector<float> twice = absorbed;
    twice.insert(twice.end(), absorbed.begin(), absorbed.end());
    for (const auto& [isa, threads] : {std::pair{cpu::Isa::Avx2, 1},
                                       {cpu::Isa::Avx2, 2},
                                       {cpu::Isa::Avx512, 3},
                                       {cpu::Isa::Avx512, 7},
                                       {cpu::Isa::Avx512Bf16, 2}}) {
      if (!cpu::available(isa)) continue;
      cpu::Stream stream(isa, threads);
      LatentBench other(layer, stream);
      CHECK(same(other.run(both, rows_of_both), twice));
      // A row alone, of whose tiles threads have a share each.
      Step last;
      add(last, RowKind::Generated, tokens - 1, 1, places);
      CHECK(
          same(other.run(last, {rows.end() - gqa_hidden, rows.end()}), {absorbed.end() - gqa_hidden, absorbed.end()}));
    }
  }
}
