#include "dataset/rows_in_memory.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace moemill::dataset {
namespace {

constexpr std::uint64_t block_bytes = 8u << 20;
constexpr std::uint64_t most_block_rows = 4096;
constexpr const char* what = "rows of a dataset";

}  // namespace

std::uint64_t row_bytes_of(hid_t dataset) {
  std::uint64_t bytes = H5Tget_size(h5::type_of(dataset));
  std::vector<hsize_t> shape = h5::shape(dataset);
  for (std::size_t axis = 1; axis < shape.size(); axis++)
    if (__builtin_mul_overflow(bytes, std::uint64_t{shape[axis]}, &bytes))
      bytes = std::numeric_limits<std::uint64_t>::max();
  return bytes;
}

std::uint64_t block_rows_of(hid_t dataset) {
  return std::clamp<std::uint64_t>(block_bytes / std::max<std::uint64_t>(1, row_bytes_of(dataset)), 1, most_block_rows);
}

bool has_variable_parts(hid_t type) {
  return H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tdetect_class(type, H5T_STRING) > 0;
}

RowsInMemory::RowsInMemory(hid_t dataset, std::uint64_t first, std::uint64_t count)
    : RowsInMemory(dataset, first, count, h5::type_of(dataset)) {}

RowsInMemory::RowsInMemory(hid_t dataset, std::uint64_t first, std::uint64_t count, h5::Handle type)
    : type_(std::move(type)) {
  const std::uint64_t values = row_bytes_of(dataset) / std::max<std::size_t>(1, H5Tget_size(h5::type_of(dataset)));
  bytes_.resize(count * values * H5Tget_size(type_));
  std::vector<hsize_t> extents = h5::shape(dataset);
  extents[0] = count;
  space_ = h5::own(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), what);
  if (bytes_.empty()) return;
  h5::read_rows(dataset, type_, first, count, bytes_.data(), what);
}

RowsInMemory::~RowsInMemory() {
  if (!bytes_.empty() && has_variable_parts(type_)) H5Dvlen_reclaim(type_, space_, H5P_DEFAULT, bytes_.data());
}

}  // namespace moemill::dataset
