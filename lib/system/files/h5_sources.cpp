#include "system/files/h5_sources.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "system/files/files.hpp"

namespace moemill::h5 {
namespace {

constexpr int most_depth = 16;  // of virtual datasets over virtual datasets, which may form a cycle
// How far behind a missing block of a numbered source further blocks are looked for.
constexpr std::uint64_t most_gap = 1000;

// A name that HDF5 returns by filling a buffer.
template <class Call>
std::string name_by(Call&& call) {
  const ssize_t length = call(nullptr, std::size_t{0});
  if (length <= 0) return "";
  std::string name(static_cast<std::size_t>(length), '\0');
  call(name.data(), name.size() + 1);
  return name;
}

std::string file_of(hid_t object) {
  return name_by([&](char* out, std::size_t size) { return H5Fget_name(object, out, size); });
}

// The target of a link: "the dataset '/x' of 'part.h5'".
std::string target_of(hid_t parent, const std::string& name, const H5L_info_t& link) {
  std::string value(link.u.val_size, '\0');
  if (H5Lget_val(parent, name.c_str(), value.data(), value.size(), H5P_DEFAULT) < 0) return "an unknown place";
  if (link.type == H5L_TYPE_SOFT) return "'" + std::string(value.c_str()) + "' of this file";
  const char *file = nullptr, *object = nullptr;
  unsigned flags = 0;
  if (H5Lunpack_elink_val(value.data(), value.size(), &flags, &file, &object) < 0) return "an unknown place";
  return fmt::format("'{}' of '{}'", object, file);
}

// The name of one block of "part-%b.h5"; "%%" is a plain %.
std::string block_name(const std::string& name, std::uint64_t block) {
  std::string out;
  for (std::size_t at = 0; at < name.size(); at++) {
    const char next = name[at] == '%' && at + 1 < name.size() ? name[at + 1] : '\0';
    if (next == 'b') out += std::to_string(block);
    if (next == '%') out += '%';
    if (next == 'b' || next == '%') {
      at++;
    } else {
      out += name[at];
    }
  }
  return out;
}

bool has_blocks(const std::string& name) {
  for (std::size_t at = name.find('%'); at != std::string::npos && at + 1 < name.size(); at = name.find('%', at + 2))
    if (name[at + 1] == 'b') return true;
  return false;
}

// All places where HDF5 looks for a source, in its order (H5F_prefix_open_file): the name itself if it is a full path;
// the folders of HDF5_VDS_PREFIX; the file's folder; the current folder; the file's folder with links resolved.
std::vector<std::string> places_of(const std::string& from, const std::string& name) {
  namespace fs = std::filesystem;
  std::vector<std::string> places;
  fs::path rest = name;
  if (rest.is_absolute()) {
    places.push_back(name);
    rest = rest.filename();
  }
  if (const char* prefixes = std::getenv("HDF5_VDS_PREFIX")) {
    const std::string all = prefixes;
    for (std::size_t at = 0; at <= all.size();) {
      const std::size_t end = std::min(all.find(':', at), all.size());
      if (end > at) places.push_back(fs::path(all.substr(at, end - at)) / rest);
      at = end + 1;
    }
  }
  places.push_back(fs::path(from).parent_path() / rest);
  places.push_back(rest);
  std::error_code error;
  if (const fs::path real = fs::canonical(from, error); !error) places.push_back(real.parent_path() / rest);
  std::vector<std::string> once;
  for (const std::string& place : places)
    if (std::find(once.begin(), once.end(), place) == once.end()) once.push_back(place);
  return once;
}

bool is_unlimited(hid_t space) {
  std::array<hsize_t, H5S_MAX_RANK> start{}, stride{}, count{}, block{};
  if (H5Sget_select_type(space) != H5S_SEL_HYPERSLABS || H5Sis_regular_hyperslab(space) <= 0) return false;
  if (H5Sget_regular_hyperslab(space, start.data(), stride.data(), count.data(), block.data()) < 0) return false;
  const auto unlimited = [](hsize_t x) { return x == H5S_UNLIMITED; };
  return std::any_of(count.begin(), count.end(), unlimited) || std::any_of(block.begin(), block.end(), unlimited);
}

// Whether a selection, which may have been made for a source of a different shape, lies within this one and selects
// that many values. "All" is stored without a shape.
bool lies_within(hid_t selection, const std::vector<hsize_t>& shape, hssize_t values) {
  if (is_unlimited(selection)) return true;
  if (H5Sget_select_type(selection) == H5S_SEL_ALL) {
    std::uint64_t all = 1;
    for (const hsize_t extent : shape) all *= extent;
    return values < 0 || all == static_cast<std::uint64_t>(values);
  }
  if (H5Sget_select_npoints(selection) <= 0) return true;
  if (H5Sget_simple_extent_ndims(selection) != static_cast<int>(shape.size())) return false;
  std::vector<hsize_t> first(shape.size()), last(shape.size());
  if (H5Sget_select_bounds(selection, first.data(), last.data()) < 0) return true;
  for (std::size_t axis = 0; axis < shape.size(); axis++)
    if (last[axis] >= shape[axis]) return false;
  return true;
}

// Values in separate raw files (H5Pset_external): where such a file ends early, HDF5 reads zeros.
void refuse_missing_raw_files(hid_t dataset, hid_t settings, const std::string& place, std::set<std::string>& seen) {
  const int count = H5Pget_external_count(settings);
  if (count <= 0) return;
  const Handle space = own(H5Dget_space(dataset), place), type = own(H5Dget_type(dataset), place);
  std::uint64_t rest = 0;  // bytes of values that the previous files do not hold
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(check(H5Sget_simple_extent_npoints(space), place)),
                             std::uint64_t{H5Tget_size(type)}, &rest))
    rest = std::numeric_limits<std::uint64_t>::max();
  for (int i = 0; i < count; i++) {
    std::array<char, 4096> name{};
    off_t offset = 0;
    hsize_t bytes = 0;
    check(H5Pget_external(settings, static_cast<unsigned>(i), name.size() - 1, name.data(), &offset, &bytes), place);
    std::string path = name.data();
    if (const char* prefix = std::getenv("HDF5_EXTFILE_PREFIX"); prefix && !path.starts_with('/'))
      path = std::string(prefix) + "/" + path;
    const std::uint64_t held = std::min<std::uint64_t>(bytes, rest);  // H5F_UNLIMITED is the largest number
    rest -= held;
    const std::uint64_t size = files::exists(path) ? files::size_bytes(path) : 0;
    const auto first = static_cast<std::uint64_t>(offset);
    if (!files::exists(path) || size < first || size - first < held)
      user_error("{}: its values are in the raw file '{}', which {}: put it in its place, or write the values again",
                 place, path, files::exists(path) ? "is too short" : "is not there");
    seen.insert(path);
  }
}

// The rows of a virtual dataset with one axis that have a source.
class CoveredRows {
 public:
  void add(hid_t target, hsize_t rows) {
    if (H5Sget_select_type(target) == H5S_SEL_ALL) return ranges_.push_back({0, rows});
    if (H5Sget_select_type(target) != H5S_SEL_HYPERSLABS) return;
    const hssize_t blocks = H5Sget_select_hyper_nblocks(target);
    if (blocks <= 0) return;
    std::vector<hsize_t> ends(2 * static_cast<std::size_t>(blocks));  // the first and the last row of each block
    h5::check(H5Sget_select_hyper_blocklist(target, 0, static_cast<hsize_t>(blocks), ends.data()), "virtual dataset");
    for (std::size_t i = 0; i < ends.size(); i += 2) ranges_.push_back({ends[i], ends[i + 1] + 1});
  }
  // The first of these rows without a source, and the number of rows with one.
  struct Gap {
    hsize_t first = 0, end = 0, covered = 0;
  };
  std::optional<Gap> first_gap(hsize_t first_row, hsize_t end_row) {
    std::sort(ranges_.begin(), ranges_.end());
    ranges_.push_back({end_row, end_row});
    std::optional<Gap> gap;
    hsize_t end = 0, covered = 0;
    for (const auto& [first, last] : ranges_) {
      const hsize_t gap_first = std::max(end, first_row), gap_end = std::min(first, end_row);
      if (gap_end > gap_first && !gap) gap = {gap_first, gap_end, 0};
      covered += last > end ? last - std::max(first, end) : 0;
      end = std::max(end, last);
    }
    if (gap) gap->covered = covered;
    return gap;
  }

 private:
  std::vector<std::pair<hsize_t, hsize_t>> ranges_;
};

// `mapped` is the number of values in all mappings, for datasets of several axes.
void refuse_uncovered(hid_t dataset, hid_t settings, hssize_t mapped, CoveredRows covered,
                      const SourceFiles::Wanted& wanted, const std::string& place) {
  H5D_fill_value_t fill = H5D_FILL_VALUE_UNDEFINED;
  check(H5Pfill_value_defined(settings, &fill), place);
  if (fill == H5D_FILL_VALUE_USER_DEFINED && wanted.unmapped == UnmappedRows::MayBeFilled) return;
  const std::vector<hsize_t> extents = shape(dataset);
  const Handle space = own(H5Dget_space(dataset), place);
  const hssize_t values = H5Sget_simple_extent_npoints(space);
  const auto gap =
      extents.size() == 1 ? covered.first_gap(wanted.first, std::min<hsize_t>(wanted.end, extents[0])) : std::nullopt;
  if (extents.size() == 1 ? !gap : mapped >= values) return;
  const std::string which = gap ? fmt::format(" (not {})", gap->end - gap->first == 1
                                                               ? fmt::format("row {}", gap->first)
                                                               : fmt::format("rows {} to {}", gap->first, gap->end - 1))
                                : "";
  user_error(
      "{}: is a virtual dataset of {} values, of which only {} have a source{}: HDF5 would make the others up; {}",
      place, values, gap ? static_cast<hssize_t>(gap->covered) : mapped, which,
      wanted.unmapped == UnmappedRows::MayBeFilled
          ? "map them, or give it a fillvalue of your own"
          : "map them, or copy the rows that are there into one file (a fill value is no prompt and no setting)");
}

}  // namespace

void refuse_dangling(hid_t parent, const std::string& name, const std::string& place) {
  be_quiet();
  H5L_info_t link;
  const bool there = H5Lexists(parent, name.c_str(), H5P_DEFAULT) > 0 &&
                     H5Lget_info(parent, name.c_str(), &link, H5P_DEFAULT) >= 0 && link.type != H5L_TYPE_HARD;
  H5Eclear2(H5E_DEFAULT);
  if (!there) return;
  const Handle object(H5Oopen(parent, name.c_str(), H5P_DEFAULT));
  if (object.valid()) return;
  std::string reason = error_text();
  reason.resize(std::min(reason.find("; "), reason.size()));  // the later reasons are only consequences
  user_error("{}: is a link to {}, which cannot be opened ({}): put it in its place, or create the link again", place,
             target_of(parent, name, link), reason);
}

// One mapping of a virtual dataset.
struct SourceFiles::Source {
  std::string place;  // of the virtual dataset, in messages
  std::string from;   // the path of its file
  std::string file, dataset;
  hid_t selection;
  hssize_t values;  // that the source must give; -1 if the mapping grows with the source
  Wanted wanted;
  int depth;
};

SourceFiles::Chunks SourceFiles::check(hid_t dataset, const std::string& place, UnmappedRows unmapped) {
  return look(dataset, place, {unmapped}, 0);
}

SourceFiles::Chunks SourceFiles::look(hid_t dataset, const std::string& place, const Wanted& wanted, int depth) {
  if (depth > most_depth) user_error("{}: is a virtual dataset over virtual datasets, too deep or in a ring", place);
  const Handle settings = own(H5Dget_create_plist(dataset), place);
  remember_file(dataset, place);
  refuse_missing_raw_files(dataset, settings, place, raw_files_);
  Chunks found{chunk_bytes(dataset), 1};
  if (H5Pget_layout(settings) != H5D_VIRTUAL) return found;
  std::size_t mappings = 0;
  h5::check(H5Pget_virtual_count(settings, &mappings), place);
  hssize_t mapped = 0;
  CoveredRows covered;
  const std::vector<hsize_t> extents = shape(dataset);
  bool grows = false;
  for (std::size_t i = 0; i < mappings; i++) {
    const Handle selection = own(H5Pget_virtual_srcspace(settings, i), place);
    const Handle target = own(H5Pget_virtual_vspace(settings, i), place);
    const auto file = name_by([&](char* out, std::size_t n) { return H5Pget_virtual_filename(settings, i, out, n); });
    const auto name = name_by([&](char* out, std::size_t n) { return H5Pget_virtual_dsetname(settings, i, out, n); });
    const hssize_t values = is_unlimited(target) ? -1 : H5Sget_select_npoints(target);
    const Source source{place, file_of(dataset), block_name(file, 0), block_name(name, 0), selection, values, wanted,
                        depth};
    if (has_blocks(file) || has_blocks(name)) {
      look_at_blocks(source, file, name, found);
    } else {
      look_at(source, found);
    }
    grows = grows || values < 0;
    mapped += values;
    if (values >= 0 && extents.size() == 1) covered.add(target, extents[0]);
  }
  if (!grows) refuse_uncovered(dataset, settings, mapped, std::move(covered), wanted, place);
  return found;
}

void SourceFiles::remember_file(hid_t dataset, const std::string& place) {
  const std::string path = file_of(dataset);
  if (!files_.contains(path)) files_.emplace(path, own(H5Iget_file_id(dataset), place));
}

std::string SourceFiles::stamp() const {
  std::string text;
  const auto add = [&](int failed, const struct stat& s) {
    text += failed != 0 ? "gone\n" : fmt::format("{} {}.{:09}\n", s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  };
  for (const auto& [path, file] : files_) {
    void* descriptor = nullptr;  // of HDF5's default driver, which open_file() uses
    struct stat s = {};
    const bool is_open = H5Fget_vfd_handle(file, H5P_DEFAULT, &descriptor) >= 0 && descriptor != nullptr;
    add(is_open ? fstat(*static_cast<const int*>(descriptor), &s) : stat(path.c_str(), &s), s);
  }
  for (const std::string& path : raw_files_) {
    struct stat s = {};
    add(stat(path.c_str(), &s), s);
  }
  return text;
}

// The open file, or nothing.
const Handle* SourceFiles::open(const std::string& from, const std::string& name) {
  for (const std::string& path : name == "." ? std::vector{from} : places_of(from, name)) {
    if (const auto known = files_.find(path); known != files_.end()) return &known->second;
    if (!files::exists(path)) continue;
    try {
      return &files_.emplace(path, open_file(path)).first->second;
    } catch (const SystemError&) {  // HDF5 tries the next place as well
    }
  }
  return nullptr;
}

Handle SourceFiles::find(const Source& source) {
  const Handle* file = open(source.from, source.file);
  if (!file || !exists(*file, source.dataset) || object_kind(*file, source.dataset) != H5I_DATASET) return {};
  return open_dataset(*file, source.dataset);
}

void SourceFiles::look_at(const Source& source, Chunks& found) {
  const Handle dataset = find(source);
  if (!dataset.valid()) {
    const std::string file = source.file == "." ? "its own file" : "'" + source.file + "'";
    const bool readable = open(source.from, source.file) != nullptr;
    user_error(
        "{}: is a virtual dataset with a source in {}, {}: HDF5 would make up values in its place; put it there, or "
        "copy the values into one file",
        source.place, file,
        readable ? fmt::format("where there is no dataset '{}'", source.dataset)
                 : fmt::format("which cannot be opened (looked for as {})",
                               fmt::join(places_of(source.from, source.file), ", ")));
  }
  if (!lies_within(source.selection, shape(dataset), source.values))
    user_error(
        "{}: is a virtual dataset that takes values from '{}' of '{}' that are not there (its shape has changed): "
        "create it again",
        source.place, source.dataset, source.file);
  const Chunks its = look(dataset, source.place, rows_of(source, dataset), source.depth + 1);
  found.largest_bytes = std::max(found.largest_bytes, its.largest_bytes);
  found.files += its.files;
}

// The rows that come from a source.
SourceFiles::Wanted SourceFiles::rows_of(const Source& source, hid_t dataset) {
  Wanted wanted{source.wanted.unmapped};
  if (shape(dataset).size() != 1 || is_unlimited(source.selection) ||
      H5Sget_select_type(source.selection) != H5S_SEL_HYPERSLABS)
    return wanted;
  hsize_t first = 0, last = 0;
  if (H5Sget_select_bounds(source.selection, &first, &last) < 0) return wanted;
  wanted.first = first;
  wanted.end = last + 1;
  return wanted;
}

// HDF5 reads numbered sources up to the first missing one and ignores the rest.
void SourceFiles::look_at_blocks(Source source, const std::string& file_name, const std::string& dataset_name,
                                 Chunks& found) {
  std::optional<std::uint64_t> missing;
  for (std::uint64_t block = 0; block < missing.value_or(block) + most_gap; block++) {
    source.file = block_name(file_name, block);
    source.dataset = block_name(dataset_name, block);
    if (!find(source).valid()) {
      if (block == 0) look_at(source, found);  // reports it
      if (!missing) missing = block;
    } else if (missing) {
      source.file = block_name(file_name, *missing);
      source.dataset = block_name(dataset_name, *missing);
      look_at(source, found);
    } else {
      look_at(source, found);
    }
  }
}

}  // namespace moemill::h5
