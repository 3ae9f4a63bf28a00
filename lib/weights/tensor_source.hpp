// Where the loader's tensors come from: the model's files, or random numbers. Both answer the same questions, so
// carrying out a plan is written once. Private to weights/.
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

// One thread's buffers, and what it has read.
struct ReadBuffers {
  WeightsDigest read;
  Holders holders = Holders::AllRanks;  // of the piece that is read
  bool is_copy = false;                 // likewise; copies are not in the digest
  Buffer<std::byte> stored;
  Buffer<bf16> decoded;
  Buffer<float> scales;
  Buffer<float> floats;
};

// A source has, for pieces of its plan,
//   rows(piece, buffers): the rows, valid until the buffers are used again;
//   floats(tensor, first, count, out): values of a vector, exact in fp32;
//   bytes(piece): what reading it costs;
//   read_ahead(piece): a hint that it will be wanted soon.
// Any number of threads at a time.

class FileSource {
 public:
  // Finds and checks every tensor of the plan. UserError naming file and tensor for the first that is missing, or that
  // has another shape or a dtype that is not read.
  FileSource(const ModelFiles& files, const LoadPlan& plan, const Quantization& quantization);

  ReadRows rows(const RowsPiece& piece, ReadBuffers& buffers) const;
  void floats(std::uint32_t tensor, std::uint64_t first, std::uint64_t count, float* out, ReadBuffers& buffers) const;
  std::uint64_t bytes(const Piece& piece) const;
  void read_ahead(const Piece& piece) const;
  // Where its bytes begin, for reading in the order of the files: (file, offset).
  std::pair<std::uint32_t, std::uint64_t> position(const Piece& piece) const;

  // What was rounded, tensors that nobody asked for (rotary tables and spare layers excepted), more layers than that.
  // For a plan that wants every tensor of the model.
  std::vector<std::string> warnings(const ModelConfig& config) const;

 private:
  enum class Storage { Plain, Fp8, Mxfp4 };
  struct Tensor {
    Storage storage = Storage::Plain;
    Plain dtype = Plain::Bf16;         // of values, or of Fp8's scales
    const TensorInfo* data = nullptr;  // values, codes or blocks
    const TensorInfo* scales = nullptr;
    Content content = Content::Matrix;
    ScaleGrid grid;  // Fp8
  };
  struct Range {  // of a file
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
  const std::byte* read(const TensorInfo& tensor, std::uint64_t offset, std::uint64_t length,
                        ReadBuffers& buffers) const;

  const ModelFiles& files_;
  Quantization quantization_;
  std::vector<Tensor> tensors_;  // parallel to LoadPlan::tensors
};

class DummySource {
 public:
  explicit DummySource(const LoadPlan& plan) : plan_(plan) {}

  ReadRows rows(const RowsPiece& piece, ReadBuffers& buffers) const;
  void floats(std::uint32_t tensor, std::uint64_t first, std::uint64_t count, float* out, ReadBuffers& buffers) const;
  std::uint64_t bytes(const Piece& piece) const;
  void read_ahead(const Piece&) const {}

 private:
  const LoadPlan& plan_;
};

}  // namespace moemill::model
