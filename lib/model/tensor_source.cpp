#include "model/tensor_source.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/error.hpp"
#include "model/dummy.hpp"

namespace moemill::model {

namespace {

template <class T>
T load(const std::byte* from) {  // data in a file need not be aligned
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

struct Half {
  std::uint16_t bits;
};

float half_to_float(std::uint16_t half) {
  std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  std::uint32_t exponent = half >> 10 & 31u, fraction = half & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  float tiny = static_cast<float>(fraction) * 0x1p-24f;  // subnormal or zero, exact
  return sign != 0 ? -tiny : tiny;
}

float as_float(float x) { return x; }
float as_float(bf16 x) { return to_float(x); }
float as_float(Half x) { return half_to_float(x.bits); }
void store(float x, float* out) { *out = x; }
void store(float x, bf16* out) { *out = to_bf16(x); }

template <class From, class To>
void convert(const std::byte* data, std::uint64_t count, To* out) {
  for (std::uint64_t i = 0; i < count; ++i) store(as_float(load<From>(data + i * sizeof(From))), out + i);
}

// Elements [first, first + count) of a tensor's data, in one of the three dtypes that need() lets through.
template <class To>
void convert(const TensorInfo& tensor, const std::byte* data, std::uint64_t first, std::uint64_t count, To* out) {
  if (tensor.dtype == "F32") return convert<float>(data + first * 4, count, out);
  if (tensor.dtype == "F16") return convert<Half>(data + first * 2, count, out);
  convert<bf16>(data + first * 2, count, out);
}

// "model.layers.N.": N, else nothing.
bool beyond_layers(std::string_view name, std::uint32_t layers) {
  constexpr std::string_view prefix = "model.layers.";
  if (!name.starts_with(prefix)) return false;
  std::uint32_t layer = 0;
  auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), layer);
  return error == std::errc() && end != name.data() + name.size() && *end == '.' && layer >= layers;
}

// "NAME", or "NAME, NAME, NAME and 7 more".
std::string first_names(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  std::size_t shown = std::min<std::size_t>(names.size(), 3);
  std::string text =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  return names.size() > shown ? fmt::format("{} and {} more", text, names.size() - shown) : text;
}

}  // namespace

void FileSource::need(const std::string& name, const std::vector<std::uint64_t>& shape) {
  const TensorInfo* found = files_.find(name);
  if (found == nullptr) {
    user_error("{}: no tensor {} {}, which config.json calls for (are config.json and weights of one model?)",
               files_.files().front().path(), name, shape_text(shape));
  }
  if (found->shape != shape) {
    user_error("{}: has shape {}, but config.json calls for {}", files_.place(*found), shape_text(found->shape),
               shape_text(shape));
  }
  if (found->dtype != "BF16" && found->dtype != "F16" && found->dtype != "F32") {
    user_error("{}: has dtype {}; BF16, F16 and F32 are supported", files_.place(*found), found->dtype);
  }
  needed_.insert(found);
}

const TensorInfo& FileSource::tensor(const std::string& name) const {
  const TensorInfo* found = files_.find(name);
  expect(found != nullptr, "loader: a tensor was needed before it is read");
  return *found;
}

const bf16* FileSource::rows(const std::string& name, std::uint64_t columns, std::uint64_t first, std::uint64_t count) {
  const TensorInfo& t = tensor(name);
  if (first == 0) files_.advise(t, MappedFile::Advice::WillNeed);
  const std::byte* data = files_.bytes(t).data();
  if (t.dtype == "BF16") {
    const std::byte* begin = data + first * columns * 2;
    if (reinterpret_cast<std::uintptr_t>(begin) % 2 == 0) return reinterpret_cast<const bf16*>(begin);
  }
  bf16* out = converted_.reserve(count * columns);
  convert(t, data, first * columns, count * columns, out);
  return out;
}

void FileSource::floats(const std::string& name, std::uint64_t count, float* out) {
  const TensorInfo& t = tensor(name);
  convert(t, files_.bytes(t).data(), 0, count, out);
}

void FileSource::release(const std::string& name) { files_.advise(tensor(name), MappedFile::Advice::DontNeed); }

std::vector<std::string> FileSource::warnings(std::uint32_t layers) const {
  std::vector<std::string> rounded, coarse, unexpected;
  bool router = false;
  for (const TensorInfo& t : files_.tensors()) {
    if (!needed_.contains(&t)) {
      if (!beyond_layers(t.name, layers) && !t.name.ends_with("rotary_emb.inv_freq")) unexpected.push_back(t.name);
    } else if (t.shape.size() == 2 && t.dtype != "BF16") {
      rounded.push_back(t.name);
      router = router || t.name.ends_with(".mlp.gate.weight");
    } else if (t.name.ends_with("e_score_correction_bias") && t.dtype != "F32") {
      coarse.push_back(t.name);
    }
  }
  std::vector<std::string> lines;
  if (!rounded.empty()) {
    lines.push_back(
        fmt::format("{} matrices are stored in F32 or F16 and were rounded to bfloat16{}: {}", rounded.size(),
                    router ? " (routers among them, so a close expert pick may differ from the stored model's)" : "",
                    first_names(rounded)));
  }
  if (!coarse.empty()) {
    lines.push_back(
        fmt::format("selection biases are published in F32 but stored in less here, which can change expert picks: {}",
                    first_names(coarse)));
  }
  if (!unexpected.empty()) {
    lines.push_back(fmt::format("{} tensors belong to no part of this model and were not used: {}", unexpected.size(),
                                first_names(unexpected)));
  }
  return lines;
}

const bf16* DummySource::rows(const std::string& name, std::uint64_t columns, std::uint64_t first,
                              std::uint64_t count) {
  bf16* out = values_.reserve(count * columns);
  // A row of deviation 1 keeps its size through a matrix of deviation 1 / sqrt(inputs).
  float deviation = 1.0f / std::sqrt(static_cast<float>(columns));
  dummy_values(name, first * columns, count * columns, deviation, out);
  return out;
}

void DummySource::floats(const std::string& name, std::uint64_t count, float* out) {
  if (name.ends_with("e_score_correction_bias")) {
    dummy_values(name, 0, count, 0.01f, out);  // small beside scores in 0..1: experts are picked evenly
  } else {
    std::fill_n(out, count, 1.0f);  // norms
  }
}

}  // namespace moemill::model
