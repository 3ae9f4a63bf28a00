#include "model/balance.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "base/error.hpp"

namespace moemill::model {
namespace {

// Indices by descending value, equal ones in their order.
std::vector<std::uint32_t> descending(std::span<const double> values) {
  std::vector<std::uint32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return values[a] > values[b]; });
  return order;
}

// EPLB's balanced_packing of groups: the heaviest first, each to the lightest cluster with room. Returns the groups of
// each cluster in the order in which they came.
std::vector<std::vector<std::uint32_t>> pack_groups(std::span<const double> weights, std::uint32_t clusters) {
  std::vector<std::vector<std::uint32_t>> packed(clusters);
  std::vector<double> sum(clusters);
  const std::size_t room = weights.size() / clusters;
  for (const std::uint32_t group : descending(weights)) {
    std::optional<std::uint32_t> lightest;
    for (std::uint32_t c = 0; c < clusters; ++c)
      if (packed[c].size() < room && (!lightest || sum[c] < sum[*lightest])) lightest = c;
    const std::uint32_t cluster = room == 1 ? group : *lightest;
    packed[cluster].push_back(group), sum[cluster] += weights[group];
  }
  return packed;
}

class Balance {
 public:
  explicit Balance(const BalanceQuestion& question)
      : q_(question),
        holders_(static_cast<std::uint32_t>(q_.sizes.size())),
        room_(slots_of_holders(static_cast<std::uint32_t>(q_.loads.size()), q_.redundant, q_.sizes)),
        slots_(holders_),
        load_(holders_),
        copies_(q_.loads.size()) {}

  HolderSlots run() {
    const std::uint32_t in_cluster = holders_ / q_.clusters;
    std::uint32_t cluster = 0;
    for (const std::vector<std::uint32_t>& experts : experts_of_clusters()) {
      const std::uint32_t first = cluster++ * in_cluster;
      pack(replicate(experts, first, first + in_cluster), first, first + in_cluster);
    }
    fill_spare_slots();
    return slots_;
  }

 private:
  double part(std::uint32_t expert) const { return q_.loads[expert] / copies_[expert]; }
  bool has_room(std::uint32_t holder) const { return slots_[holder].size() < room_[holder]; }
  bool has(std::uint32_t holder, std::uint32_t expert) const {
    const GlobalExpert id{static_cast<std::int32_t>(expert)};
    return std::find(slots_[holder].begin(), slots_[holder].end(), id) != slots_[holder].end();
  }
  void put(std::uint32_t holder, std::uint32_t expert) {
    slots_[holder].push_back({static_cast<std::int32_t>(expert)}), load_[holder] += part(expert);
  }
  // Of [first, last), the holder that would have least for its size among those with room and without the expert.
  std::optional<std::uint32_t> lightest(std::uint32_t expert, std::uint32_t first, std::uint32_t last) const {
    const auto level = [&](std::uint32_t h) {
      return std::pair((load_[h] + part(expert)) / q_.sizes[h], load_[h] / q_.sizes[h]);
    };
    std::optional<std::uint32_t> found;
    for (std::uint32_t h = first; h < last; ++h)
      if (has_room(h) && !has(h, expert) && (!found || level(h) < level(*found))) found = h;
    return found;
  }

  std::vector<std::vector<std::uint32_t>> experts_of_clusters() const;
  std::vector<std::uint32_t> replicate(const std::vector<std::uint32_t>& experts, std::uint32_t first,
                                       std::uint32_t last);
  void pack(const std::vector<std::uint32_t>& copies, std::uint32_t first, std::uint32_t last);
  bool exchange_for(std::uint32_t expert, std::uint32_t first, std::uint32_t last);
  void fill_spare_slots();

  const BalanceQuestion q_;
  const std::uint32_t holders_;
  const std::vector<std::uint32_t> room_;
  HolderSlots slots_;
  std::vector<double> load_;           // [holders] if the copies of an expert have equal parts
  std::vector<std::uint32_t> copies_;  // [experts]
};

std::vector<std::vector<std::uint32_t>> Balance::experts_of_clusters() const {
  const auto experts = static_cast<std::uint32_t>(q_.loads.size());
  std::vector<double> weights(q_.clusters > 1 ? q_.groups : 1);
  const auto group_size = static_cast<std::uint32_t>(experts / weights.size());
  for (std::uint32_t e = 0; e < group_size * weights.size(); ++e) weights[e / group_size] += q_.loads[e];
  std::vector<std::vector<std::uint32_t>> of_clusters;
  for (const std::vector<std::uint32_t>& groups : pack_groups(weights, q_.clusters)) {
    std::vector<std::uint32_t>& of_cluster = of_clusters.emplace_back();
    for (const std::uint32_t group : groups)
      for (std::uint32_t e = group * group_size; e < (group + 1) * group_size; ++e) of_cluster.push_back(e);
  }
  return of_clusters;
}

// EPLB's replicate_experts: each further slot of these holders is for the expert with most load a copy. Returns the
// copies: one of each expert, then the others as they were added.
std::vector<std::uint32_t> Balance::replicate(const std::vector<std::uint32_t>& experts, std::uint32_t first,
                                              std::uint32_t last) {
  std::vector<std::uint32_t> copies = experts;
  for (const std::uint32_t e : experts) copies_[e] = 1;
  const auto slots = std::accumulate(room_.begin() + first, room_.begin() + last, std::size_t{0});
  while (copies.size() < slots) {
    std::optional<std::uint32_t> most;
    for (const std::uint32_t e : experts)
      if (copies_[e] < last - first && (!most || part(e) > part(*most))) most = e;
    if (!most) break;  // each holder has all of them
    ++copies_[*most];
    copies.push_back(*most);
  }
  return copies;
}

// EPLB's balanced_packing of copies; with one slot a holder it keeps their order. A copy that finds no holder is left
// out, and its slot to fill_spare_slots(): where holders have different sizes.
void Balance::pack(const std::vector<std::uint32_t>& copies, std::uint32_t first, std::uint32_t last) {
  const bool one_each = std::all_of(room_.begin() + first, room_.begin() + last, [](auto slots) { return slots == 1; });
  std::vector<double> weights;
  for (const std::uint32_t e : copies) weights.push_back(one_each ? 0 : part(e));
  std::uint32_t next = first;
  for (const std::uint32_t i : descending(weights)) {
    if (one_each) {
      put(next++, copies[i]);
    } else if (const auto holder = lightest(copies[i], first, last)) {
      put(*holder, copies[i]);
    } else if (!exchange_for(copies[i], first, last)) {
      --copies_[copies[i]];
    }
  }
}

// All holders with room have the expert. One without it gives one of its own to one of those, and takes it. Where the
// numbers of slots differ by one at most, there is such an expert.
bool Balance::exchange_for(std::uint32_t expert, std::uint32_t first, std::uint32_t last) {
  for (std::uint32_t to = first; to < last; ++to) {
    if (!has_room(to)) continue;
    for (std::uint32_t from = first; from < last; ++from) {
      if (from == to || has(from, expert)) continue;
      std::vector<GlobalExpert>& slots = slots_[from];
      const auto moved = std::find_if(slots.rbegin(), slots.rend(),
                                      [&](GlobalExpert e) { return !has(to, static_cast<std::uint32_t>(e.value)); });
      if (moved == slots.rend()) continue;
      const auto other = static_cast<std::uint32_t>(moved->value);
      slots.erase(std::next(moved).base()), load_[from] -= part(other);
      put(to, other), put(from, expert);
      return true;
    }
  }
  return false;
}

// Slots that a cluster has no use for, and those of copies that found no place: each for the expert with most load a
// copy that a holder with room lacks.
void Balance::fill_spare_slots() {
  const std::size_t all = std::accumulate(room_.begin(), room_.end(), std::size_t{0});
  std::size_t used = 0;
  for (const auto& slots : slots_) used += slots.size();
  for (; used < all; ++used) {
    std::fill(load_.begin(), load_.end(), 0);
    for (std::uint32_t h = 0; h < holders_; ++h)
      for (const GlobalExpert e : slots_[h]) load_[h] += part(static_cast<std::uint32_t>(e.value));
    std::optional<std::uint32_t> most;
    for (std::uint32_t e = 0; e < q_.loads.size(); ++e)
      if ((!most || part(e) > part(*most)) && lightest(e, 0, holders_)) most = e;
    ++copies_[*most];
    put(*lightest(*most, 0, holders_), *most);
  }
}

double sum_of(std::span<const double> loads) { return std::accumulate(loads.begin(), loads.end(), 0.0); }

// A copy of an expert, by its holder and its place there.
struct Copy {
  std::size_t holder, slot;
};

// Fills the copies of one expert up to one level of load for size, over what else their holders have in `load`.
void pour(double amount, std::vector<Copy>& copies, std::span<const std::uint32_t> sizes, std::vector<double>& load,
          HolderShares& shares) {
  const auto level = [&](const Copy& c) { return load[c.holder] / sizes[c.holder]; };
  std::stable_sort(copies.begin(), copies.end(), [&](const Copy& a, const Copy& b) { return level(a) < level(b); });
  double size = 0, below = amount, top = 0;
  std::size_t wet = 0;
  for (; wet < copies.size() && (wet == 0 || level(copies[wet]) < top); ++wet) {
    size += sizes[copies[wet].holder], below += load[copies[wet].holder];
    top = below / size;
  }
  for (std::size_t c = 0; c < copies.size(); ++c) {
    const auto [holder, slot] = copies[c];
    const double part = c < wet ? std::max(0.0, top * sizes[holder] - load[holder]) : 0;
    shares[holder][slot] = part / amount, load[holder] += part;
  }
}

}  // namespace

std::vector<std::uint32_t> slots_of_holders(std::uint32_t experts, std::uint32_t redundant,
                                            std::span<const std::uint32_t> sizes) {
  const std::uint64_t all = std::uint64_t{experts} + redundant;
  const auto size = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
  expect(size > 0 && all <= std::uint64_t{experts} * sizes.size(), "balance: holders have room for all copies");
  std::vector<std::uint32_t> slots;
  std::uint64_t before = 0, left = 0;
  for (const std::uint32_t mine : sizes) {
    const std::uint64_t share = (before + mine) * all / size - before * all / size;
    slots.push_back(static_cast<std::uint32_t>(std::min<std::uint64_t>(share, experts)));
    left += share - slots.back(), before += mine;
  }
  for (std::uint32_t& mine : slots) {  // what is too much for a large holder
    const std::uint64_t more = std::min<std::uint64_t>(left, experts - mine);
    mine += static_cast<std::uint32_t>(more), left -= more;
  }
  return slots;
}

HolderSlots balance(const BalanceQuestion& question) {
  expect(question.loads.size() % question.groups == 0 && question.groups % question.clusters == 0 &&
             question.sizes.size() % question.clusters == 0,
         "balance: groups and holders divide over the clusters");
  return Balance(question).run();
}

// One expert after the other is poured anew over what the others have. Each time the sum of squares of load for size
// falls, whose least value is the most level division of all.
HolderShares level_shares(std::span<const double> loads, const HolderSlots& slots,
                          std::span<const std::uint32_t> sizes) {
  constexpr int most_rounds = 200;
  std::vector<std::vector<Copy>> copies(loads.size());
  HolderShares shares(slots.size());
  for (std::size_t h = 0; h < slots.size(); ++h) {
    shares[h].resize(slots[h].size());
    for (std::size_t s = 0; s < slots[h].size(); ++s)
      copies[static_cast<std::size_t>(slots[h][s].value)].push_back({h, s});
  }
  std::vector<double> load(slots.size());
  for (std::size_t e = 0; e < loads.size(); ++e)
    for (const Copy& c : copies[e]) {
      shares[c.holder][c.slot] = 1.0 / static_cast<double>(copies[e].size());
      load[c.holder] += loads[e] * shares[c.holder][c.slot];
    }
  const double small = 1e-6 * sum_of(loads) / static_cast<double>(slots.size());
  for (int round = 0; round < most_rounds; ++round) {
    double moved = 0;
    for (std::size_t e = 0; e < loads.size(); ++e) {
      if (copies[e].size() < 2 || loads[e] == 0) continue;
      std::vector<double> before = load;
      for (const Copy& c : copies[e]) load[c.holder] -= loads[e] * shares[c.holder][c.slot];
      pour(loads[e], copies[e], sizes, load, shares);
      for (const Copy& c : copies[e]) moved = std::max(moved, std::abs(load[c.holder] - before[c.holder]));
    }
    if (moved <= small) break;
  }
  return shares;
}

double max_over_mean(std::span<const double> loads, const HolderSlots& slots, const HolderShares& shares,
                     std::span<const std::uint32_t> sizes) {
  double most = 0, size = 0;
  for (std::size_t h = 0; h < slots.size(); ++h) {
    double load = 0;
    for (std::size_t s = 0; s < slots[h].size(); ++s)
      load += loads[static_cast<std::size_t>(slots[h][s].value)] * shares[h][s];
    most = std::max(most, load / sizes[h]), size += sizes[h];
  }
  const double all = sum_of(loads);
  return all > 0 ? most / (all / size) : 1;
}

}  // namespace moemill::model
