#include "bench/counting/made_picks.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/numbers/random.hpp"

namespace moemill::bench {
namespace {

// Weights by expert: popular ones are dealt over the experts by a shuffle that belongs to the layer.
std::vector<double> weights_of(std::uint32_t experts, double exponent, std::uint64_t key) {
  std::vector<std::uint32_t> order(experts);
  std::iota(order.begin(), order.end(), 0u);
  for (std::uint32_t i = experts; i > 1; --i) std::swap(order[i - 1], order[philox(key, i, 1)[0] % i]);
  std::vector<double> weights(experts);
  for (std::uint32_t n = 0; n < experts; ++n) weights[order[n]] = std::pow(n + 1.0, -exponent);
  return weights;
}

std::vector<double> sums_of_groups(const std::vector<double>& weights, std::uint32_t groups) {
  std::vector<double> sums(groups);
  for (std::size_t e = 0; e < weights.size(); ++e) sums[e * groups / weights.size()] += weights[e];
  return sums;
}

}  // namespace

// Random words of a row, one after the other.
class MadePicks::Words {
 public:
  Words(std::uint64_t key, std::uint64_t row) : key_(key), row_(row) {}
  std::uint32_t next() {
    if (used_ == words_.size()) words_ = philox(key_, row_, 2 + blocks_++), used_ = 0;
    return words_[used_++];
  }

 private:
  const std::uint64_t key_, row_;
  std::array<std::uint32_t, 4> words_{};
  std::size_t used_ = 4;
  std::uint64_t blocks_ = 0;
};

// Vose's alias method: every index has the mean weight, of which it keeps a part and gives the rest to another one.
MadePicks::Urn::Urn(const std::vector<double>& weights) : alias_(weights.size()), threshold_(weights.size()) {
  const double mean = std::accumulate(weights.begin(), weights.end(), 0.0) / static_cast<double>(weights.size());
  std::vector<double> left = weights;
  std::vector<std::uint32_t> below, above;
  for (std::uint32_t i = 0; i < weights.size(); ++i) (left[i] < mean ? below : above).push_back(i);
  const auto keeps = [&](std::uint32_t i, double share) {
    threshold_[i] = static_cast<std::uint32_t>(std::min(share, 1.0) * 4294967295.0);
  };
  while (!below.empty() && !above.empty()) {
    const std::uint32_t small = below.back(), large = above.back();
    below.pop_back();
    keeps(small, left[small] / mean), alias_[small] = large;
    left[large] -= mean - left[small];
    if (left[large] < mean) above.pop_back(), below.push_back(large);
  }
  for (const std::uint32_t i : below) keeps(i, 1), alias_[i] = i;
  for (const std::uint32_t i : above) keeps(i, 1), alias_[i] = i;
}

std::uint32_t MadePicks::Urn::draw(std::uint32_t index_word, std::uint32_t coin_word) const {
  const auto at = static_cast<std::uint32_t>(std::uint64_t{index_word} * alias_.size() >> 32);
  return coin_word <= threshold_[at] ? at : alias_[at];
}

MadePicks::MadePicks(const model::Moe& moe, double exponent, std::uint64_t seed, LayerId layer)
    : experts_(moe.experts),
      picks_(moe.picks),
      groups_(moe.groups),
      groups_kept_(moe.groups_kept),
      key_(seed * 1'000'003 + static_cast<std::uint64_t>(layer.value)),
      weights_(weights_of(experts_, exponent, key_)),
      experts_urn_(weights_),
      groups_urn_(sums_of_groups(weights_, groups_)),
      taken_(experts_),
      kept_(groups_) {}

// Draws until one is allowed. Where hardly any weight is left, the allowed ones take turns.
template <class Allowed>
std::uint32_t MadePicks::draw_one(const Urn& urn, std::uint32_t count, Words& words, const Allowed& allowed) const {
  constexpr int most_tries = 200;
  for (int i = 0; i < most_tries; ++i) {
    const std::uint32_t index = words.next(), coin = words.next();
    if (const std::uint32_t drawn = urn.draw(index, coin); allowed(drawn)) return drawn;
  }
  std::uint32_t at = words.next() % count;
  while (!allowed(at)) at = (at + 1) % count;
  return at;
}

void MadePicks::draw(std::uint64_t first_row, std::span<GlobalExpert> picks) {
  const bool grouped = groups_kept_ < groups_;
  for (std::size_t i = 0; i < picks.size(); i += picks_, ++first_row) {
    Words words(key_, first_row);
    ++draws_;
    for (std::uint32_t g = 0; grouped && g < groups_kept_; ++g)
      kept_[draw_one(groups_urn_, groups_, words, [&](std::uint32_t e) { return kept_[e] != draws_; })] = draws_;
    for (std::size_t p = i; p < i + picks_; ++p) {
      const std::uint32_t expert = draw_one(experts_urn_, experts_, words, [&](std::uint32_t e) {
        return taken_[e] != draws_ && (!grouped || kept_[std::size_t{e} * groups_ / experts_] == draws_);
      });
      taken_[expert] = draws_;
      picks[p] = {static_cast<std::int32_t>(expert)};
    }
  }
}

}  // namespace moemill::bench
