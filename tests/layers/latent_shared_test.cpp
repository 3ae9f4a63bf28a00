// Latent attention of prompts that share pages: the bits of a row are those that it has on pages of its own.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "layers/latent_layer.hpp"
#include "layers/micro_batches.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

constexpr std::uint32_t pages = 64;
constexpr std::size_t width = LatentLayer::hidden;

// A sequence whose first rows are another one's, and whose last `rows` are those of the step.
struct Sequence {
  RowKind kind;
  std::vector<float> values;  // [tokens, hidden]
  std::uint32_t rows;
  std::vector<PageId> on;

  std::uint32_t tokens() const { return static_cast<std::uint32_t>(values.size() / width); }
  std::uint32_t first() const { return tokens() - rows; }
};

// Sequences over a trunk of three pages and a branch of one more, which one of them computes in the same step.
struct Family {
  std::vector<float> trunk = rows_of(1, 192), branch = joined(trunk, 2, 64);
  const std::vector<PageId> trunk_on{{40}, {3}, {17}}, branch_on{{40}, {3}, {17}, {5}};
  std::vector<Sequence> sequences;
  std::int32_t next_page = 41;

  Family() {
    add(RowKind::Generated, joined(trunk, 10, 11), 1, trunk_on);
    add(RowKind::Prompt, joined(trunk, 11, 33), 33, trunk_on);
    add(RowKind::Prompt, branch, 64, branch_on);  // the branch itself
    add(RowKind::Prompt, joined(trunk, 12, 1), 1, trunk_on);
    add(RowKind::Prompt, joined(branch, 13, 130), 130, branch_on);
    add(RowKind::Prompt, rows_of(14, 70), 70, {});  // shares nothing
    add(RowKind::Prompt, joined(trunk, 15, 7), 7, trunk_on);
    add(RowKind::Prompt, joined({trunk.begin(), trunk.begin() + 64 * width}, 16, 20), 20, {trunk_on[0]});
    add(RowKind::Prompt, joined(branch, 17, 17), 17, branch_on);
    add(RowKind::Prompt, joined(trunk, 18, 65), 25, trunk_on);  // 40 of its own rows were computed before
    add(RowKind::Prompt, joined(trunk, 19, 64), 64, trunk_on);
  }
  static std::vector<float> joined(std::vector<float> before, std::uint64_t key, std::size_t rows) {
    const std::vector<float> own = rows_of(key, rows);
    before.insert(before.end(), own.begin(), own.end());
    return before;
  }
  void add(RowKind kind, const std::vector<float>& values, std::uint32_t rows, std::vector<PageId> on) {
    while (on.size() * page_tokens * width < values.size()) on.push_back({next_page++ * 5 % 64});
    sequences.push_back({kind, values, rows, on});
  }
};

void append(std::vector<bf16>& to, const Sequence& s, std::uint32_t first, std::uint32_t rows) {
  for (std::size_t i = first * width; i < (first + rows) * width; ++i) to.push_back(to_bf16(s.values[i]));
}

// What comes before the step: the trunk, and rows of those that were begun.
void compute_before(const Family& family, LatentBench& bench) {
  Step step;
  std::vector<bf16> rows;
  test::add(step, RowKind::Prompt, 0, 192, family.trunk_on);
  append(rows, family.sequences.front(), 0, 192);
  for (const Sequence& s : family.sequences) {
    const bool on_trunk = s.on.size() > 3 && s.on[2] == family.trunk_on[2] && s.on[3] != family.branch_on[3];
    if (!on_trunk || s.first() == 192) continue;
    test::add(step, RowKind::Prompt, 192, s.first() - 192, s.on);
    append(rows, s, 192, s.first() - 192);
  }
  bench.run(step, rows);
}

std::size_t keys_expanded(const Step& step, std::span<const schedule::Segment> segments, LatentBench& bench) {
  AttentionPlan plan;
  plan_attention(step, segments, bench.rope_table, plan);
  cpu::Attention::Work work;
  bench.attention.prepare(plan, work);
  CHECK(std::set(work.latent.key_slots.begin(), work.latent.key_slots.end()).size() == work.latent.key_slots.size());
  return work.latent.key_slots.size();
}

// Each sequence alone, on pages of its own, from its first row on.
std::vector<float> alone(const Family& family, const LatentLayer& layer) {
  std::vector<float> out;
  for (const Sequence& s : family.sequences) {
    cpu::Stream plain(cpu::Isa::Plain);
    LatentBench bench(layer, plain, pages);
    Step before, step;
    std::vector<bf16> first, rows;
    std::vector<PageId> on;
    for (std::size_t p = 0; p < s.on.size(); ++p) on.push_back({static_cast<std::int32_t>(p)});
    test::add(before, RowKind::Prompt, 0, s.first(), on);
    append(first, s, 0, s.first());
    if (s.first() > 0) bench.run(before, first);
    test::add(step, s.kind, s.first(), s.rows, on);
    append(rows, s, s.first(), s.rows);
    const std::vector<float> got = bench.run(step, rows);
    out.insert(out.end(), got.begin(), got.end());
  }
  return out;
}

}  // namespace

TEST_CASE("prompts that share pages have the bits that they have on pages of their own, and expand a page once") {
  const Family family;
  for (std::uint32_t heads : {3u, 9u}) {
    CAPTURE(heads);
    const LatentLayer layer(heads);
    const std::vector<float> expected = alone(family, layer);
    Step step;
    std::vector<bf16> rows;
    for (const Sequence& s : family.sequences) {
      test::add(step, s.kind, s.first(), s.rows, s.on);
      append(rows, s, s.first(), s.rows);
    }
    Halves halves;
    halve(step.segments, halves);
    for (const auto& [isa, threads] : {std::pair{cpu::Isa::Plain, 1},
                                       {cpu::Isa::Avx2, 1},
                                       {cpu::Isa::Avx2, 2},
                                       {cpu::Isa::Avx512, 3},
                                       {cpu::Isa::Avx512, 7},
                                       {cpu::Isa::Avx512Bf16, 2}}) {
      if (!cpu::available(isa)) continue;
      cpu::Stream stream(isa, threads);
      LatentBench bench(layer, stream, pages);
      compute_before(family, bench);
      // The trunk and the branch once, and what each prompt has behind them.
      CHECK(keys_expanded(step, step.segments, bench) == 192 + 64 + 33 + 1 + 130 + 70 + 7 + 20 + 17 + 65 + 64);
      CHECK(same(bench.run(step, rows), expected));

      LatentBench in_halves(layer, stream, pages);
      compute_before(family, in_halves);
      std::vector<float> out;
      for (const auto& half : halves) {
        keys_expanded(step, half, in_halves);
        const std::vector<float> got = in_halves.run(step, half, rows);
        out.insert(out.end(), got.begin(), got.end());
      }
      CHECK(same(out, expected));
    }
  }
}
