#include "dataset/compare.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "dataset/rows_in_memory.hpp"

namespace moemill::dataset {
namespace {

h5::Handle own(hid_t id) { return h5::own(id, "carried column"); }

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

bool equal_values(hid_t type, const std::byte* a, const std::byte* b);

bool equal_arrays(hid_t element, const std::byte* a, const std::byte* b, std::size_t count) {
  std::size_t size = H5Tget_size(element);
  for (std::size_t i = 0; i < count; i++) {
    if (!equal_values(element, a + i * size, b + i * size)) return false;
  }
  return true;
}

bool equal_compounds(hid_t type, const std::byte* a, const std::byte* b) {
  for (int i = 0; i < H5Tget_nmembers(type); i++) {
    auto member = static_cast<unsigned>(i);
    h5::Handle member_type = own(H5Tget_member_type(type, member));
    std::size_t offset = H5Tget_member_offset(type, member);
    if (!equal_values(member_type, a + offset, b + offset)) return false;
  }
  return true;
}

// Compares values in memory and what they point to. Numbers compare as bits, so that NaN equals itself.
bool equal_values(hid_t type, const std::byte* a, const std::byte* b) {
  switch (H5Tget_class(type)) {
    case H5T_STRING: {
      if (H5Tis_variable_str(type) <= 0) break;
      const auto *x = load<const char*>(a), *y = load<const char*>(b);
      return std::strcmp(x ? x : "", y ? y : "") == 0;
    }
    case H5T_VLEN: {
      auto x = load<hvl_t>(a), y = load<hvl_t>(b);
      h5::Handle element = own(H5Tget_super(type));
      return x.len == y.len &&
             equal_arrays(element, static_cast<const std::byte*>(x.p), static_cast<const std::byte*>(y.p), x.len);
    }
    case H5T_ARRAY: {
      h5::Handle element = own(H5Tget_super(type));
      return equal_arrays(element, a, b, H5Tget_size(type) / H5Tget_size(element));
    }
    case H5T_COMPOUND: return equal_compounds(type, a, b);
    default: break;
  }
  return std::memcmp(a, b, H5Tget_size(type)) == 0;
}

std::optional<std::uint64_t> first_unequal_row(const RowsInMemory& a, const RowsInMemory& b, std::uint64_t count) {
  std::size_t row_bytes = a.bytes().size() / count;
  bool plain = !has_variable_parts(a.type()) && H5Tget_class(a.type()) != H5T_COMPOUND;
  if (plain && a.bytes() == b.bytes()) return std::nullopt;
  std::size_t values = row_bytes / H5Tget_size(a.type());
  for (std::uint64_t row = 0; row < count; row++) {
    if (!equal_arrays(a.type(), a.bytes().data() + row * row_bytes, b.bytes().data() + row * row_bytes, values))
      return row;
  }
  return std::nullopt;
}

std::optional<std::string> shapes_differ(hid_t a, std::uint64_t a_rows, hid_t b, std::uint64_t b_rows) {
  const std::vector<hsize_t> a_shape = h5::shape(a), b_shape = h5::shape(b);
  if (a_shape.size() != b_shape.size() || a_shape.empty() ||
      !std::equal(a_shape.begin() + 1, a_shape.end(), b_shape.begin() + 1))
    return "the shapes differ";
  if (a_shape[0] < a_rows || b_shape[0] < b_rows) return "rows are missing";
  return std::nullopt;
}

bool is_text(hid_t type) { return H5Tget_class(type) == H5T_STRING; }
bool is_variable_text(hid_t type) { return is_text(type) && H5Tis_variable_str(type) > 0; }

std::vector<hsize_t> extents_of(hid_t array) {
  std::vector<hsize_t> extents(static_cast<std::size_t>(std::max(0, H5Tget_array_ndims(array))));
  h5::check(H5Tget_array_dims2(array, extents.data()), "carried column");
  return extents;
}

bool converts(hid_t a, hid_t b);

bool members_convert(hid_t a, hid_t b) {
  const int count = H5Tget_nmembers(a);
  if (count != H5Tget_nmembers(b)) return false;
  for (int i = 0; i < count; i++) {
    const auto member = static_cast<unsigned>(i);
    char *x = H5Tget_member_name(a, member), *y = H5Tget_member_name(b, member);
    const bool same_name = x && y && std::strcmp(x, y) == 0;
    H5free_memory(x);
    H5free_memory(y);
    if (!same_name || !converts(own(H5Tget_member_type(a, member)), own(H5Tget_member_type(b, member)))) return false;
  }
  return true;
}

// Whether HDF5 converts between the two types in both directions, so that converting both ways shows whether values are
// equal.
bool converts(hid_t a, hid_t b) {
  const H5T_class_t kind = H5Tget_class(a), other = H5Tget_class(b);
  if (H5Tequal(a, b) > 0) return true;
  const auto is_number = [](H5T_class_t c) { return c == H5T_INTEGER || c == H5T_FLOAT; };
  if (is_number(kind) && is_number(other)) return true;
  if (kind != other) return false;
  switch (kind) {
    case H5T_STRING: return is_variable_text(a) == is_variable_text(b) && H5Tget_cset(a) == H5Tget_cset(b);
    case H5T_VLEN: return converts(own(H5Tget_super(a)), own(H5Tget_super(b)));
    case H5T_ARRAY: return extents_of(a) == extents_of(b) && converts(own(H5Tget_super(a)), own(H5Tget_super(b)));
    case H5T_COMPOUND: return members_convert(a, b);
    default: return false;
  }
}

// A text without the padding of a fixed-length string.
std::string_view text_at(hid_t type, const std::byte* at) {
  if (is_variable_text(type)) {
    const auto* text = load<const char*>(at);
    return text ? text : "";
  }
  std::string_view text(reinterpret_cast<const char*>(at), H5Tget_size(type));
  if (H5Tget_strpad(type) == H5T_STR_NULLTERM) text = text.substr(0, text.find('\0'));
  const std::size_t last = text.find_last_not_of(H5Tget_strpad(type) == H5T_STR_SPACEPAD ? ' ' : '\0');
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

std::optional<std::uint64_t> first_unequal_text(const RowsInMemory& a, const RowsInMemory& b, std::uint64_t count) {
  const std::size_t x = H5Tget_size(a.type()), y = H5Tget_size(b.type());
  const std::size_t values = a.bytes().size() / x;
  for (std::size_t i = 0; i < values; i++)
    if (text_at(a.type(), a.bytes().data() + i * x) != text_at(b.type(), b.bytes().data() + i * y))
      return i / (values / count);
  return std::nullopt;
}

// Compares the values twice: `a` converted to the type of `b`, and `b` converted to the type of `a`.
std::optional<std::uint64_t> first_unequal_there_and_back(hid_t a, std::uint64_t first, hid_t b, std::uint64_t b_first,
                                                          std::uint64_t count) {
  const RowsInMemory x(a, first, count), y(b, b_first, count);
  const RowsInMemory x_there(a, first, count, h5::type_of(b)), y_there(b, b_first, count, h5::type_of(a));
  if (const auto row = first_unequal_row(x_there, y, count)) return row;
  return first_unequal_row(x, y_there, count);
}

}  // namespace

std::optional<std::string> differ(hid_t a, std::uint64_t first, std::uint64_t count, hid_t b, std::uint64_t b_first) {
  if (H5Tequal(h5::type_of(a), h5::type_of(b)) <= 0) return "the types differ";
  if (auto shapes = shapes_differ(a, first + count, b, b_first + count)) return shapes;
  const std::uint64_t step = block_rows_of(a);
  for (std::uint64_t done = 0; done < count; done += step) {
    std::uint64_t rows = std::min(step, count - done);
    RowsInMemory x(a, first + done, rows), y(b, b_first + done, rows);
    if (auto row = first_unequal_row(x, y, rows)) return fmt::format("row {} differs", b_first + done + *row);
  }
  return std::nullopt;
}

std::optional<std::string> differ_in_value(hid_t a, std::uint64_t first, std::uint64_t count, hid_t b,
                                           std::uint64_t b_first) {
  const h5::Handle x = h5::type_of(a), y = h5::type_of(b);
  if (H5Tequal(x, y) > 0) return differ(a, first, count, b, b_first);
  const bool texts = is_text(x) && is_text(y);
  if (!texts && !converts(x, y)) return "the types differ";
  if (auto shapes = shapes_differ(a, first + count, b, b_first + count)) return shapes;
  const std::uint64_t step = std::min(block_rows_of(a), block_rows_of(b));
  for (std::uint64_t done = 0; done < count; done += step) {
    const std::uint64_t rows = std::min(step, count - done);
    const auto row =
        texts ? first_unequal_text(RowsInMemory(a, first + done, rows), RowsInMemory(b, b_first + done, rows), rows)
              : first_unequal_there_and_back(a, first + done, b, b_first + done, rows);
    if (row) return fmt::format("row {} differs", b_first + done + *row);
  }
  return std::nullopt;
}

}  // namespace moemill::dataset
