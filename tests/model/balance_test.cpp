// Which holders have copies of which experts: DeepSeek's own examples, its algorithm written down a second time, and
// what must hold for any numbers.
#include "model/balance.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/numbers/random.hpp"

using namespace moemill;
using namespace moemill::model;

namespace {

using Numbers = std::vector<std::uint32_t>;
using Loads = std::vector<double>;

Numbers flat(const HolderSlots& slots) {
  Numbers all;
  for (const auto& holder : slots)
    for (const GlobalExpert e : holder) all.push_back(static_cast<std::uint32_t>(e.value));
  return all;
}

// eplb.py line by line, for numbers that divide: items to packs.
std::vector<Numbers> eplb_pack(const Loads& weights, std::size_t packs) {
  std::vector<Numbers> out(packs);
  Loads sum(packs);
  const std::size_t each = weights.size() / packs;
  Numbers order(weights.size());
  std::iota(order.begin(), order.end(), 0u);
  if (each > 1) std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return weights[a] > weights[b]; });
  for (const std::uint32_t item : order) {
    std::size_t best = packs;
    for (std::size_t p = 0; p < packs; ++p)
      if (out[p].size() < each && (best == packs || (each > 1 && sum[p] < sum[best]))) best = p;
    out[best].push_back(item), sum[best] += weights[item];
  }
  return out;
}

Numbers eplb(const Loads& loads, std::size_t slots, std::size_t groups, std::size_t nodes, std::size_t holders) {
  if (groups % nodes != 0) groups = nodes = 1;
  const std::size_t group_size = loads.size() / groups;
  Loads of_group(groups);
  for (std::size_t e = 0; e < loads.size(); ++e) of_group[e / group_size] += loads[e];
  Numbers all;
  for (const Numbers& node : eplb_pack(of_group, nodes)) {
    Numbers copies, count(loads.size(), 1);
    for (const std::uint32_t g : node)
      for (std::size_t e = 0; e < group_size; ++e) copies.push_back(static_cast<std::uint32_t>(g * group_size + e));
    const std::size_t own = copies.size();
    while (copies.size() < slots / nodes) {
      std::size_t best = 0;
      for (std::size_t i = 1; i < own; ++i)
        if (loads[copies[i]] / count[copies[i]] > loads[copies[best]] / count[copies[best]]) best = i;
      ++count[copies[best]];
      copies.push_back(copies[best]);
    }
    Loads weights;
    for (const std::uint32_t e : copies) weights.push_back(loads[e] / count[e]);
    for (const Numbers& holder : eplb_pack(weights, holders / nodes))
      for (const std::uint32_t i : holder) all.push_back(copies[i]);
  }
  return all;
}

bool has_double(const Numbers& all, std::size_t holders) {
  const std::size_t each = all.size() / holders;
  for (std::size_t h = 0; h < holders; ++h) {
    const std::set<std::uint32_t> one(all.begin() + static_cast<std::ptrdiff_t>(h * each),
                                      all.begin() + static_cast<std::ptrdiff_t>((h + 1) * each));
    if (one.size() < each) return true;
  }
  return false;
}

Loads power_law(std::size_t experts, double exponent, std::uint64_t seed) {
  Loads loads(experts);
  Numbers order(experts);
  std::iota(order.begin(), order.end(), 0u);
  for (auto i = static_cast<std::uint32_t>(experts); i > 1; --i) std::swap(order[i - 1], order[philox(seed, i)[0] % i]);
  for (std::size_t n = 0; n < experts; ++n) loads[order[n]] = std::pow(static_cast<double>(n) + 1, -exponent);
  return loads;
}

// The busiest over the mean, levelled.
double level(const Loads& loads, const HolderSlots& slots, const Numbers& sizes) {
  return max_over_mean(loads, slots, level_shares(loads, slots, sizes), sizes);
}

HolderSlots slices(std::uint32_t experts, const Numbers& sizes) {
  HolderSlots slots;
  std::int32_t next = 0;
  for (const std::uint32_t count : slots_of_holders(experts, 0, sizes)) {
    auto& holder = slots.emplace_back();
    for (std::uint32_t s = 0; s < count; ++s) holder.push_back({next++});
  }
  return slots;
}

void check_table(const HolderSlots& slots, std::uint32_t experts, std::uint32_t redundant, const Numbers& sizes) {
  Numbers copies(experts);
  const Numbers expected = slots_of_holders(experts, redundant, sizes);
  for (std::size_t h = 0; h < slots.size(); ++h) {
    CHECK(slots[h].size() == expected[h]);
    CHECK(std::set<GlobalExpert>(slots[h].begin(), slots[h].end()).size() == slots[h].size());
    for (const GlobalExpert e : slots[h]) ++copies[static_cast<std::size_t>(e.value)];
  }
  CHECK(std::find(copies.begin(), copies.end(), 0u) == copies.end());
  CHECK(std::accumulate(copies.begin(), copies.end(), 0u) == experts + redundant);
}

}  // namespace

TEST_CASE("balance: both layers of the example in DeepSeek's README") {
  const Numbers sizes(8, 1);
  const Loads first{90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86};
  const Loads second{20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27};
  CHECK(flat(balance({first, 4, sizes, 4, 2})) == Numbers{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1});
  CHECK(flat(balance({second, 4, sizes, 4, 2})) == Numbers{7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1});
  for (const Loads& loads : {first, second}) {
    CHECK(flat(balance({loads, 4, sizes, 4, 2})) == eplb(loads, 16, 4, 2, 8));
    // Three nodes, over which four groups do not divide: the global policy. On 8 holders DeepSeek's puts both copies of
    // an expert on one of them.
    CHECK(has_double(eplb(loads, 16, 4, 3, 8), 8));
    check_table(balance({loads, 4, sizes}), 12, 4, sizes);
  }
  const Numbers five(5, 1), six(6, 1);  // with so many it does not
  CHECK(flat(balance({first, 6, six})) == eplb(first, 18, 4, 3, 6));
  CHECK(flat(balance({second, 8, five})) == eplb(second, 20, 4, 3, 5));
}

TEST_CASE("balance: wherever DeepSeek's algorithm gives no holder two copies, the same table") {
  int compared = 0;
  for (std::uint32_t i = 0; i < 4000; ++i) {
    const auto random = philox(71, i);
    const std::uint32_t clusters = 1 + random[0] % 4, groups = clusters > 1 ? clusters * (1 + random[1] % 3) : 1;
    const std::uint32_t holders = clusters * (1 + random[2] % 4), experts = groups * (1 + random[3] % 12);
    const std::uint32_t slots = (experts + holders - 1) / holders * holders + philox(72, i)[0] % 3 * holders;
    Loads loads(experts);
    for (std::uint32_t e = 0; e < experts; ++e) loads[e] = philox(73, i, e)[0] % 200;
    const Numbers theirs = eplb(loads, slots, groups, clusters, holders);
    if (slots > std::uint64_t{experts} * holders || has_double(theirs, holders)) continue;
    const Numbers sizes(holders, 1);
    CHECK(flat(balance({loads, slots - experts, sizes, groups, clusters})) == theirs);
    ++compared;
  }
  CHECK(compared > 1000);
}

TEST_CASE("balance: any numbers of experts, copies and holders") {
  int worse = 0, tables = 0;
  for (std::uint32_t i = 0; i < 4000; ++i) {
    const auto random = philox(81, i), more = philox(82, i);
    const std::uint32_t holders = 1 + random[0] % 12, experts = 1 + random[1] % 70;
    const auto redundant = static_cast<std::uint32_t>(random[2] % (std::uint64_t{experts} * (holders - 1) + 1));
    Numbers sizes(holders, 1);
    if (more[0] % 3 == 0)
      for (std::uint32_t h = 0; h < holders; ++h) sizes[h] = 1 + philox(83, i, h)[0] % 5;
    Loads loads(experts);
    for (std::uint32_t e = 0; e < experts; ++e) loads[e] = more[1] % 4 == 0 ? 1 : philox(84, i, e)[0] % 1000;
    const HolderSlots slots = balance({loads, redundant, sizes});
    check_table(slots, experts, redundant, sizes);
    CHECK(slots == balance({loads, redundant, sizes}));
    const HolderShares shares = level_shares(loads, slots, sizes);
    Loads sums(experts);
    for (std::size_t h = 0; h < holders; ++h)
      for (std::size_t s = 0; s < slots[h].size(); ++s) {
        CHECK(shares[h][s] >= 0);
        sums[static_cast<std::size_t>(slots[h][s].value)] += shares[h][s];
      }
    for (const double sum : sums) CHECK(sum == doctest::Approx(1));
    const double plain = level(loads, slices(experts, sizes), sizes), balanced = level(loads, slots, sizes);
    CHECK(balanced >= 1 - 1e-9);
    const bool is_worse = balanced > plain * (1 + 1e-4);
    if (sizes == Numbers(holders, 1)) CHECK(!is_worse);
    worse += is_worse, ++tables;
  }
  CHECK(worse <= tables / 500);  // with few experts, one too many of which does not suit a small holder
}

TEST_CASE("balance: groups stay whole on holders of their own, and copies go where they level") {
  const Loads loads = power_law(16, 1.01, 5);
  const Numbers sizes(4, 1);
  const HolderSlots slots = balance({loads, 4, sizes, 4, 4});
  check_table(slots, 16, 4, sizes);
  for (std::int32_t group = 0; group < 4; ++group) {
    int whole = 0;
    for (const auto& holder : slots) {
      int there = 0;
      for (const GlobalExpert e : holder) there += e.value / 4 == group;
      whole += there == 4;
    }
    CHECK(whole >= 1);
  }
  CHECK(level(loads, slots, sizes) <= level(loads, balance({loads, 0, sizes, 4, 4}), sizes));
}

TEST_CASE("balance: 256 experts by a power law of 1.01 on 64 holders, 64 redundant: at most 1.10") {
  const Numbers sizes(64, 1);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Loads loads = power_law(256, 1.01, seed);
    const double plain = level(loads, slices(256, sizes), sizes);
    const double balanced = level(loads, balance({loads, 64, sizes}), sizes);
    if (seed == 0) MESSAGE("busiest over mean: slices ", plain, ", balanced ", balanced);
    CHECK(plain > 3);
    CHECK(balanced <= 1.10);
  }
}
