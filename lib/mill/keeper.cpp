#include "mill/keeper.hpp"

#include <tuple>
#include <utility>

#include "base/error.hpp"

namespace moemill::mill {

Keeper::Keeper(const Comm& world, const ShardInputs& inputs, std::span<const ShardId> unfinished,
               std::span<const schedule::Lot> lots)
    : ranks_(world.size()), rank_(world.rank()), inputs_(inputs) {
  for (const auto& lot : lots)
    if (!lot.is_placed() && keeper_of(lot.first_prompt) == rank_) missing_[lot.shard] += lot.sequences;
  for (const auto& place : inputs.prefixes.places())
    if (keeper_of(place.prompt) == rank_) missing_[inputs.manifest.shard_of(place.prompt)] += place.samples;
  for (ShardId shard : unfinished)
    if (keeper_of(inputs.manifest.range_of(shard).first) == rank_ && !missing_.contains(shard))
      complete_.push_back(shard);
}

int Keeper::keeper_of(std::uint64_t prompt_index) const {
  const ShardId shard = inputs_.manifest.shard_of(prompt_index);
  return schedule::keeper_of(shard, inputs_.manifest.shard_count(), static_cast<std::uint32_t>(ranks_)).value;
}

void Keeper::open(std::span<const schedule::Dealt> dealt) {
  const auto open_mine = [&](ShardId shard) {
    const auto mine = missing_.find(shard);
    if (mine != missing_.end()) open(mine->first, mine->second);
  };
  for (const auto& [to, lot] : dealt) {
    if (!lot.is_placed()) {
      open_mine(lot.shard);
      continue;
    }
    for (const auto& place : inputs_.prefixes.of(lot)) open_mine(inputs_.manifest.shard_of(place.prompt));
  }
}

KeptShard& Keeper::open(ShardId shard, std::uint64_t missing) {
  if (const auto found = open_.find(shard); found != open_.end()) return found->second;
  return open_
      .emplace(std::piecewise_construct, std::forward_as_tuple(shard), std::forward_as_tuple(shard, inputs_, missing))
      .first->second;
}

KeptShard& Keeper::shard_of(std::uint64_t prompt_index) {
  const auto mine = missing_.find(inputs_.manifest.shard_of(prompt_index));
  expect(mine != missing_.end(), "a row belongs to a shard of its keeper that lacks rows");
  return open(mine->first, mine->second);
}

void Keeper::finish_complete(const dataset::OutputLayout& layout, const dataset::RootAttributes& attributes) {
  if (!complete_.empty()) {
    KeptShard(complete_.back(), inputs_, 0).finish(inputs_, layout, attributes);
    complete_.pop_back();
  }
  for (auto shard = open_.begin(); shard != open_.end();) {
    if (!shard->second.complete()) {
      ++shard;
      continue;
    }
    shard->second.finish(inputs_, layout, attributes);
    missing_.erase(shard->first);
    shard = open_.erase(shard);  // immediately: if the next shard cannot be written, only open shards may be left here
  }
}

void Keeper::for_open(const std::function<void(KeptShard&)>& body) {
  for (auto& [id, shard] : open_) body(shard);
}

}  // namespace moemill::mill
