// Strong ids: a global and a local expert, or a rank of the world and a rank of a domain, cannot be mixed up.
#pragma once

#include <compare>
#include <cstdint>

namespace moemill {

template <class Tag, class Rep = std::int32_t>
struct Id {
  Rep value{};
  friend auto operator<=>(Id, Id) = default;
};

using LayerId = Id<struct LayerTag>;
using GlobalExpert = Id<struct GlobalExpertTag>;  // 0 .. experts-1 in a layer of the model
using LocalExpert = Id<struct LocalExpertTag>;    // slot of an expert on a rank that holds it
using WorldRank = Id<struct WorldRankTag>;        // rank within the whole job
using DomainRank = Id<struct DomainRankTag>;      // rank within an expert domain
using ShardId = Id<struct ShardTag>;              // 0 .. shards-1; a shard is a fixed range of prompts
using PageId = Id<struct PageTag>;                // KV page on this rank
using SlotId = Id<struct SlotTag>;                // place of a running sequence on this rank
using TokenId = std::int32_t;  // a plain integer, because it is stored, exchanged and used as an index everywhere

}  // namespace moemill
