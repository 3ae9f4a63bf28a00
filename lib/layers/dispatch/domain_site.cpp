#include "layers/dispatch/domain_site.hpp"

#include <utility>

#include "base/error.hpp"
#include "layers/dispatch/node_places.hpp"

namespace moemill::layers {

DomainSite join_domain(const Comm& domain, std::vector<int> memory_of_rank, std::vector<int> machine_of_rank,
                       const ExchangeShape& shape) {
  const int rank = domain.rank();
  const int memory = memory_of_rank[static_cast<std::size_t>(rank)];
  DomainSite site{domain.split(0, rank), std::move(memory_of_rank), std::move(machine_of_rank), {}, shape, "", {}};
  const Comm mates = site.comm.split(memory, rank);
  const DomainNodes nodes(site.memory_of_rank);
  std::uint64_t bytes = 0;
  try {  // the sizes are the same for all mates
    bytes = NodePlaces(shape, nodes, nodes.node_of(rank)).bytes();
    if (mates.size() == 1) site.memory = NodeMemory(bytes, "rows of a step", MappedMemory::Use::Sparse);
  } catch (...) {
    site.failure = std::current_exception();
  }
  if (mates.size() == 1 || site.failure) return site;
  NodeMemory::Attempt shared = NodeMemory::share_workspace(mates, bytes);
  site.memory = std::move(shared.memory);
  site.fault = std::move(shared.why_not);
  return site;
}

DomainSite checked(DomainSite site) {
  if (site.failure) std::rethrow_exception(site.failure);
  if (!site.fault.empty()) system_error("ranks of a node cannot share memory: {}", site.fault);
  return site;
}

DomainSite join_alone(const ExchangeShape& shape) { return checked(join_domain(Comm::alone(), {0}, {0}, shape)); }

}  // namespace moemill::layers
