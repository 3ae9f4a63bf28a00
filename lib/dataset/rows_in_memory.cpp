#include "dataset/rows_in_memory.hpp"

#include <limits>

namespace moemill::dataset {
namespace {

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

bool has_variable_parts(hid_t type) {
  return H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tdetect_class(type, H5T_STRING) > 0;
}

RowsInMemory::RowsInMemory(hid_t dataset, std::uint64_t first, std::uint64_t count)
    : type_(h5::type_of(dataset)), bytes_(count * row_bytes_of(dataset)) {
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
