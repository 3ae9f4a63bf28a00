#include "dataset/carry.hpp"

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "dataset/rows_in_memory.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t chunk_bytes = 64u << 10;

}  // namespace

std::uint64_t carried_row_bytes(hid_t dataset, const std::string& place) {
  const std::vector<hsize_t> shape = h5::shape(dataset);
  if (shape.empty() || H5Tdetect_class(h5::type_of(dataset), H5T_REFERENCE) > 0)
    user_error(
        "{}: is a scalar or holds references, which mean nothing in another file: move it to another group, or leave "
        "it out of output.carry_columns",
        place);
  const std::uint64_t row_bytes = row_bytes_of(dataset);
  if (row_bytes > most_row_bytes)
    user_error(
        "{}: has the shape {}, and a row of it is larger than the {} GiB that a carried row may have: move it to "
        "another group, or leave it out of output.carry_columns",
        place, fmt::join(shape, " × "), most_row_bytes >> 30);
  return row_bytes;
}

h5::Handle make_carried(hid_t group, const std::string& name, hid_t source, std::optional<std::uint32_t> gzip_level,
                        std::uint64_t most_chunk_rows) {
  std::string what = "carried column '" + name + "'";
  h5::Handle type = h5::own(H5Tcopy(h5::type_of(source)), what);  // a committed type cannot leave its file
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
  if (fixed_text || !has_variable_parts(type)) h5::check(H5Pset_fletcher32(creation), what);  // detects flipped bits
  return h5::own(H5Dcreate2(group, name.c_str(), type, space, H5P_DEFAULT, creation, H5P_DEFAULT), what);
}

void copy_carried(hid_t source, std::uint64_t first, std::uint64_t count, hid_t target, std::uint64_t size) {
  std::vector<hsize_t> extents = h5::shape(target);
  extents[0] = size + count;
  h5::check(H5Dset_extent(target, extents.data()), "carried column");
  const std::uint64_t step = block_rows_of(source);
  for (std::uint64_t done = 0; done < count; done += step) {
    std::uint64_t rows = std::min(step, count - done);
    RowsInMemory block(source, first + done, rows);
    if (!block.bytes().empty()) {
      h5::write_rows(target, block.type(), size + done, rows, block.bytes().data(), "carried column");
    }
  }
}

}  // namespace moemill::dataset
