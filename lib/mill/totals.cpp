#include "mill/totals.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "base/text/json_values.hpp"

namespace moemill::mill {

static_assert(std::is_trivially_copyable_v<Totals>);
static_assert(sizeof(Totals) == 8 * (std::size(all_counts) + std::size(all_seconds)),
              "every counter stands in a table");

void Totals::take(const layers::ForwardTotals& forward) {
  const layers::ExchangeTotals& moved = forward.exchange;
  exchange_seconds = moved.seconds, pack_seconds = moved.pack_seconds, wait_seconds = moved.wait_seconds;
  rows_sent = moved.rows_sent;
  rows_deduplicated = moved.rows_deduplicated;
  intra_node_bytes = moved.intra_node_bytes;
  inter_node_bytes = moved.inter_node_bytes;
  steps_with_one = forward.steps_with_one;
  steps_with_two = forward.steps_with_two;
  inter_node_bytes_minimum = moved.inter_node_minimum;
  messages = moved.messages;
  rows_routed = moved.rows_routed, row_nodes = moved.row_nodes;
  expert_work = moved.work, busiest_work = moved.busiest_work, busiest_owner_work = moved.busiest_owner_work;
}

Totals& Totals::operator+=(const Totals& other) {
  for (const Count& count : all_counts) this->*count.member += other.*count.member;
  for (const Seconds& second : all_seconds) this->*second.member += other.*second.member;
  return *this;
}

void Totals::add_attempt(const Totals& earlier) {
  const std::uint64_t most_memory = std::max(peak_rss_bytes, earlier.peak_rss_bytes);
  *this += earlier;
  peak_rss_bytes = most_memory;
}

void put(nlohmann::ordered_json& json, const Totals& totals, CountOf of) {
  for (const Count& count : all_counts)
    if (count.of == of) json[count.name] = totals.*count.member;
}

void put_seconds(nlohmann::ordered_json& json, const Totals& totals, SecondsOf of) {
  for (const Seconds& second : all_seconds)
    if (second.of == of) json[second.name] = totals.*second.member;
}

double ratio(std::uint64_t sum, std::uint64_t over, double nothing) {
  return over == 0 ? nothing : static_cast<double>(sum) / static_cast<double>(over);
}

Totals totals_in(const nlohmann::json& metrics_line) {
  Totals totals;
  for (const Count& count : all_counts)
    if (count.of != CountOf::Rows && count.of != CountOf::Now)
      totals.*count.member = json_value_or(metrics_line, count.name, std::uint64_t{0});
  for (const Seconds& second : all_seconds) totals.*second.member = json_value_or(metrics_line, second.name, 0.0);
  return totals;
}

StepCounts step_counts(const Totals& totals) {
  StepCounts sent{};
  std::size_t at = 0;
  for (const Count& count : all_counts)
    if (is_sent_each_step(count)) sent[at++] = totals.*count.member;
  return sent;
}

Totals with_step_counts(Totals totals, std::span<const StepCounts> ranks) {
  std::size_t at = 0;
  for (const Count& count : all_counts) {
    if (!is_sent_each_step(count)) continue;
    totals.*count.member = 0;
    for (const StepCounts& rank : ranks) totals.*count.member += rank[at];
    ++at;
  }
  return totals;
}

ExpertLoad& ExpertLoad::operator+=(const ExpertLoad& other) {
  if (other.tokens == 0) return *this;
  const auto mine = static_cast<double>(tokens), its = static_cast<double>(other.tokens);
  for (double ExpertLoad::*ratio : {&ExpertLoad::max_over_mean, &ExpertLoad::nodes_in_slices, &ExpertLoad::nodes})
    this->*ratio = (this->*ratio * mine + other.*ratio * its) / (mine + its);
  tokens += other.tokens;
  return *this;
}

Totals sum_over_ranks(const Comm& world, const Totals& mine) {
  Totals sum;
  for (const Totals& one : gather(world, mine)) sum += one;
  for (const Seconds& second : all_seconds) sum.*second.member /= world.size();
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
