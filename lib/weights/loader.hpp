// The walk over a model's tensors: names, shapes, places in memory and packing, each said once. It measures, makes the
// list of what is wanted, and with memory the plan of what is read where. Private to model/: load_weights,
// weight_bytes and check_model_files are this walk.
#pragma once

#include <initializer_list>
#include <string>

#include "weights/load_plan.hpp"
#include "weights/weights.hpp"

namespace moemill::model {

// Hands out 64-byte aligned pieces in order. Without memory it only counts.
class Arena {
 public:
  explicit Arena(std::byte* base) : base_(base) {}

  template <class T>
  T* take(std::uint64_t count) {
    std::uint64_t at = used_;
    used_ += (count * sizeof(T) + 63) / 64 * 64;
    return base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + at);
  }
  bool counts_only() const { return base_ == nullptr; }
  // Kernels may load whole vectors past the last value.
  std::uint64_t bytes() const { return used_ + 256; }

 private:
  std::byte* base_;
  std::uint64_t used_ = 0;
};

class Loader {
 public:
  // `memory` is zeroed, or null: then no pieces are planned. `plan` may be null: then it only measures.
  Loader(const ModelConfig& config, std::byte* memory, LoadPlan* plan) : c_(config), arena_(memory), plan_(plan) {}

  Weights walk(const Placement& placement, DomainRank rank);

 private:
  struct Room;  // a packed matrix that is being filled
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

  Room take(std::uint32_t in, std::uint32_t out);
  MlpWeights empty_mlp(std::uint32_t width, Room& gate_up, Room& down);
  // A tensor NAME.weight [out, in].
  cpu::Matrix linear(const std::string& name, std::uint32_t in, std::uint32_t out, Content content = Content::Matrix);
  const float* floats(const std::string& name, std::vector<std::uint64_t> shape, Content content);
  // Rows of a tensor that are outputs, from first_row on, dealt out in turn to `to` (gate and up may alternate).
  void outputs(std::uint32_t tensor, std::uint64_t first_row, std::initializer_list<Columns> to);
  // Rows that are inputs, whose values are outputs, likewise dealt out in turn.
  void inputs(std::uint32_t tensor, std::uint64_t first_row, std::initializer_list<Columns> to);
  void values(std::uint32_t tensor, std::uint64_t first, std::uint64_t step, std::uint64_t count, float* out);
  std::uint32_t want(std::string name, std::vector<std::uint64_t> shape, Content content, std::uint64_t inputs);
  bool planning() const { return plan_ != nullptr && !arena_.counts_only(); }

  const ModelConfig& c_;
  Arena arena_;
  LoadPlan* plan_;
  Holders holders_ = Holders::AllRanks;  // of the tensors that are walked over just now
};

}  // namespace moemill::model
