#include "mill/rounds.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <type_traits>
#include <utility>

#include "base/error.hpp"

namespace moemill::mill {
namespace {

using schedule::Facts;
using schedule::Round;

// A letter of rank 0 to a leader: this, and behind it the ranks that the next lots of the list are dealt to.
struct RoundHead {
  std::uint64_t number = 0;  // of all rounds that are not empty
  std::uint32_t dealt = 0;
  std::int32_t end = -1;  // a Phase, or -1
  std::int32_t rank = -1;
  std::int32_t error = 0;
  std::int32_t answers = 0;  // whether rank 0 has taken the leader's report
  std::int32_t is_empty = 0;
};
static_assert(sizeof(RoundHead) == 32, "has no bytes that nobody sets");

template <class T>
void put_all(std::span<const T> values, std::vector<std::byte>& bytes) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto raw = std::as_bytes(values);
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

template <class T>
void put(const T& value, std::vector<std::byte>& bytes) {
  put_all(std::span(&value, 1), bytes);
}

// Takes the first `count` values off the bytes.
template <class T>
std::vector<T> taken(std::span<const std::byte>& bytes, std::size_t count) {
  expect(bytes.size() >= count * sizeof(T), "a letter of a round is whole");
  std::vector<T> values(count);
  if (count > 0) std::memcpy(static_cast<void*>(values.data()), bytes.data(), count * sizeof(T));
  bytes = bytes.subspan(count * sizeof(T));
  return values;
}

std::vector<std::byte> written(const Round& round, std::uint64_t number, bool answers) {
  RoundHead head;
  head.number = number;
  head.dealt = static_cast<std::uint32_t>(round.dealt.size());
  if (round.end) head.end = static_cast<std::int32_t>(*round.end);
  head.rank = round.rank.value, head.error = round.error;
  head.answers = answers ? 1 : 0, head.is_empty = round.is_empty() ? 1 : 0;
  std::vector<std::byte> bytes;
  put(head, bytes);
  for (const schedule::Dealt& dealt : round.dealt) put(dealt.rank.value, bytes);
  return bytes;
}

bool calls(const Facts& facts) { return facts.error != 0 || facts.wish != schedule::Wish::Continue; }

}  // namespace

Rounds::Rounds(const Comm& world, const Comm& domain, Mail& mail, const schedule::LotList& lots)
    : world_(world), domain_(domain), mail_(mail), dealer_(static_cast<std::size_t>(world.size())) {
  for (const int rank : gather(domain, world.rank())) ranks_.push_back({rank});
  expect(std::is_sorted(ranks_.begin(), ranks_.end()), "a domain's ranks have the order of the world");
  std::map<int, Domain> domains;  // by leader
  const std::vector<int> leaders = gather(world, static_cast<int>(ranks_.front().value));
  for (std::size_t r = 0; r < leaders.size(); ++r) domains[leaders[r]].ranks.push_back({static_cast<std::int32_t>(r)});
  domains_ = domains.size();
  if (world.rank() != 0) return;
  facts_.resize(leaders.size());
  counts_.resize(leaders.size());
  for (auto& [leader, one] : domains) {
    one.leader = leader;
    if (leader != 0) others_.push_back(std::move(one));
  }
  if (decides_for_others()) undealt_ = lots;
}

void Rounds::answer() {
  const Round round = has_ended_ ? Round() : dealer_.decide(undealt_);
  undealt_.take(round.dealt.size());
  has_ended_ = has_ended_ || round.end;
  if (!round.is_empty()) put_all<std::byte>(written(round, dealer_.rounds(), false), news_);
  for (Domain& other : others_) {
    if (round.is_empty() && !other.waits_for_answer) continue;
    mail_.send(other.leader, News{written(round, dealer_.rounds(), other.waits_for_answer)});
    other.waits_for_answer = false;
  }
}

Round Rounds::take_turn(std::span<const Facts> facts, std::span<const StepCounts> counts, bool news,
                        const schedule::LotList& lots) {
  if (world_.rank() == 0) keep(ranks_, facts, counts, told_);
  if (domains_ == 1) return decide_round(facts, lots);
  // The facts are older than the news.
  if (domain_.rank() == 0 && world_.rank() != 0) report(facts, counts);
  return news ? read(domain_.broadcast(std::exchange(news_, {}), 0), lots) : Round();
}

Round Rounds::read(std::span<const std::byte> bytes, const schedule::LotList& lots) {
  Round round;
  while (!bytes.empty()) {
    const RoundHead head = taken<RoundHead>(bytes, 1).front();
    for (const std::int32_t rank : taken<std::int32_t>(bytes, head.dealt))
      round.dealt.push_back({{rank}, lots.left()[round.dealt.size()]});
    if (head.end >= 0) round.end = static_cast<schedule::Phase>(head.end);
    round.rank = {head.rank}, round.error = head.error;
    told_ = head.number;
  }
  return round;
}

// One report is on its way at a time, so that a domain of short steps does not bury rank 0 in the middle of a long one;
// a call is sent in any case. What rank 0 knows already is not said again.
void Rounds::report(std::span<const Facts> facts, std::span<const StepCounts> counts) {
  const bool first_call = !has_called_ && std::any_of(facts.begin(), facts.end(), calls);
  const bool known = !reported_facts_.empty() && told_ == reported_told_ &&
                     std::equal(facts.begin(), facts.end(), reported_facts_.begin()) &&
                     std::equal(counts.begin(), counts.end(), reported_counts_.begin());
  if (known || (trip_.waits() && !first_call)) return;
  std::vector<std::byte> bytes;
  put(told_, bytes);
  put(std::uint64_t{facts.size()}, bytes);
  put(std::int64_t{world_.rank()}, bytes);
  put_all(facts, bytes);
  put_all(counts, bytes);
  mail_.send(0, News{std::move(bytes)});
  reported_facts_.assign(facts.begin(), facts.end());
  reported_counts_.assign(counts.begin(), counts.end());
  reported_told_ = told_;
  trip_.report();
  has_called_ = has_called_ || first_call;
}

void Rounds::take(const News& letter) {
  std::span<const std::byte> bytes = letter.bytes;
  if (world_.rank() == 0) {
    const auto told = taken<std::uint64_t>(bytes, 1).front(), size = taken<std::uint64_t>(bytes, 1).front();
    const auto leader = taken<std::int64_t>(bytes, 1).front();
    const auto from = std::ranges::find(others_, static_cast<int>(leader), &Domain::leader);
    expect(from != others_.end() && from->ranks.size() == size, "rounds: a leader reports for its domain");
    from->waits_for_answer = true;
    const auto facts = taken<Facts>(bytes, size);
    keep(from->ranks, facts, taken<StepCounts>(bytes, size), told);
    return;
  }
  const RoundHead head = taken<RoundHead>(bytes, 1).front();
  if (head.answers != 0) trip_.answer();
  if (head.is_empty == 0) news_.insert(news_.end(), letter.bytes.begin(), letter.bytes.end());
}

void Rounds::keep(std::span<const WorldRank> ranks, std::span<const Facts> facts, std::span<const StepCounts> counts,
                  std::uint64_t told) {
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const auto rank = static_cast<std::size_t>(ranks[i].value);
    facts_[rank] = facts[i], counts_[rank] = counts[i];
    if (domains_ > 1) dealer_.take(ranks[i], facts[i], told);
  }
}

}  // namespace moemill::mill
