#include "weights/tensor_source.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <type_traits>

#include "base/error.hpp"
#include "base/numbers/small_floats.hpp"
#include "weights/dummy.hpp"
#include "weights/files/fp8_scales.hpp"

namespace moemill::model {

namespace {

std::optional<Plain> plain_dtype(const std::string& dtype) {
  if (dtype == "BF16") return Plain::Bf16;
  if (dtype == "F16") return Plain::F16;
  if (dtype == "F32") return Plain::F32;
  return std::nullopt;
}

bool is_matrix(Content content) {
  return content == Content::Matrix || content == Content::Router || content == Content::ExactRouter ||
         content == Content::Mxfp4;
}

// N of a name that begins with "<body>layers.N."
std::optional<std::uint32_t> layer_of(std::string_view name, const std::string& body) {
  const std::string prefix = body + "layers.";
  if (!name.starts_with(prefix)) return std::nullopt;
  std::uint32_t layer = 0;
  auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), layer);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return layer;
}

// Whether the tensor scales activations or the KV cache, which are not rounded to FP8 here.
bool is_activation_scale(std::string_view name) {
  constexpr std::string_view endings[] = {".input_scale", ".output_scale", ".q_scale",          ".k_scale",
                                          ".v_scale",     ".kv_scale",     "_activation_scale", ".act_scale"};
  return std::any_of(std::begin(endings), std::end(endings), [&](auto ending) { return name.ends_with(ending); });
}

// Names of tensors at the same place. They show what the files have instead: fused experts, packed integers.
std::vector<std::string> names_beside(const ModelFiles& files, std::string_view name) {
  std::vector<std::string> names;
  for (std::size_t dot = name.rfind('.'); names.empty() && dot != std::string_view::npos && dot > 0;
       dot = name.rfind('.', dot - 1)) {
    const std::string_view place = name.substr(0, dot + 1);
    if (place.ends_with("layers.") || place == "model.") break;
    for (const TensorInfo& t : files.tensors()) {
      if (t.name.starts_with(place)) names.push_back(t.name);
    }
  }
  return names;
}

[[noreturn]] void refuse_missing(const ModelFiles& files, const std::string& name,
                                 const std::vector<std::uint64_t>& shape) {
  const std::string reason = files.why_missing(name);
  if (!reason.empty()) {
    user_error("{}: no tensor {} {}, which config.json calls for: {}", files.origin(), name, shape_text(shape), reason);
  }
  const std::vector<std::string> beside = names_beside(files, name);
  user_error(
      "{}: no tensor {} {}, which config.json calls for{} (are config.json and weights of one model, and the weights "
      "as "
      "published, or as transformers' save_pretrained writes them?)",
      files.origin(), name, shape_text(shape),
      beside.empty() ? "" : fmt::format("; there are {}", first_names(beside)));
}

}  // namespace

FileSource::FileSource(const ModelFiles& files, const std::vector<WantedTensor>& tensors,
                       const Quantization& quantization)
    : files_(files), quantization_(quantization) {
  tensors_.reserve(tensors.size());
  for (const WantedTensor& wanted : tensors) {
    tensors_.push_back(wanted.content == Content::Mxfp4 ? resolve_mxfp4(wanted) : resolve(wanted));
  }
}

const TensorInfo& FileSource::find(const std::string& name, const std::vector<std::uint64_t>& shape) const {
  const TensorInfo* found = files_.find(name);
  if (found == nullptr) refuse_missing(files_, name, shape);
  if (found->shape != shape) {
    user_error("{}: has shape {}, but config.json calls for {}", files_.place(*found), shape_text(found->shape),
               shape_text(shape));
  }
  return *found;
}

FileSource::Tensor FileSource::resolve(const WantedTensor& wanted) const {
  const TensorInfo& data = find(wanted.name, wanted.shape);
  if (auto plain = plain_dtype(data.dtype)) return {Storage::Plain, *plain, &data, nullptr, wanted.content, {}};
  if (data.dtype != "F8_E4M3" || !is_matrix(wanted.content)) {
    user_error("{}: has dtype {}; BF16, F16 and F32 are supported{}", files_.place(data), data.dtype,
               is_matrix(wanted.content) ? ", and F8_E4M3 with scales" : "");
  }
  if (quantization_.format != WeightFormat::Fp8) {
    user_error(
        "{}: has dtype F8_E4M3, but config.json has no quantization_config of quant_method fp8, fbgemm_fp8 or "
        "compressed-tensors, which says what its scales mean",
        files_.place(data));
  }
  return resolve_fp8(wanted, data);
}

// Under both names the scales are factors of the codes.
FileSource::Tensor FileSource::resolve_fp8(const WantedTensor& wanted, const TensorInfo& data) const {
  const TensorInfo* scales = files_.find(wanted.name + "_scale_inv");
  if (scales == nullptr) scales = files_.find(wanted.name + "_scale");
  const std::string accepted = scale_shapes(wanted.shape, quantization_);
  if (scales == nullptr) {
    user_error("{}: no tensor {}_scale_inv, nor {}_scale, of shape {}, which the FP8 matrix of that name needs",
               files_.origin(), wanted.name, wanted.name, accepted);
  }
  const auto grid = scale_grid(wanted.shape, scales->shape, quantization_);
  if (!grid) {
    user_error("{}: has shape {}, but config.json calls for {}", files_.place(*scales), shape_text(scales->shape),
               accepted);
  }
  const auto dtype = plain_dtype(scales->dtype);
  if (!dtype) {
    user_error("{}: has dtype {}; scales are read in F32, BF16 and F16", files_.place(*scales), scales->dtype);
  }
  return {Storage::Fp8, *dtype, &data, scales, wanted.content, *grid};
}

FileSource::Tensor FileSource::resolve_mxfp4(const WantedTensor& wanted) const {
  std::vector<std::uint64_t> blocks = wanted.shape;
  expect(blocks.back() % mxfp4_block == 0, "loader: the config has only widths of whole MXFP4 blocks");
  blocks.back() /= mxfp4_block;
  const std::vector<std::uint64_t> scales_shape = blocks;
  blocks.push_back(mxfp4_block_bytes);
  const TensorInfo& data = find(wanted.name + "_blocks", blocks);
  const TensorInfo& scales = find(wanted.name + "_scales", scales_shape);
  for (const TensorInfo* t : {&data, &scales}) {
    if (t->dtype != "U8") user_error("{}: has dtype {}; MXFP4 is stored as U8", files_.place(*t), t->dtype);
  }
  return {Storage::Mxfp4, Plain::Bf16, &data, &scales, wanted.content, {}};
}

FileSource::Range FileSource::range(const Piece& piece) const {
  const Tensor& t = tensors_[tensor_of(piece)];
  if (const auto* floats = std::get_if<FloatsPiece>(&piece)) {
    const std::uint64_t size = bytes_of(t.dtype);
    return {t.data->offset + floats->first * size, ((floats->count - 1) * floats->step + 1) * size};
  }
  const auto& rows = std::get<RowsPiece>(piece);
  auto bytes = [&](std::uint64_t values) {
    switch (t.storage) {
      case Storage::Plain: return values * bytes_of(t.dtype);
      case Storage::Fp8: return values;
      case Storage::Mxfp4: break;
    }
    return values / mxfp4_block * mxfp4_block_bytes;
  };
  return {t.data->offset + bytes(rows.first_row * rows.columns), bytes(rows.rows * rows.columns)};
}

std::uint64_t FileSource::bytes(const Piece& piece) const { return range(piece).length; }

void FileSource::read_ahead(const Piece& piece) const {
  const Range r = range(piece);
  files_.file(*tensors_[tensor_of(piece)].data).read_ahead(r.offset, r.length);
}

void FileSource::sort(std::vector<Piece>& pieces) const {
  using Position = std::pair<std::uint32_t, std::uint64_t>;  // file and offset
  std::vector<std::pair<Position, std::size_t>> order;
  order.reserve(pieces.size());
  for (const Piece& piece : pieces) {
    order.emplace_back(Position{tensors_[tensor_of(piece)].data->file, range(piece).offset}, order.size());
  }
  std::sort(order.begin(), order.end());
  std::vector<Piece> sorted;
  sorted.reserve(order.size());
  for (const auto& [position, index] : order) sorted.push_back(pieces[index]);
  pieces = std::move(sorted);
}

const std::byte* FileSource::read(const TensorInfo& tensor, std::uint64_t offset, std::uint64_t length,
                                  ReadBuffers& buffers) const {
  expect(offset <= tensor.length && length <= tensor.length - offset, "loader: a piece lies inside its tensor");
  std::byte* out = buffers.stored.reserve(length);
  files_.file(tensor).read(tensor.offset + offset, {out, length});
  buffers.sum.add(tensor.name, offset, {out, length});
  return out;
}

ReadRows FileSource::rows(const RowsPiece& piece, ReadBuffers& buffers) const {
  const Tensor& t = tensors_[piece.tensor];
  if (t.content == Content::ExactRouter) return {exact_rows(t, piece, buffers)};
  if (t.storage == Storage::Fp8) return fp8_rows(t, piece, buffers);
  if (t.storage == Storage::Mxfp4) return mxfp4_rows(t, piece, buffers);
  const std::uint64_t size = bytes_of(t.dtype), count = piece.rows * piece.columns;
  const std::byte* stored = read(*t.data, piece.first_row * piece.columns * size, count * size, buffers);
  const bf16* values = reinterpret_cast<const bf16*>(stored);
  if (t.dtype != Plain::Bf16) {
    bf16* out = buffers.decoded.reserve(count);
    decode_plain(t.dtype, stored, count, out);
    values = out;
  }
  if (!all_finite(values, count)) {
    user_error("{}: holds NaN, or values beyond bfloat16's range; the file is damaged, download it again",
               files_.place(*t.data));
  }
  return {values};
}

// The three parts of the rows, one behind the other.
const bf16* FileSource::exact_rows(const Tensor& t, const RowsPiece& piece, ReadBuffers& buffers) const {
  const std::uint64_t count = piece.rows * piece.columns;
  float* values = buffers.floats.reserve(count);
  if (t.storage == Storage::Fp8) {
    const bf16* rounded = fp8_rows(t, piece, buffers).values;
    std::transform(rounded, rounded + count, values, [](bf16 x) { return to_float(x); });
  } else {
    const std::uint64_t size = bytes_of(t.dtype);
    decode_plain(t.dtype, read(*t.data, piece.first_row * piece.columns * size, count * size, buffers), count, values);
  }
  bf16* out = buffers.decoded.reserve(3 * count);
  split_floats(values, count, out);
  if (!all_finite(out, count)) {
    user_error("{}: holds NaN, or values beyond bfloat16's range; the file is damaged, download it again",
               files_.place(*t.data));
  }
  return out;
}

ReadRows FileSource::fp8_rows(const Tensor& t, const RowsPiece& piece, ReadBuffers& buffers) const {
  const ScaleGrid& grid = t.grid;
  const std::uint64_t group = piece.first_row / grid.group_rows, first_row = piece.first_row % grid.group_rows;
  expect(first_row + piece.rows <= grid.group_rows, "loader: a piece lies inside one matrix of a fused tensor");
  const std::uint64_t size = bytes_of(t.dtype);
  const std::uint64_t width = (piece.columns + grid.block_columns - 1) / grid.block_columns;
  const std::uint64_t first = first_row / grid.block_rows, last = (first_row + piece.rows - 1) / grid.block_rows;
  const std::uint64_t count = (last + 1 - first) * width, at = (group * grid.group_scales + first) * width;
  float* scales = buffers.scales.reserve(count);
  decode_plain(t.dtype, read(*t.scales, at * size, count * size, buffers), count, scales);
  if (!std::all_of(scales, scales + count, [](float s) { return std::isfinite(s); })) {
    user_error("{}: holds a scale that is not a finite number; the file is damaged, download it again",
               files_.place(*t.scales));
  }
  const std::uint64_t values = piece.rows * piece.columns;
  const std::byte* codes = read(*t.data, piece.first_row * piece.columns, values, buffers);
  bf16* out = buffers.decoded.reserve(values);
  decode_fp8({codes, first_row, piece.rows, piece.columns, scales, grid.block_rows, grid.block_columns}, out);
  if (!all_finite(out, values)) {
    user_error(
        "{}: holds NaN (code 0x7f or 0xff), or values beyond bfloat16's range; the file is damaged, download it again",
        files_.place(*t.data));
  }
  return {out, codes, scales, width, first_row, grid.block_rows};
}

ReadRows FileSource::mxfp4_rows(const Tensor& t, const RowsPiece& piece, ReadBuffers& buffers) const {
  const std::uint64_t blocks = piece.rows * piece.columns / mxfp4_block;
  const std::uint64_t first = piece.first_row * piece.columns / mxfp4_block;
  const std::uint64_t scale_floats = (blocks + sizeof(float) - 1) / sizeof(float);
  auto* scales = reinterpret_cast<std::byte*>(buffers.scales.reserve(scale_floats));
  std::copy_n(read(*t.scales, first, blocks, buffers), blocks, scales);
  bf16* out = buffers.decoded.reserve(blocks * mxfp4_block);
  const std::byte* codes = read(*t.data, first * mxfp4_block_bytes, blocks * mxfp4_block_bytes, buffers);
  decode_mxfp4(codes, scales, blocks, out);
  if (!all_finite(out, blocks * mxfp4_block)) {
    user_error("{}: holds NaN (scale 255), or values beyond bfloat16's range; the file is damaged, download it again",
               files_.place(*t.scales));
  }
  return {out, codes, scales};
}

void FileSource::floats(std::uint32_t tensor, std::uint64_t first, std::uint64_t count, float* out,
                        ReadBuffers& buffers) const {
  const Tensor& t = tensors_[tensor];
  const std::uint64_t size = bytes_of(t.dtype);
  decode_plain(t.dtype, read(*t.data, first * size, count * size, buffers), count, out);
  if (!std::all_of(out, out + count, [](float v) { return std::isfinite(v); })) {
    user_error("{}: holds a value that is not a finite number; the file is damaged, download it again",
               files_.place(*t.data));
  }
}

void FileSource::warn_of_rounding(std::vector<std::string>& lines) const {
  std::vector<std::string> rounded, coarse;
  for (const Tensor& t : tensors_) {
    const bool is_rounded = is_matrix(t.content) && t.content != Content::ExactRouter;
    if (t.storage == Storage::Plain && is_rounded && t.dtype != Plain::Bf16) {
      rounded.push_back(t.data->name);
    } else if (t.content == Content::SelectionBias && t.dtype != Plain::F32) {
      coarse.push_back(t.data->name);
    }
  }
  if (!rounded.empty()) {
    lines.push_back(fmt::format("{} matrices are stored in F32 or F16 and were rounded to bfloat16: {}", rounded.size(),
                                first_names(rounded)));
  }
  if (!coarse.empty()) {
    lines.push_back(
        fmt::format("selection biases are published in F32 but stored in less here, which can change expert picks: {}",
                    first_names(coarse)));
  }
}

void FileSource::warn_of_unused(const ModelConfig& config, std::vector<std::string>& lines) const {
  std::unordered_set<const TensorInfo*> used;
  for (const Tensor& t : tensors_) used.insert({t.data, t.scales});
  std::vector<std::string> unexpected, activations;
  std::uint32_t stored_layers = 0;  // used or not
  for (const TensorInfo& t : files_.tensors()) {
    const auto layer = layer_of(t.name, config.names.body);
    if (layer) stored_layers = std::max(stored_layers, *layer + 1);
    const bool known = (layer && *layer >= config.layers) || t.name.ends_with("rotary_emb.inv_freq");
    if (known || used.contains(&t)) continue;
    const bool activation = quantization_.format == WeightFormat::Fp8 && is_activation_scale(t.name);
    (activation ? activations : unexpected).push_back(t.name);
  }
  if (stored_layers > config.layers + config.spare_layers) {
    lines.push_back(fmt::format(
        "the weights have {} layers, but config.json has num_hidden_layers {}: the others were not used (are "
        "config.json and weights of one model?)",
        stored_layers, config.layers));
  }
  if (!activations.empty()) {
    lines.push_back(fmt::format(
        "{} scales of activations or of the KV cache were not used, as these are not rounded to FP8 here: {}",
        activations.size(), first_names(activations)));
  }
  if (!unexpected.empty()) {
    lines.push_back(fmt::format("{} tensors belong to no part of this model and were not used: {}", unexpected.size(),
                                first_names(unexpected)));
  }
}

std::vector<std::string> FileSource::warnings(const ModelConfig& config) const {
  std::vector<std::string> lines = files_.index_faults();
  warn_of_rounding(lines);
  warn_of_unused(config, lines);
  return lines;
}

ReadRows DummySource::rows(const RowsPiece& piece, ReadBuffers& buffers) const {
  const WantedTensor& t = tensors_[piece.tensor];
  const std::uint64_t count = piece.rows * piece.columns;
  bf16* out = buffers.decoded.reserve(count);
  // A row of deviation 1 keeps its size through a matrix of deviation 1 / sqrt(inputs).
  const float deviation = 1.0f / std::sqrt(static_cast<float>(t.inputs));
  dummy_values(t.name, piece.first_row * piece.columns, count, deviation, out);
  return {out};
}

void DummySource::floats(std::uint32_t tensor, std::uint64_t first, std::uint64_t count, float* out,
                         ReadBuffers&) const {
  const WantedTensor& t = tensors_[tensor];
  switch (t.content) {
    case Content::Norm: std::fill_n(out, count, 1.0f); break;
    // Small beside scores in 0..1 and logits of deviation 1, so that experts are picked evenly.
    case Content::SelectionBias: dummy_values(t.name, first, count, 0.01f, out); break;
    case Content::Bias: dummy_values(t.name, first, count, 0.02f, out); break;
    case Content::Sinks: dummy_values(t.name, first, count, 1.0f, out); break;  // as large as attention logits
    default: dummy_values(t.name, first, count, 1.0f / std::sqrt(static_cast<float>(t.inputs)), out);
  }
}

std::uint64_t DummySource::bytes(const Piece& piece) const {
  if (const auto* rows = std::get_if<RowsPiece>(&piece)) return rows->rows * rows->columns * sizeof(bf16);
  return std::get<FloatsPiece>(piece).count * sizeof(float);
}

}  // namespace moemill::model
