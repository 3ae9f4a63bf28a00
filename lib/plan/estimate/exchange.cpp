#include "plan/estimate/exchange.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace moemill::estimate {
namespace {

// Of `places`, those that `picks` uniform picks fall on.
double distinct(double places, std::uint32_t picks) { return places * (1 - std::pow(1 - 1 / places, picks)); }

}  // namespace

Copies copies_of_row(const Layout& layout, const Hardware& hardware, std::uint32_t picks) {
  const double n = layout.gpus;
  const double domains = layout.domains(hardware);
  const double per = n / domains;
  switch (layout.exchange) {
    case Exchange::EveryCopy: return {picks * (per - 1) / n, picks * (n - per) / n};
    case Exchange::OnceAGpu: return {distinct(n, picks) * (per - 1) / n, distinct(n, picks) * (n - per) / n};
    case Exchange::AllGather: return {per - 1, n - per};
    case Exchange::OnceANode: break;
  }
  const double reachable = layout.most_nodes > 0 ? std::min<double>(layout.most_nodes, domains) : domains;
  return {distinct(n, picks) * (per - 1) / per, distinct(reachable, picks) * (domains - 1) / domains};
}

Transfer transfer_of(const Layout& layout, const Hardware& hardware, const model::ModelConfig& model, double rows,
                     double bytes_per_value) {
  Transfer transfer;
  if (layout.gpus == 1) return transfer;
  const Efficiencies& reached = hardware.efficiencies;
  const Copies copies = copies_of_row(layout, hardware, model.moe.picks);
  const double bytes = rows * model.hidden * bytes_per_value;
  transfer.scale_up_bytes = bytes * copies.scale_up;
  transfer.scale_up_bytes_per_second = hardware.scale_up_bytes_per_second * reached.scale_up;
  double latency_us = reached.scale_up_latency_us;
  if (layout.domains(hardware) > 1) {
    expect(hardware.network_bytes_per_second.has_value(), "several domains are joined by a network");
    transfer.network_bytes = bytes * copies.network;
    transfer.network_bytes_per_second = *hardware.network_bytes_per_second * reached.network;
    latency_us = std::max(latency_us, reached.network_latency_us);
  }
  if (layout.exchange != Exchange::AllGather) transfer.imbalance = layout.imbalance(reached);
  transfer.latency_seconds = latency_us * 1e-6;
  return transfer;
}

}  // namespace moemill::estimate
