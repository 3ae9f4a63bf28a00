// The walk over a model's tensors: names, shapes, places in memory and packing, each said once. It measures, makes the
// list of what is wanted, and with memory the plan of what is read where. Private to weights/: load_weights,
// weight_bytes and check_model_files are this walk.
#pragma once

#include <initializer_list>
#include <string>

#include "weights/layout.hpp"
#include "weights/load_plan.hpp"
#include "weights/weights.hpp"

namespace moemill::model {

class Loader {
 public:
  // No pieces are planned while the layout only counts. `plan` may be null: then the walk only measures.
  Loader(const ModelConfig& config, CpuLayout& layout, LoadPlan* plan) : c_(config), layout_(layout), plan_(plan) {}

  Weights walk(const Placement& placement, DomainRank rank);

 private:
  using Place = CpuLayout::Place;  // of a matrix that is being filled
  struct Columns;
  LayerWeights block(const std::string& name, std::uint32_t layer, const Placement& placement, DomainRank rank);
  MlaWeights latent_attention(const std::string& name);
  void latent_to_heads(const std::string& name, MlaWeights& w);
  GqaWeights grouped_attention(const std::string& name);
  MoeWeights experts(const std::string& name, const LayerPlacement& placement, DomainRank rank);
  void fused_experts(const std::string& name, const LayerPlacement& placement, DomainRank rank, MoeWeights& w);
  void exact_router(const std::string& name, MoeWeights& w);
  void halved_experts(const std::string& name, const LayerPlacement& placement, DomainRank rank, MoeWeights& w);
  template <class Load>
  void for_each_slot(const LayerPlacement& placement, DomainRank rank, const Load& load);
  MlpWeights mlp(const std::string& name, std::uint32_t width, const std::array<std::string, 3>& parts);
  const bf16* embedding();

  // The rows of a tensor of matrices [.., in], as the files store them.
  StoredRows rows_of(const std::string& name, std::uint64_t matrix_rows, std::uint32_t in, std::uint64_t first_row,
                     std::uint64_t rows) const;
  MlpWeights empty_mlp(std::uint32_t width, const std::array<StoredRows, 3>& parts, Place& gate_up, Place& down);
  // A tensor NAME.weight [out, in].
  cpu::Matrix linear(const std::string& name, std::uint32_t in, std::uint32_t out, Content content = Content::Matrix);
  const float* floats(const std::string& name, std::vector<std::uint64_t> shape, Content content);
  // Rows of a tensor that are outputs, from first_row on, dealt out in turn to `to` (gate and up may alternate).
  void outputs(std::uint32_t tensor, std::uint64_t first_row, std::initializer_list<Columns> to);
  // Rows that are inputs, whose values are outputs, likewise dealt out in turn.
  void inputs(std::uint32_t tensor, std::uint64_t first_row, std::initializer_list<Columns> to);
  void values(std::uint32_t tensor, std::uint64_t first, std::uint64_t step, std::uint64_t count, float* out);
  std::uint32_t want(std::string name, std::vector<std::uint64_t> shape, Content content, std::uint64_t inputs);
  bool planning() const { return plan_ != nullptr && !layout_.counts_only(); }

  const ModelConfig& c_;
  CpuLayout& layout_;
  LoadPlan* plan_;
  Holders holders_ = Holders::AllRanks;  // of the tensors that are walked over just now
};

}  // namespace moemill::model
