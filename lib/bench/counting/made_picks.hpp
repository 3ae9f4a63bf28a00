// Picks of a router that never ran: some experts of a layer are picked far more often than others, as trained routers
// do. Used by `bench simulate`.
//
// The n-th most popular expert of a layer has the weight n^-exponent; which one that is differs from layer to layer. A
// model with routing groups first draws the groups that a row keeps, by the weights of their experts together, then
// experts of these. Groups of a row and picks of a row are drawn one after the other, each among those that are left.
// All of it follows from seed, layer and row.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "model/config.hpp"

namespace moemill::bench {

class MadePicks {
 public:
  // exponent: 0 (all experts alike) to most_exponent.
  static constexpr double most_exponent = 3;
  MadePicks(const model::Moe& moe, double exponent, std::uint64_t seed, LayerId layer);

  // picks: [rows, picks] of the rows from number first_row on.
  void draw(std::uint64_t first_row, std::span<GlobalExpert> picks);

 private:
  // Draws an index with the probability of its weight, from two random words.
  class Urn {
   public:
    explicit Urn(const std::vector<double>& weights);
    std::uint32_t draw(std::uint32_t index_word, std::uint32_t coin_word) const;

   private:
    std::vector<std::uint32_t> alias_, threshold_;
  };
  class Words;
  template <class Allowed>
  std::uint32_t draw_one(const Urn& urn, std::uint32_t count, Words& words, const Allowed& allowed) const;

  const std::uint32_t experts_, picks_, groups_, groups_kept_;
  const std::uint64_t key_;
  std::vector<double> weights_;  // [experts]
  Urn experts_urn_, groups_urn_;
  std::vector<std::uint64_t> taken_, kept_;  // [experts], [groups] the number of the last draw that took it
  std::uint64_t draws_ = 0;
};

}  // namespace moemill::bench
