// The exchange of rows between the GPUs of a group: what crosses which link, and how long it takes. Used by the step
// model.
#pragma once

#include <algorithm>

#include "model/config.hpp"
#include "plan/estimate/layout.hpp"

namespace moemill::estimate {

// The copies of one row that leave its GPU over the fast links of its domain, and over the network, on average over
// uniform picks:
//   EveryCopy: k (per - 1) / n and k (n - per) / n, with n GPUs, `per` of them in a domain
//   OnceANode: over the network D (N - 1) / N, with N domains of which a row's experts lie on D; within domains the
//   GPUs
//              that its experts lie on, n (1 - (1 - 1 / n)^k), without its own
//   OnceAGpu:  as EveryCopy, with the number of these GPUs in place of k
//   AllGather: per - 1 and n - per
// where D = M (1 - (1 - 1 / M)^k) and M is the least of N and most_nodes.
struct Copies {
  double scale_up = 0;
  double network = 0;
};
Copies copies_of_row(const Layout& layout, const Hardware& hardware, std::uint32_t picks);

// One direction: the longer of both links' times, times the imbalance (all gathered rows are alike), and the latency of
// the slower link. Nothing for a single GPU.
struct Transfer {
  double scale_up_bytes = 0, scale_up_bytes_per_second = 1;
  double network_bytes = 0, network_bytes_per_second = 1;
  double imbalance = 1;
  double latency_seconds = 0;

  double scale_up_seconds() const { return scale_up_bytes / scale_up_bytes_per_second; }
  double network_seconds() const { return network_bytes / network_bytes_per_second; }
  double seconds() const { return std::max(scale_up_seconds(), network_seconds()) * imbalance + latency_seconds; }
};
Transfer transfer_of(const Layout& layout, const Hardware& hardware, const model::ModelConfig& model, double rows,
                     double bytes_per_value);

}  // namespace moemill::estimate
