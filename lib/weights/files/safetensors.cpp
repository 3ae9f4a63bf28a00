#include "weights/files/safetensors.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "base/error.hpp"
#include "base/text/json_fault.hpp"
#include "base/text/lfs_pointer.hpp"

namespace moemill::model {

namespace {

constexpr std::uint64_t max_header_bytes = 100'000'000;  // the format's own limit

struct DtypeBits {
  std::string_view name;
  std::uint32_t bits;
};
constexpr DtypeBits dtypes[] = {
    {"BF16", 16},   {"F32", 32},    {"F16", 16},        {"F8_E4M3", 8},     {"F8_E5M2", 8}, {"F64", 64},
    {"I64", 64},    {"I32", 32},    {"I16", 16},        {"I8", 8},          {"U64", 64},    {"U32", 32},
    {"U16", 16},    {"U8", 8},      {"BOOL", 8},        {"C64", 64},        {"F8_E8M0", 8}, {"F4", 4},
    {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
};

std::uint64_t header_length(const std::string& file, std::span<const std::byte> bytes) {
  refuse_lfs_pointer(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (bytes.size() < 8) {
    user_error("{}: {} bytes; a safetensors file begins with 8 bytes of header length (is the download complete?)",
               file, bytes.size());
  }
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<std::uint64_t>(bytes[static_cast<std::size_t>(i)]);
  if (length > max_header_bytes) {
    user_error("{}: header length {} is beyond the format's limit of {} bytes: not a safetensors file, or damaged",
               file, length, max_header_bytes);
  }
  if (length > bytes.size() - 8) {
    user_error("{}: header length {} is beyond the end of the file ({} bytes): cut short? Download it again", file,
               length, bytes.size());
  }
  return length;
}

// nlohmann silently keeps the last of two equal keys. A header with two is refused, because either may be meant.
nlohmann::json parse_header(const std::string& file, const char* text, std::uint64_t length) {
  using Json = nlohmann::json;
  std::vector<std::unordered_set<std::string>> seen;
  std::string twice;
  auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) seen.emplace_back();
    if (event == Json::parse_event_t::object_end) seen.pop_back();
    if (event == Json::parse_event_t::key && !seen.back().insert(value.get<std::string>()).second && twice.empty()) {
      twice = value.get<std::string>();
    }
    return true;
  };
  Json header;
  try {
    header = Json::parse(text, text + length, watch);
  } catch (const Json::exception& e) {
    user_error("{}: the header is not valid JSON: {}", file, json_fault(e.what()));
  }
  if (!header.is_object()) user_error("{}: the header is not a JSON object", file);
  if (!twice.empty()) user_error("{}: the header has the key \"{}\" twice", file, twice);
  return header;
}

std::optional<std::uint64_t> unsigned_integer(const nlohmann::json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  return value.get<std::uint64_t>();
}

std::vector<std::uint64_t> integers(const nlohmann::json& entry, const char* key, const std::string& place) {
  auto found = entry.find(key);
  std::vector<std::uint64_t> values;
  bool good = found != entry.end() && found->is_array();
  for (std::size_t i = 0; good && i < found->size(); ++i) {
    auto value = unsigned_integer((*found)[i]);
    good = value.has_value();
    if (good) values.push_back(*value);
  }
  if (!good) user_error("{}: \"{}\" must be a list of integers from 0", place, key);
  return values;
}

// Bytes that the shape needs; empty if they overflow or are not whole.
std::optional<std::uint64_t> needed_bytes(const std::vector<std::uint64_t>& shape, std::uint32_t bits) {
  std::uint64_t total = bits;
  for (std::uint64_t extent : shape) {
    if (__builtin_mul_overflow(total, extent, &total)) return std::nullopt;
  }
  if (total % 8 != 0) return std::nullopt;
  return total / 8;
}

TensorInfo read_entry(const std::string& file, const std::string& name, const nlohmann::json& entry,
                      std::uint64_t data_start, std::uint64_t data_size) {
  std::string place = fmt::format("{}: tensor {}", file, name);
  if (!entry.is_object()) user_error("{}: its entry is not a JSON object", place);
  auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string()) user_error("{}: has no \"dtype\"", place);
  TensorInfo tensor;
  tensor.name = name;
  tensor.dtype = dtype->get<std::string>();
  tensor.shape = integers(entry, "shape", place);
  auto known =
      std::find_if(std::begin(dtypes), std::end(dtypes), [&](const DtypeBits& d) { return d.name == tensor.dtype; });
  if (known == std::end(dtypes)) user_error("{}: unknown dtype \"{}\"", place, tensor.dtype);
  std::vector<std::uint64_t> offsets = integers(entry, "data_offsets", place);
  if (offsets.size() != 2 || offsets[0] > offsets[1]) user_error("{}: \"data_offsets\" must be [begin, end]", place);
  if (offsets[1] > data_size) {
    user_error("{}: ends at byte {} of the data, but the file holds {}: cut short? Download it again", place,
               offsets[1], data_size);
  }
  tensor.offset = data_start + offsets[0];
  tensor.length = offsets[1] - offsets[0];
  auto needed = needed_bytes(tensor.shape, known->bits);
  if (!needed || *needed != tensor.length) {
    user_error("{}: {} {} needs {} bytes, but data_offsets give {}", place, tensor.dtype, shape_text(tensor.shape),
               needed ? std::to_string(*needed) : "too many", tensor.length);
  }
  return tensor;
}

}  // namespace

std::string shape_text(const std::vector<std::uint64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::vector<TensorInfo> parse_safetensors(const std::string& file, std::span<const std::byte> bytes) {
  std::uint64_t length = header_length(file, bytes);
  nlohmann::json header = parse_header(file, reinterpret_cast<const char*>(bytes.data()) + 8, length);
  std::uint64_t data_size = bytes.size() - 8 - length;
  std::vector<TensorInfo> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") tensors.push_back(read_entry(file, name, entry, 8 + length, data_size));
  }
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.offset, a.offset + a.length) < std::pair(b.offset, b.offset + b.length);
  });
  std::uint64_t end = 8 + length;
  std::string_view previous = "the header";
  for (const TensorInfo& tensor : tensors) {
    if (tensor.offset != end) {
      user_error("{}: tensor {} {} {}: the header is damaged", file, tensor.name,
                 tensor.offset < end ? "overlaps" : "leaves a gap behind", previous);
    }
    end += tensor.length;
    previous = tensor.name;
  }
  if (end != bytes.size()) {
    user_error("{}: {} bytes behind the last tensor: the header is damaged", file, bytes.size() - end);
  }
  return tensors;
}

}  // namespace moemill::model
