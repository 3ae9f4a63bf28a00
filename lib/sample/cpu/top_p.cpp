// top_p over all tokens of a row: the nucleus, in one of three ways that give the same token.
#include <algorithm>
#include <limits>

#include "kernels/fixed_point.hpp"
#include "kernels/math.hpp"
#include "sample/cpu/workspace.hpp"

namespace moemill::cpu {

// One draw. Each way returns nothing where it cannot be sure of the cut.
struct Sampler::Workspace::TopP {
  Workspace& at;
  Stream& stream;
  std::span<const float> row;
  float temperature;
  std::uint64_t share;  // of 2^fixed_bits

  float scale() const { return 1.0f / temperature; }
  float logit_of(double p) const {
    return p > 0 ? std::max(at.maxima.largest + temperature * static_cast<float>(math::log(p)), lowest) : lowest;
  }
  float p_of(float logit) const {
    float p = 0;
    fixed_exp_row(stream, {&logit, 1}, at.maxima.largest, scale(), &p);
    return p;
  }
  // Where the cut lies: the p of logits from `high` on add up to `above`, which is less than what is to be kept.
  struct Range {
    float low, high;
    std::uint64_t above = 0;
  };
  std::optional<TokenId> draw_by_band(std::uint64_t u);
  std::optional<Cut> cut_in(Range range, std::uint64_t target);
  void narrow(Range& range, std::uint64_t within, std::uint64_t target);
  std::optional<TokenId> draw_likely(std::uint64_t u);
  bool keep_likely(float threshold);
  TokenId draw_from_all(std::uint64_t u);
  void drop_from_all(Cut cut);
};

constexpr float no_high = std::numeric_limits<float>::infinity();
// However exp rounds, p of a larger logit is not smaller by this much.
constexpr float surely_less = 0.99999f, surely_more = 1.00001f;

// No branch on what is kept, which about half of the candidates are.
void Sampler::Workspace::add_kept_candidates(Cut cut) {
  const auto last = static_cast<TokenId>(cut.index);
  for (std::size_t b = 0, i = 0; b < block_sums.size(); ++b) {
    const auto end = static_cast<TokenId>((b + 1) * block_tokens);
    std::uint64_t sum = 0;
    for (; i < candidates.count && candidates.ids[i] < end; ++i) {
      const float one = candidates.p[i];
      const bool larger = one > cut.value, tie = one == cut.value, early = candidates.ids[i] <= last;
      sum += to_fixed(one) & -static_cast<std::uint64_t>(larger | (tie & early));
    }
    block_sums[b] += sum;
  }
}

// Flat rows. One pass sums up p of all tokens and of those that are surely kept, and picks out the ones between which
// the cut lies.
std::optional<TokenId> Sampler::Workspace::TopP::draw_by_band(std::uint64_t u) {
  at.sketch.take(stream, row, at.maxima.largest, scale());
  const std::optional<Sketch::Band> band = at.sketch.band_of(static_cast<double>(share) * 0x1p-40);
  if (!band) return std::nullopt;
  // A p of 2^-41 is none any more.
  Range range{.low = logit_of(std::max(static_cast<double>(band->low), 0x1p-41)), .high = no_high};
  if (band->high <= 1) range.high = logit_of(static_cast<double>(band->high));
  at.candidates.reserve(row.size());
  at.candidates.count = 0;
  at.block_sums.clear();
  std::uint64_t all = 0;
  for (std::size_t first = 0; first < row.size(); first += block_tokens) {
    const auto block = row.subspan(first, std::min(block_tokens, row.size() - first));
    const FixedShares shares = fixed_exp_above(stream, block, at.maxima.largest, scale(), range.high);
    all += shares.all;
    at.block_sums.push_back(shares.above);
    at.candidates.add(stream, block, first, range.low, range.high);
  }
  range.above = at.blocks_total();
  const std::optional<Cut> cut = cut_in(range, part_of(all, share, fixed_bits));
  if (!cut) return std::nullopt;
  at.add_kept_candidates(*cut);
  return at.draw_from_blocks(stream, row, scale(), *cut, u);
}

// The cut among the candidates; its index is a token's id.
std::optional<Cut> Sampler::Workspace::TopP::cut_in(Range range, std::uint64_t target) {
  Candidates& candidates = at.candidates;
  const std::uint64_t within =
      fixed_exp_row(stream, candidates.logits_used(), at.maxima.largest, scale(), candidates.p.data());
  if (range.above >= target || range.above + within < target) return std::nullopt;
  narrow(range, within, target);
  at.indices.resize(candidates.count + selected_slack), at.scratch.resize(at.indices.size());
  const std::size_t few =
      select_between(stream, candidates.logits_used(), range.low, range.high, 0, at.indices.data(), at.scratch.data());
  std::uint64_t reached = range.above;
  for (std::size_t i = 0; i < few; ++i) {
    at.scratch[i] = candidates.p[at.indices[i]];
    reached += to_fixed(at.scratch[i]);
  }
  if (reached < target) return std::nullopt;
  const Cut cut = at.cut_at_sum.find(std::span(at.scratch).first(few), target - range.above);
  if (cut.value <= p_of(range.low) * surely_more) return std::nullopt;
  if (range.high != no_high && cut.value >= p_of(range.high) * surely_less) return std::nullopt;
  return Cut{cut.value, static_cast<std::size_t>(candidates.ids[at.indices[cut.index]])};
}

// Brings the ends of the range together around the cut, until some hundred candidates are left, by two sums a pass to
// both sides of where the cut would be if p were spread evenly.
void Sampler::Workspace::TopP::narrow(Range& range, std::uint64_t within, std::uint64_t target) {
  constexpr std::size_t few = 256;
  constexpr int most_passes = 6;
  const std::uint64_t outside = range.above, few_within = within / (1 + at.candidates.count / few);
  std::uint64_t below = range.above + within;  // the sum down to the range's low end
  for (int pass = 0; pass < most_passes && below - range.above > few_within; ++pass) {
    const float top = std::min(range.high, at.maxima.largest), width = top - range.low;
    const double part = static_cast<double>(target - range.above) / static_cast<double>(below - range.above);
    const float middle = top - width * static_cast<float>(part);
    for (float end : {middle + width / 16, middle - width / 16}) {
      if (end <= range.low || end >= range.high) continue;
      const std::uint64_t sum =
          outside + fixed_exp_above(stream, at.candidates.logits_used(), at.maxima.largest, scale(), end).above;
      if (sum < target)
        range.high = end, range.above = sum;
      else
        range.low = end, below = sum;
    }
  }
}

// block_sums are those of the row. Keeps the candidates if those above the threshold surely hold the cut.
bool Sampler::Workspace::TopP::keep_likely(float threshold) {
  Candidates& candidates = at.candidates;
  collect(stream, row, at.maxima, threshold, candidates);
  const std::uint64_t target = part_of(at.blocks_total(), share, fixed_bits);
  if (fixed_exp_row(stream, candidates.logits_used(), at.maxima.largest, scale(), candidates.p.data()) < target)
    return false;
  const Cut cut = at.cut_at_sum.find(candidates.p_used(), target);
  if (cut.value <= p_of(threshold) * surely_more) return false;
  at.keep_candidates(candidates.p_used(), cut);
  return true;
}

// A trained model's few likely tokens are found without p of the others: first those of at least 1/128 of the largest
// p, where they are few, then as many as should hold the cut, because the others' p are too small to add up to what
// top_p leaves out.
std::optional<TokenId> Sampler::Workspace::TopP::draw_likely(std::uint64_t u) {
  at.exp_all(stream, row, scale(), nullptr);
  const float likely = logit_of(0x1p-7);
  const auto chunks =
      std::count_if(at.maxima.chunks.begin(), at.maxima.chunks.end(), [&](float largest) { return largest >= likely; });
  if (static_cast<std::size_t>(chunks) <= at.maxima.chunks.size() / 4 && keep_likely(likely))
    return at.draw_from_candidates(u);
  const double rest = (1 - static_cast<double>(share) * 0x1p-40) * static_cast<double>(at.blocks_total()) * 0x1p-40;
  at.sketch.take(stream, row, at.maxima.largest, scale());
  if (keep_likely(logit_of(static_cast<double>(at.sketch.least_p(rest))))) return at.draw_from_candidates(u);
  return std::nullopt;
}

// Sets p beyond the cut to zero and sums the blocks again. Ties with the cut's value are kept up to its index, so in
// most blocks all ties stay or all go, and one comparison per token decides.
void Sampler::Workspace::TopP::drop_from_all(Cut cut) {
  float* p = at.p.data();
  for (std::size_t b = 0; b < at.block_sums.size(); ++b) {
    const std::size_t first = b * block_tokens, end = std::min(first + block_tokens, row.size());
    if (end <= cut.index + 1) {
      for (std::size_t i = first; i < end; ++i) p[i] = p[i] >= cut.value ? p[i] : 0.0f;
    } else if (first > cut.index) {
      for (std::size_t i = first; i < end; ++i) p[i] = p[i] > cut.value ? p[i] : 0.0f;
    } else {
      for (std::size_t i = first; i < end; ++i) p[i] = cut.keeps(p[i], i) ? p[i] : 0.0f;
    }
    at.block_sums[b] = fixed_sum(stream, {p + first, end - first});
  }
}

// Whatever the row: all p, and a cut in them.
TokenId Sampler::Workspace::TopP::draw_from_all(std::uint64_t u) {
  at.exp_all(stream, row, scale(), at.p.reserve(row.size()));
  const std::uint64_t target = part_of(at.blocks_total(), share, fixed_bits);
  const Cut cut = at.cut_at_sum.find({at.p.data(), row.size()}, target);
  drop_from_all(cut);
  return at.draw_from_blocks(stream, row, scale(), cut, u);
}

TokenId Sampler::Workspace::draw_top_p(Stream& stream, std::span<const float> row, const SamplingParams& params,
                                       std::uint64_t u) {
  TopP draw{*this, stream, row, params.temperature, to_fixed(params.top_p)};
  // The first tokens tell whether a row is flat.
  const std::span<const float> some = row.first(std::min(row.size(), block_tokens));
  const float small = draw.logit_of(0x1p-10);
  const auto above = std::count_if(some.begin(), some.end(), [&](float logit) { return logit >= small; });
  const bool flat = static_cast<std::size_t>(above) > some.size() / 16;
  std::optional<TokenId> token = flat ? draw.draw_by_band(u) : draw.draw_likely(u);
  return token ? *token : draw.draw_from_all(u);
}

}  // namespace moemill::cpu
