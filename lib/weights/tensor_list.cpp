#include "weights/tensor_list.hpp"

#include <span>

#include "base/error.hpp"
#include "weights/files/stored_form.hpp"
#include "weights/loader.inl"

namespace moemill::model {

namespace {

// A layout without memory: a walk over it only lists tensors.
struct NoLayout {
  struct Matrix {
    using Space = Host;
    std::uint32_t k = 0, n = 0;
  };
  struct Place {
    MatrixIndex index = 0;
    Matrix matrix;
  };
  static constexpr std::uint32_t columns_step = 1, int8_inputs = piece_columns;

  template <class T>
  Vector<T> take(std::uint64_t count) {
    return {nullptr, count};
  }
  Place take(std::uint32_t k, std::uint32_t n) { return {0, {k, n}}; }
  Place take(std::uint32_t k, std::uint32_t n, std::span<const StoredRows>) { return take(k, n); }
  Place take_int8(std::uint32_t k, std::uint32_t n) { return take(k, n); }
  std::uint64_t bytes() const { return 0; }
};

}  // namespace

LoadFormat parse_load_format(const std::string& load_format) {
  if (load_format == "auto") return LoadFormat::Files;
  if (load_format == "dummy") return LoadFormat::Dummy;
  user_error("model.load_format is \"{}\", but must be auto or dummy", load_format);
}

ModelConfig config_in_files(const ModelConfig& config, const ModelFiles& files) {
  ModelConfig stored = as_stored(config, files);
  find_exceptions(stored, files, all_tensors(stored));
  return stored;
}

ModelConfig config_without_files(ModelConfig config) {
  config.quantization.keep = false;
  return config;
}

std::vector<WantedTensor> all_tensors(const ModelConfig& config) {
  std::vector<WantedTensor> tensors;
  NoLayout none;
  const Placement all = contiguous_slices(config, 1);
  const NodeExperts experts(all, {0});
  Loader(config, none, PlanWriter(&tensors, nullptr)).walk({all, {0}, experts, experts});
  return tensors;
}

}  // namespace moemill::model
