#include "dataset/carry.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.hpp"
#include "dataset/rows_in_memory.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t block_bytes = 8u << 20;
constexpr std::uint64_t most_block_rows = 4096;
constexpr std::uint64_t chunk_bytes = 64u << 10;

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

// Values in memory, through whatever they point to. Numbers compare as bits, so that NaN equals itself.
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

std::uint64_t block_rows(hid_t dataset) {
  return std::clamp<std::uint64_t>(block_bytes / std::max<std::uint64_t>(1, row_bytes_of(dataset)), 1, most_block_rows);
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

}  // namespace

h5::Handle make_carried(hid_t group, const std::string& name, hid_t source, std::optional<std::uint32_t> gzip_level,
                        std::uint64_t most_chunk_rows) {
  std::string what = "carried column '" + name + "'";
  h5::Handle type = h5::own(H5Tcopy(h5::type_of(source)), what);  // a committed type stays behind in its own file
  std::vector<hsize_t> extents = h5::shape(source), limits(extents.size(), H5S_UNLIMITED), chunk = extents;
  extents[0] = 0;
  std::uint64_t row_bytes = std::max<std::uint64_t>(1, row_bytes_of(source));
  chunk[0] = std::clamp<std::uint64_t>(chunk_bytes / row_bytes, 1, most_chunk_rows);
  for (std::size_t axis = 1; axis < chunk.size(); axis++) chunk[axis] = std::max<hsize_t>(1, chunk[axis]);
  int rank = static_cast<int>(extents.size());
  h5::Handle space = h5::own(H5Screate_simple(rank, extents.data(), limits.data()), what);
  h5::Handle creation = h5::own(H5Pcreate(H5P_DATASET_CREATE), what);
  h5::check(H5Pset_obj_track_times(creation, false), what);
  h5::check(H5Pset_chunk(creation, rank, chunk.data()), what);
  if (gzip_level) h5::check(H5Pset_deflate(creation, *gzip_level), what);
  const bool fixed_text = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0;
  if (fixed_text || !has_variable_parts(type)) h5::check(H5Pset_fletcher32(creation), what);  // notices a flipped bit
  return h5::own(H5Dcreate2(group, name.c_str(), type, space, H5P_DEFAULT, creation, H5P_DEFAULT), what);
}

void copy_carried(hid_t source, std::uint64_t first, std::uint64_t count, hid_t target, std::uint64_t size) {
  std::vector<hsize_t> extents = h5::shape(target);
  extents[0] = size + count;
  h5::check(H5Dset_extent(target, extents.data()), "carried column");
  std::uint64_t step = block_rows(source);
  for (std::uint64_t done = 0; done < count; done += step) {
    std::uint64_t rows = std::min(step, count - done);
    RowsInMemory block(source, first + done, rows);
    if (!block.bytes().empty()) {
      h5::write_rows(target, block.type(), size + done, rows, block.bytes().data(), "carried column");
    }
  }
}

std::optional<std::string> differ(hid_t a, std::uint64_t first, std::uint64_t count, hid_t b, std::uint64_t b_first) {
  std::vector<hsize_t> a_shape = h5::shape(a), b_shape = h5::shape(b);
  if (H5Tequal(h5::type_of(a), h5::type_of(b)) <= 0) return "the types differ";
  if (a_shape.size() != b_shape.size() || a_shape.empty() ||
      !std::equal(a_shape.begin() + 1, a_shape.end(), b_shape.begin() + 1)) {
    return "the shapes differ";
  }
  if (a_shape[0] < first + count || b_shape[0] < b_first + count) return "rows are missing";
  std::uint64_t step = block_rows(a);
  for (std::uint64_t done = 0; done < count; done += step) {
    std::uint64_t rows = std::min(step, count - done);
    RowsInMemory x(a, first + done, rows), y(b, b_first + done, rows);
    if (auto row = first_unequal_row(x, y, rows)) return fmt::format("row {} differs", b_first + done + *row);
  }
  return std::nullopt;
}

}  // namespace moemill::dataset
