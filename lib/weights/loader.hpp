// Walks over a model's tensors. This is the only place that knows their names, their shapes and which matrices they
// make. The walk measures a rank's memory, lists the tensors, and plans what is read and where it goes. Loader is a
// template over the layout, which decides how matrices lie in memory; files that instantiate it include loader.inl.
// Private to weights/.
//
// A layout L has:
//   L::Matrix            what a backend's kernels take: a view of k inputs and n outputs in memory of L::Matrix::Space
//   L::Place             a matrix that is being filled: {MatrixIndex index; Matrix matrix}
//   L::int8_inputs       successive inputs of a column that share a scale in int8
//   L::columns_step      where two tensors fill a matrix side by side, the second begins at a multiple of this number
//   L()                  a layout without memory, which only counts
//   with_memory(memory)  the same layout from the start, over that memory, all zero; somebody else owns it
//   take<T>(count)       Vector<T, L::Matrix::Space>, with that size even where it has no memory
//   take(k, n)           Place, a matrix in bf16
//   take(k, n, parts)    Place, a matrix whose columns are the parts' rows, kept in its stored format if L can
//   take_int8(k, n)      Place, a matrix that is rounded to int8 as it is filled, by whole L::int8_inputs
//   put(piece, values)   puts the values of a piece into memory; called by many threads for different pieces
//   bytes()              the memory taken so far
#pragma once

#include <array>
#include <string>

#include "model/config.hpp"
#include "model/placement.hpp"
#include "weights/node_experts.hpp"
#include "weights/plan_writer.hpp"
#include "weights/stored_matrix.hpp"
#include "weights/weights.hpp"

namespace moemill::model {

template <class Layout>
class Loader {
 public:
  using Matrix = typename Layout::Matrix;

  Loader(const ModelConfig& config, Layout& layout, const PlanWriter& plan)
      : config_(config), layout_(layout), plan_(plan) {}

  WeightsOf<Matrix> walk(const NodeShare& share);

 private:
  using Space = typename Matrix::Space;
  using Place = typename Layout::Place;
  using MlpWeights = MlpWeightsOf<Matrix>;
  using MlaWeights = MlaWeightsOf<Matrix>;
  using GqaWeights = GqaWeightsOf<Matrix>;
  using MoeWeights = MoeWeightsOf<Matrix>;

  LayerWeightsOf<Matrix> layer(const std::string& name, LayerId layer, const NodeShare& share);
  MlaWeights latent_attention(const std::string& name);
  void latent_to_heads(const std::string& name, MlaWeights& w);
  GqaWeights grouped_attention(const std::string& name);
  MoeWeights routed(const std::string& name, LayerId layer, const NodeShare& share);
  void exact_router(const std::string& name, MoeWeights& w);
  void experts(const std::string& name, LayerId layer, const NodeShare& share, MoeWeights& w);
  void fused_experts(const std::string& name, LayerId layer, const NodeShare& share, MoeWeights& w);
  void halved_experts(const std::string& name, LayerId layer, const NodeShare& share, MoeWeights& w);
  void expert_biases(std::uint64_t expert, std::uint32_t gate_up_bias, std::uint32_t down_bias, MlpWeights& w);
  template <class Load>
  void each_expert(LayerId layer, const NodeShare& share, MoeWeights& w, const Load& load);
  MlpWeights mlp(const std::string& name, std::uint32_t width, const std::array<std::string, 3>& parts);
  MlpWeights empty_mlp(std::uint32_t width, const std::array<StoredRows, 3>& parts, Place& gate_up, Place& down);
  Rows<const bf16, Space> embedding();

  // The rows of a tensor that is made of matrices [matrix_rows, in], as the files store them.
  StoredRows rows_of(const std::string& name, std::uint64_t matrix_rows, std::uint32_t in, std::uint64_t first_row,
                     std::uint64_t rows) const;
  // A matrix of a projection, an MLP or an expert, whose columns are the parts' rows. These are what the arithmetic
  // int8 rounds; router, head and the parts of kv_b stay bf16.
  Place take_product(std::uint32_t k, std::uint32_t n, std::span<const StoredRows> parts);
  // Inputs at which a matrix that take_product has taken may be cut.
  std::uint32_t product_inputs() const;
  // The product's matrix of the tensor NAME.weight [out, in].
  Matrix linear(const std::string& name, std::uint32_t in, std::uint32_t out);
  Matrix head();
  // The matrix of a place that the tensor NAME.weight fills.
  Matrix fill(const std::string& name, const Place& place, Content content);
  Vector<const float, Space> floats(const std::string& name, std::vector<std::uint64_t> shape, Content content);
  static Columns columns(const Place& place, std::uint32_t first, std::uint32_t count) {
    return {place.index, place.matrix.k, first, count};
  }

  const ModelConfig& config_;
  Layout& layout_;
  PlanWriter plan_;
  ModelPart experts_ = 0;  // of the node, taken so far
};

}  // namespace moemill::model
