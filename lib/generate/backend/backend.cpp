#include "generate/backend/backend.hpp"

#include "generate/backend/backends.hpp"

namespace moemill::mill {

std::unique_ptr<Backend> make_backend(const std::string& wanted, const model::ModelConfig& config, int threads) {
  if (wanted == "cuda") return make_cuda_backend(config);
  return make_cpu_backend(config, chosen_isa(), threads);
}

std::string backend_name(const std::string& wanted, Arithmetic arithmetic) {
  return wanted == "cuda" ? cuda_backend_name() : cpu_backend_name(arithmetic);
}

}  // namespace moemill::mill
