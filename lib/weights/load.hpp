// Loading a node's weights into a layout, from the model's files or from random numbers: by one rank alone, or by all
// ranks of a node into the memory that they share. Instantiated by one file per layout (weights/cpu/weights.cpp).
// Private to weights/.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "system/machine/threads.hpp"
#include "weights/carry_out.hpp"
#include "weights/load_request.hpp"
#include "weights/loader.inl"
#include "weights/tensor_list.hpp"

namespace moemill::model {

template <class Layout>
std::uint64_t measure(const ModelConfig& stored, const NodeShare& share, Layout counting = Layout()) {
  return Loader(stored, counting, PlanWriter(nullptr, nullptr)).walk(share).bytes;
}
// Of a rank alone.
template <class Layout>
std::uint64_t measure(const ModelConfig& stored, const Placement& placement, DomainRank rank,
                      Layout counting = Layout()) {
  const NodeExperts own(placement, rank);
  return measure(stored, {placement, rank, own, own}, counting);
}

// The digest of what the rank holds, once all ranks of its node have read.
inline WeightsDigest digest_of(const NodeShare& share, LoadBoard& board) {
  WeightsDigest digest;
  digest.add({}, board.sum(replicated_part));
  ModelPart part = replicated_part;
  for (std::uint32_t l = 0; l < share.placement.layers(); ++l) {
    const LayerId layer{static_cast<std::int32_t>(l)};
    for (const GlobalExpert expert : share.node.layer(layer)) {
      ++part;
      const std::span<const Holder> holders = share.placement.layer(layer).holders(expert);
      if (holders.front().rank == share.rank) {
        digest.add({Readers::Who::FirstHolder, static_cast<std::uint32_t>(holders.size() - 1)}, board.sum(part));
      } else if (std::any_of(holders.begin(), holders.end(), [&](const Holder& h) { return h.rank == share.rank; })) {
        digest.add({Readers::Who::LaterHolder}, board.sum(part));
      }
    }
  }
  return digest;
}

// A load in two steps: first what may be wrong with the files and how much memory it takes, then the work itself.
template <class Layout>
class LoadOf {
 public:
  using Weights = WeightsOf<typename Layout::Matrix>;

  LoadOf(LoadRequest request, const Layout& layout);

  // Of the memory to load into: the weights of the node and the board behind them.
  std::uint64_t memory_bytes() const { return board_offset() + LoadBoard::bytes(1 + request_.node.count()); }
  // A number that ranks of a node which read the same files have in common.
  std::uint64_t source() const {
    std::uint64_t all = 0;
    if (files_)
      for (const MappedFile& file : files_->files()) all = all * 31 + file.identity();
    return all;
  }
  // Called by all ranks that have this memory; returns when it is complete. If it throws on one of them, the others
  // return early with weights that nobody may use. Afterwards the memory is read-only.
  Weights carry_out(NodeMemory memory, ThreadTeam& team, const std::function<void()>& between);

 private:
  std::uint64_t board_offset() const { return round_up(bytes_, std::uint64_t{64}); }
  Weights fill(const NodeMemory& memory, LoadBoard& board, ThreadTeam& team, const std::function<void()>& between);

  LoadRequest request_;
  Layout layout_;                    // without memory
  std::optional<ModelFiles> files_;  // none: random weights
  ModelConfig stored_;
  std::uint64_t bytes_ = 0;
};

template <class Layout>
LoadOf<Layout>::LoadOf(LoadRequest request, const Layout& layout)
    : request_(std::move(request)), layout_(layout), stored_(config_without_files(request_.config)) {
  if (parse_load_format(request_.load_format) == LoadFormat::Files) {
    files_.emplace(request_.dir);
    stored_ = config_in_files(request_.config, *files_);
    FileSource(*files_, all_tensors(stored_), stored_.quantization);  // every rank finds the same faults
  }
  bytes_ = measure(stored_, request_.share(), layout_);
}

template <class Layout>
auto LoadOf<Layout>::carry_out(NodeMemory memory, ThreadTeam& team, const std::function<void()>& between) -> Weights {
  expect(memory.size() >= memory_bytes(), "weights: the memory is as large as they are");
  LoadBoard& board = *reinterpret_cast<LoadBoard*>(memory.data() + board_offset());
  const auto ranks = static_cast<std::uint32_t>(memory.mates().size());
  Weights weights;
  try {
    make_blocks(memory, board, team, between);
    arrive(board.paged);
    wait_for(board.paged, ranks, memory.mates());
    weights = fill(memory, board, team, between);
    arrive(board.loaded);
    wait_for(board.loaded, ranks, memory.mates());
  } catch (...) {
    board.failed = 1;
    arrive(board.paged, ranks), arrive(board.loaded, ranks);
    throw;
  }
  if (files_) weights.digest = digest_of(request_.share(), board);
  weights.huge_bytes = board.huge_blocks * NodeMemory::block_bytes;
  memory.protect();
  weights.storage = std::make_shared<const NodeMemory>(std::move(memory));
  return weights;
}

template <class Layout>
auto LoadOf<Layout>::fill(const NodeMemory& memory, LoadBoard& board, ThreadTeam& team,
                          const std::function<void()>& between) -> Weights {
  Layout layout = layout_.with_memory(memory.data());
  LoadPlan plan;
  Weights weights = Loader(stored_, layout, PlanWriter(&plan.tensors, &plan.pieces)).walk(request_.share());
  expect(weights.bytes == bytes_, "loader: the measuring and the loading walk agree");
  const std::size_t ranks = memory.mates().size();
  if (files_) {
    const FileSource source(*files_, plan.tensors, stored_.quantization);
    source.sort(plan.pieces);
    carry_out_plan(plan, layout, source, board, team, ranks, request_.announce, between);
  } else {
    carry_out_plan(plan, layout, DummySource(plan.tensors), board, team, ranks, request_.announce, between);
  }
  return weights;
}

// A rank's own weights, in private memory.
template <class Layout>
auto load(LoadRequest request, const Layout& layout, ThreadTeam& team, const std::function<void()>& between) {
  LoadOf<Layout> load(std::move(request), layout);
  return load.carry_out(NodeMemory(load.memory_bytes(), "the model's weights"), team, between);
}

}  // namespace moemill::model
