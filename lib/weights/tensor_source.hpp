// Where the values of tensors come from: the model's files, or random numbers. Both have the same functions, so that
// carry_out is written once. Private to weights/.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/buffer.hpp"
#include "model/config.hpp"
#include "weights/files/decode.hpp"
#include "weights/files/fp8_scales.hpp"
#include "weights/files/safetensors.hpp"
#include "weights/load_plan.hpp"
#include "weights/weights_digest.hpp"

namespace moemill::model {

// One thread's buffers, and the sum over the bytes of the current piece.
struct ReadBuffers {
  ByteSum sum;
  Buffer<std::byte> stored;
  Buffer<bf16> decoded;
  Buffer<float> scales;
  Buffer<float> floats;
};

// A source has these functions, which any number of threads may call at a time:
//   rows(piece, buffers): the rows, valid until the buffers are used again
//   floats(tensor, first, count, out, buffers): values of a vector, exact in fp32
//   bytes(piece): the number of bytes to read
//   read_ahead(piece): a hint that the piece will be read soon

class FileSource {
 public:
  // Finds and checks every tensor. UserError naming file and tensor for the first that is missing, or that has a
  // different shape or an unsupported dtype.
  FileSource(const ModelFiles& files, const std::vector<WantedTensor>& tensors, const Quantization& quantization);

  ReadRows rows(const RowsPiece& piece, ReadBuffers& buffers) const;
  void floats(std::uint32_t tensor, std::uint64_t first, std::uint64_t count, float* out, ReadBuffers& buffers) const;
  std::uint64_t bytes(const Piece& piece) const;
  void read_ahead(const Piece& piece) const;
  // Sorts pieces by file and offset, so that a disk reads forward.
  void sort(std::vector<Piece>& pieces) const;

  // What a user should know: matrices that are rounded, tensors of the files that are not used (rotary tables and spare
  // layers are not reported), more layers than config.json has. Right only if the source has all tensors of the model.
  std::vector<std::string> warnings(const ModelConfig& config) const;

 private:
  enum class Storage { Plain, Fp8, Mxfp4 };
  struct Tensor {
    Storage storage = Storage::Plain;
    Plain dtype = Plain::Bf16;         // of the values; Fp8: of the scales
    const TensorInfo* data = nullptr;  // values, codes or blocks of codes
    const TensorInfo* scales = nullptr;
    Content content = Content::Matrix;
    ScaleGrid grid;  // Fp8
  };
  // Bytes of a file.
  struct Range {
    std::uint64_t offset, length;
  };
  Tensor resolve(const WantedTensor& wanted) const;
  Tensor resolve_fp8(const WantedTensor& wanted, const TensorInfo& data) const;
  Tensor resolve_mxfp4(const WantedTensor& wanted) const;
  const TensorInfo& find(const std::string& name, const std::vector<std::uint64_t>& shape) const;
  Range range(const Piece& piece) const;
  const bf16* exact_rows(const Tensor& t, const RowsPiece& piece, ReadBuffers& buffers) const;
  ReadRows fp8_rows(const Tensor& t, const RowsPiece& piece, ReadBuffers& buffers) const;
  ReadRows mxfp4_rows(const Tensor& t, const RowsPiece& piece, ReadBuffers& buffers) const;
  void warn_of_rounding(std::vector<std::string>& lines) const;
  void warn_of_unused(const ModelConfig& config, std::vector<std::string>& lines) const;
  const std::byte* read(const TensorInfo& tensor, std::uint64_t offset, std::uint64_t length,
                        ReadBuffers& buffers) const;

  const ModelFiles& files_;
  Quantization quantization_;
  std::vector<Tensor> tensors_;  // in the order of the wanted tensors
};

class DummySource {
 public:
  // `tensors` must outlive the source.
  explicit DummySource(const std::vector<WantedTensor>& tensors) : tensors_(tensors) {}

  ReadRows rows(const RowsPiece& piece, ReadBuffers& buffers) const;
  void floats(std::uint32_t tensor, std::uint64_t first, std::uint64_t count, float* out, ReadBuffers& buffers) const;
  std::uint64_t bytes(const Piece& piece) const;
  void read_ahead(const Piece&) const {}

 private:
  const std::vector<WantedTensor>& tensors_;
};

}  // namespace moemill::model
