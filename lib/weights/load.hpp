// Loading a rank's weights into a layout, from the model's files or from random numbers. Instantiated by one file per
// layout (weights/cpu/weights.cpp). Private to weights/.
#pragma once

#include <functional>
#include <string>

#include "base/error.hpp"
#include "system/machine/threads.hpp"
#include "weights/carry_out.hpp"
#include "weights/loader.inl"
#include "weights/tensor_list.hpp"

namespace moemill::model {

// What a rank loads.
struct LoadRequest {
  const std::string& dir;
  const ModelConfig& config;  // as read_config returns it
  const Placement& placement;
  DomainRank rank;
  const std::string& load_format;
};

// The rank's weights with their memory still empty, the plan to fill it, and the layout that knows where pieces go.
template <class Layout>
struct EmptyWeights {
  WeightsOf<typename Layout::Matrix> weights;
  LoadPlan plan;
  Layout layout;
};

template <class Layout>
std::uint64_t measure(const ModelConfig& stored, const Placement& placement, DomainRank rank,
                      Layout counting = Layout()) {
  return Loader(stored, counting, PlanWriter(nullptr, nullptr)).walk(placement, rank).bytes;
}

// `layout` has no memory yet.
template <class Layout>
EmptyWeights<Layout> lay_out(const ModelConfig& stored, const LoadRequest& request, const Layout& layout) {
  const std::uint64_t bytes = measure(stored, request.placement, request.rank, layout);
  EmptyWeights<Layout> out{{}, {}, layout.with_memory(bytes)};
  PlanWriter writer(&out.plan.tensors, &out.plan.pieces);
  out.weights = Loader(stored, out.layout, writer).walk(request.placement, request.rank);
  expect(out.weights.bytes == bytes, "loader: the measuring and the loading walk agree");
  return out;
}

template <class Layout>
WeightsOf<typename Layout::Matrix> load(const LoadRequest& request, const Layout& layout, ThreadTeam& team,
                                        const std::function<void()>& between) {
  const Announce announce = request.rank.value == 0 ? Announce::Progress : Announce::Nothing;
  if (parse_load_format(request.load_format) == LoadFormat::Dummy) {
    EmptyWeights<Layout> empty = lay_out(config_without_files(request.config), request, layout);
    carry_out(empty.plan, empty.layout, DummySource(empty.plan.tensors), team, announce, between);
    return std::move(empty.weights);
  }
  const ModelFiles files(request.dir);
  const ModelConfig stored = config_in_files(request.config, files);
  FileSource(files, all_tensors(stored), stored.quantization);  // every rank finds the same faults
  EmptyWeights<Layout> empty = lay_out(stored, request, layout);
  const FileSource source(files, empty.plan.tensors, stored.quantization);
  source.sort(empty.plan.pieces);
  empty.weights.digest = carry_out(empty.plan, empty.layout, source, team, announce, between);
  return std::move(empty.weights);
}

}  // namespace moemill::model
