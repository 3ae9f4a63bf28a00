// A rank's place in its expert domain, with what the exchange takes over: a group of ranks for its messages, and the
// memory that the ranks of a node have in common. Made by the engine, the benchmarks and tests; every backend's
// exchange is made with one.
#pragma once

#include <exception>
#include <span>
#include <string>
#include <vector>

#include "layers/dispatch/exchange_shape.hpp"
#include "system/comm/comm.hpp"
#include "system/files/node_memory.hpp"

namespace moemill::layers {

struct DomainSite {
  Comm comm = Comm::alone();         // the domain's ranks; nobody else uses it
  std::vector<int> memory_of_rank;   // [ranks] equal numbers for ranks that share memory
  std::vector<int> machine_of_rank;  // [ranks] the node of each rank, by which bytes are counted
  NodeMemory memory;                 // of the ranks that share it with this one
  ExchangeShape shape;               // that the memory was made for
  std::string fault;                 // "" unless these ranks cannot share memory; the same on all of them
  std::exception_ptr failure;        // why there is no memory besides: sizes beyond all numbers, none left
};

// Ranks of equal memory_of_rank must be able to share memory, and hold their experts' weights together. Collective over
// the domain; a rank without memory says so in `fault` or `failure`, and the caller tells the others: what this throws
// is a fault of the communication itself, of which nobody can be told.
DomainSite join_domain(const Comm& domain, std::vector<int> memory_of_rank, std::vector<int> machine_of_rank,
                       const ExchangeShape& shape);
// For ranks that need not agree: throws what kept this one from memory.
DomainSite checked(DomainSite site);
// Of a domain of one rank; checked.
DomainSite join_alone(const ExchangeShape& shape);

}  // namespace moemill::layers
