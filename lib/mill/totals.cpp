#include "mill/totals.hpp"

#include <algorithm>
#include <type_traits>

namespace moemill::mill {

static_assert(std::is_trivially_copyable_v<Totals>);

void Totals::take(const layers::ForwardTotals& forward) {
  exchange_seconds = forward.exchange_seconds;
  rows_sent = forward.rows_sent;
  rows_deduplicated = forward.rows_deduplicated;
  intra_node_bytes = forward.intra_node_bytes;
  inter_node_bytes = forward.inter_node_bytes;
}

Totals& Totals::operator+=(const Totals& other) {
  constexpr std::uint64_t Totals::*counts[] = {&Totals::prompts_done,     &Totals::prompts_failed,
                                               &Totals::completions,      &Totals::rows_failed,
                                               &Totals::prompt_tokens,    &Totals::cached_prompt_tokens,
                                               &Totals::generated_tokens, &Totals::decode_step_tokens,
                                               &Totals::intra_node_bytes, &Totals::inter_node_bytes,
                                               &Totals::rows_sent,        &Totals::rows_deduplicated,
                                               &Totals::peak_rss_bytes,   &Totals::running};
  constexpr double Totals::*seconds[] = {&Totals::prefill_seconds, &Totals::decode_seconds, &Totals::exchange_seconds,
                                         &Totals::idle_seconds};
  for (auto count : counts) this->*count += other.*count;
  for (auto second : seconds) this->*second += other.*second;
  return *this;
}

ExpertLoad& ExpertLoad::operator+=(const ExpertLoad& other) {
  if (other.tokens == 0) return *this;
  const auto mine = static_cast<double>(tokens), its = static_cast<double>(other.tokens);
  max_over_mean = (max_over_mean * mine + other.max_over_mean * its) / (mine + its);
  tokens += other.tokens;
  return *this;
}

Totals sum_over_ranks(const Comm& world, const Totals& mine) {
  Totals sum;
  for (const Totals& one : gather(world, mine)) sum += one;
  for (auto second :
       {&Totals::prefill_seconds, &Totals::decode_seconds, &Totals::exchange_seconds, &Totals::idle_seconds})
    sum.*second /= world.size();
  return sum;
}

double max_over_mean(std::span<const std::uint64_t> counts, std::size_t experts) {
  if (experts == 0 || counts.empty()) return 1;
  double ratios = 0;
  std::size_t layers = 0;
  for (std::size_t at = 0; at + experts <= counts.size(); at += experts) {
    auto layer = counts.subspan(at, experts);
    double sum = 0;
    for (std::uint64_t c : layer) sum += static_cast<double>(c);
    if (sum == 0) continue;
    ratios += static_cast<double>(*std::max_element(layer.begin(), layer.end())) * static_cast<double>(experts) / sum;
    ++layers;
  }
  return layers == 0 ? 1 : ratios / static_cast<double>(layers);
}

}  // namespace moemill::mill
