// Stands in for the CUDA backend in a program that is built without it.
#include "base/error.hpp"
#include "generate/backend/backends.hpp"

namespace moemill::mill {

namespace {

[[noreturn]] void refuse() {
  user_error(
      "runtime.backend: cuda: this moemill is built without CUDA; write cpu or auto, or use a build that has it");
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const model::ModelConfig&) { refuse(); }
std::string cuda_backend_name() { refuse(); }

}  // namespace moemill::mill
