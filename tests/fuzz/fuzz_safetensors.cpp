// Any bytes as a safetensors file: refused with a UserError, or tensors that lie inside it, back to back.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.hpp"
#include "model/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    std::uint64_t held = 0;
    for (const auto& tensor : moemill::model::parse_safetensors("fuzz", bytes)) {
      moemill::expect(tensor.offset <= size && tensor.length <= size - tensor.offset, "tensor lies inside the file");
      held += tensor.length;
    }
    moemill::expect(held <= size, "tensors do not overlap");
  } catch (const moemill::UserError&) {
  }
  return 0;
}
