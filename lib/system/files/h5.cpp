#include "system/files/h5.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "base/text/utf8.hpp"
#include "system/files/files.hpp"

namespace moemill::h5 {
namespace {

constexpr std::size_t metadata_cache_bytes = 512 << 10;

// One file access list for all files: without HDF5's file locks, which fail on parallel file systems without flock, and
// which atomic renames make unnecessary.
Handle file_access(const std::string& path) {
  Handle list = own(H5Pcreate(H5P_FILE_ACCESS), path);
  check(H5Pset_file_locking(list, false, true), path);
  // HDF5 would let its cache of tables and text heaps grow to 32 MiB per file, but they are read and written in order.
  H5AC_cache_config_t cache{};
  cache.version = H5AC__CURR_CACHE_CONFIG_VERSION;
  check(H5Pget_mdc_config(list, &cache), path);
  cache.set_initial_size = true;
  cache.initial_size = cache.min_size = cache.max_size = metadata_cache_bytes;
  check(H5Pset_mdc_config(list, &cache), path);
  return list;
}

std::string named(const std::string& kind, const std::string& name) { return kind + " '" + name + "'"; }

// Error texts and names from a corrupt file may contain arbitrary bytes. Unprintable ones become '?'; a line break,
// which HDF5 puts behind a time, becomes a space.
std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const bool control = step.code_point < 0x20 || (step.code_point >= 0x7f && step.code_point < 0xa0);
    if (step.kind == Utf8Step::Complete && !control) {
      out += text.substr(at, step.bytes);
    } else {
      out += text[at] == '\n' ? ' ' : '?';
    }
    at += step.bytes;
  }
  return out;
}

// The errno of a failed system call, or 0: HDF5 reports it as "..., errno = 28, error message = ..." among addresses.
int system_error_of(const std::string& reason) {
  constexpr std::string_view key = "errno = ";
  const std::size_t at = reason.find(key);
  int error = 0;
  if (at != std::string::npos) std::from_chars(reason.data() + at + key.size(), reason.data() + reason.size(), error);
  return error;
}

// Takes the innermost reason first. A full disk has many more, which add nothing to the first.
herr_t append_reason(unsigned, const H5E_error2_t* error, void* out) {
  std::string& text = *static_cast<std::string*>(out);
  const std::string reason = error->desc ? error->desc : "";
  if (reason.empty()) return 0;
  if (const int number = system_error_of(reason); number > 0) {
    text = files::reason(number);
    return 1;  // ends the walk over the stack
  }
  if (!text.empty()) text += "; ";
  text += printable(reason);
  return 0;
}

herr_t append_name(hid_t, const char* name, const H5L_info_t*, void* out) {
  static_cast<std::vector<std::string>*>(out)->emplace_back(name);
  return 0;
}

}  // namespace

void Handle::release() noexcept {
  if (id_ < 0) return;
  // The library may be shut down, or HDF5 may have closed the id with its file: neither is an error here.
  if (H5Iis_valid(id_) > 0) H5Idec_ref(id_);
  id_ = H5I_INVALID_HID;
}

void Handle::close(const std::string& what) {
  if (id_ < 0) return;
  check(H5Fclose(std::exchange(id_, H5I_INVALID_HID)), what + ": close");
}

std::string error_text() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, append_reason, &text);
  H5Eclear2(H5E_DEFAULT);
  return text.empty() ? "no reason given" : text;
}

void be_quiet() {
  // Files are closed explicitly. HDF5's own clean-up at exit crashes on a file that a full disk kept from closing, and
  // replaces the exit code by a signal. This call works only before every other HDF5 call.
  H5dont_atexit();
  // The access list of file_access() does not reach files behind links and virtual datasets: where flock fails, HDF5
  // silently substitutes fill values for them. The variable is read when HDF5 starts.
  [[maybe_unused]] static const int once = setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

std::string library_version() {
  be_quiet();
  unsigned major = 0, minor = 0, release = 0;
  check(H5get_libversion(&major, &minor, &release), "the version of the library");
  return fmt::format("{}.{}.{}", major, minor, release);
}

Handle open_file(const std::string& path) {
  be_quiet();
  Handle access = file_access(path);
  return own(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), path + ": open");
}

Handle create_file(const std::string& path, std::uint64_t user_block) {
  be_quiet();
  Handle access = file_access(path);
  // With this degree, closing fails while an object in the file is open, instead of silently leaving the file open.
  check(H5Pset_fclose_degree(access, H5F_CLOSE_SEMI), path);
  Handle creation = own(H5Pcreate(H5P_FILE_CREATE), path);
  check(H5Pset_obj_track_times(creation, false), path);
  check(H5Pset_userblock(creation, user_block), path);
  return own(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), path + ": create");
}

Handle create_group(hid_t parent, const std::string& name) {
  Handle creation = own(H5Pcreate(H5P_GROUP_CREATE), named("group", name));
  check(H5Pset_obj_track_times(creation, false), named("group", name));
  return own(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, creation, H5P_DEFAULT), named("group", name));
}

bool exists(hid_t parent, const std::string& name) {
  be_quiet();
  // Each link of the path is checked by itself, because HDF5 fails on "a/b" if there is no "a".
  for (std::size_t slash = name.find('/', 1); slash != std::string::npos; slash = name.find('/', slash + 1)) {
    if (H5Lexists(parent, name.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return H5Eclear2(H5E_DEFAULT), false;
  }
  bool found =
      H5Lexists(parent, name.c_str(), H5P_DEFAULT) > 0 && H5Oexists_by_name(parent, name.c_str(), H5P_DEFAULT) > 0;
  H5Eclear2(H5E_DEFAULT);
  return found;
}

namespace {

// Filters such as lzf, blosc and zstd may come with h5py and be missing in this HDF5. Reports that at the start rather
// than at the first read.
void refuse_missing_filters(const Handle& dataset, const std::string& name) {
  const Handle settings = own(H5Dget_create_plist(dataset), named("settings of dataset", name));
  const int filters = H5Pget_nfilters(settings);
  for (int i = 0; i < filters; ++i) {
    char filter[64] = "?";
    unsigned flags = 0, config = 0;
    std::size_t values = 0;
    const H5Z_filter_t id =
        H5Pget_filter2(settings, static_cast<unsigned>(i), &flags, &values, nullptr, sizeof filter, filter, &config);
    if (id < 0 || H5Zfilter_avail(id) > 0) continue;
    std::string path(1024, '\0');
    const ssize_t length = H5Fget_name(dataset, path.data(), path.size());
    path.resize(std::min(path.size() - 1, static_cast<std::size_t>(std::max<ssize_t>(length, 0))));
    user_error(
        "{}: dataset '{}' is compressed with the HDF5 filter '{}' ({}), which is not available here: write it "
        "again with compression=\"gzip\" or without",
        path, name, printable(filter), static_cast<int>(id));
  }
}

}  // namespace

std::uint64_t chunk_bytes(hid_t dataset) {
  const Handle settings = own(H5Dget_create_plist(dataset), "settings of a dataset");
  if (H5Pget_layout(settings) != H5D_CHUNKED) return 0;
  std::vector<hsize_t> chunk(shape(dataset).size());
  check(H5Pget_chunk(settings, static_cast<int>(chunk.size()), chunk.data()), "chunks of a dataset");
  std::uint64_t bytes = H5Tget_size(type_of(dataset));
  for (hsize_t rows : chunk) bytes = rows > most_cached_bytes / bytes + 1 ? ~std::uint64_t{0} / 2 : bytes * rows;
  return bytes;
}

Handle open_dataset(hid_t parent, const std::string& name) {
  constexpr std::uint64_t hdf5_cache_bytes = 1u << 20, cache_slots = 521;
  Handle dataset = own(H5Dopen2(parent, name.c_str(), H5P_DEFAULT), named("dataset", name));
  refuse_missing_filters(dataset, name);
  const std::uint64_t bytes = chunk_bytes(dataset);
  if (bytes <= hdf5_cache_bytes || bytes > most_cached_bytes) return dataset;
  const Handle access = own(H5Pcreate(H5P_DATASET_ACCESS), named("dataset", name));
  check(H5Pset_chunk_cache(access, cache_slots, bytes, H5D_CHUNK_CACHE_W0_DEFAULT), named("dataset", name));
  dataset = Handle();  // the first open handle decides the size of the cache
  return own(H5Dopen2(parent, name.c_str(), access), named("dataset", name));
}

Handle open_group(hid_t parent, const std::string& name) {
  return own(H5Gopen2(parent, name.c_str(), H5P_DEFAULT), named("group", name));
}

std::vector<std::string> child_names(hid_t group) {
  std::vector<std::string> names;
  hsize_t index = 0;
  check(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &index, append_name, &names), "list of a group");
  return names;
}

std::vector<hsize_t> shape(hid_t dataset) {
  Handle space = own(H5Dget_space(dataset), "shape of a dataset");
  int rank = check(H5Sget_simple_extent_ndims(space), "rank of a dataset");
  std::vector<hsize_t> extents(static_cast<std::size_t>(rank));
  check(H5Sget_simple_extent_dims(space, extents.data(), nullptr), "shape of a dataset");
  return extents;
}

Handle type_of(hid_t dataset) { return own(H5Dget_type(dataset), "type of a dataset"); }

H5I_type_t object_kind(hid_t parent, const std::string& name) {
  Handle object = own(H5Oopen(parent, name.c_str(), H5P_DEFAULT), named("object", name));
  return H5Iget_type(object);
}

namespace {

// Selects the rows in the file and creates a dataspace of the same shape in memory.
struct RowSelection {
  RowSelection(hid_t dataset, std::uint64_t first, std::uint64_t count, const std::string& what)
      : file(own(H5Dget_space(dataset), what)) {
    std::vector<hsize_t> extents = shape(dataset);
    expect(!extents.empty() && first + count <= extents[0], "h5: rows lie within the dataset");
    std::vector<hsize_t> start(extents.size(), 0);
    start[0] = first;
    extents[0] = count;
    check(H5Sselect_hyperslab(file, H5S_SELECT_SET, start.data(), nullptr, extents.data(), nullptr), what);
    memory = own(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), what);
  }
  Handle file;
  Handle memory;
};

}  // namespace

void read_rows(hid_t dataset, hid_t memory_type, std::uint64_t first, std::uint64_t count, void* out,
               const std::string& what) {
  if (count == 0) return;
  RowSelection rows(dataset, first, count, what);
  check(H5Dread(dataset, memory_type, rows.memory, rows.file, H5P_DEFAULT, out), what);
}

void write_rows(hid_t dataset, hid_t memory_type, std::uint64_t first, std::uint64_t count, const void* data,
                const std::string& what) {
  if (count == 0) return;
  RowSelection rows(dataset, first, count, what);
  check(H5Dwrite(dataset, memory_type, rows.memory, rows.file, H5P_DEFAULT, data), what);
}

Handle text_type() {
  Handle type = own(H5Tcopy(H5T_C_S1), "type of text");
  check(H5Tset_size(type, H5T_VARIABLE), "type of text");
  check(H5Tset_cset(type, H5T_CSET_UTF8), "type of text");
  return type;
}

void write_attribute(hid_t object, const std::string& name, const std::string& text) {
  std::string what = named("attribute", name);
  Handle type = text_type();
  Handle space = own(H5Screate(H5S_SCALAR), what);
  Handle attribute = own(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), what);
  const char* value = text.c_str();
  check(H5Awrite(attribute, type, &value), what);
}

void write_attribute(hid_t object, const std::string& name, const std::vector<std::string>& texts) {
  const std::string what = named("attribute", name);
  const hsize_t count = texts.size();
  const Handle type = text_type(), space = own(H5Screate_simple(1, &count, nullptr), what);
  const Handle attribute = own(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), what);
  std::vector<const char*> values;
  for (const std::string& text : texts) values.push_back(text.c_str());
  check(H5Awrite(attribute, type, values.data()), what);
}

void write_attribute(hid_t object, const std::string& name, std::int64_t number) {
  std::string what = named("attribute", name);
  Handle space = own(H5Screate(H5S_SCALAR), what);
  Handle attribute = own(H5Acreate2(object, name.c_str(), H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT), what);
  check(H5Awrite(attribute, H5T_NATIVE_INT64, &number), what);
}

namespace {

// Reports a fault unless the attribute holds one value: an array would overflow the scalar we read into.
void refuse_several(hid_t attribute, const std::string& what) {
  const Handle space = own(H5Aget_space(attribute), what);
  if (H5Sget_simple_extent_npoints(space) != 1) system_error("{} has not exactly one value", what);
}

}  // namespace

std::string read_text_attribute(hid_t object, const std::string& name) {
  std::string what = named("attribute", name);
  Handle attribute = own(H5Aopen(object, name.c_str(), H5P_DEFAULT), what);
  refuse_several(attribute, what);
  Handle stored = own(H5Aget_type(attribute), what);
  if (H5Tget_class(stored) != H5T_STRING || H5Tis_variable_str(stored) <= 0) system_error("{} is not text", what);
  Handle type = text_type();
  check(H5Tset_cset(type, H5Tget_cset(stored)), what);
  char* value = nullptr;
  check(H5Aread(attribute, type, &value), what);
  std::string text = value ? value : "";
  H5free_memory(value);
  return text;
}

std::int64_t read_number_attribute(hid_t object, const std::string& name) {
  std::string what = named("attribute", name);
  Handle attribute = own(H5Aopen(object, name.c_str(), H5P_DEFAULT), what);
  refuse_several(attribute, what);
  Handle stored = own(H5Aget_type(attribute), what);
  if (H5Tget_class(stored) != H5T_INTEGER) system_error("{} is not an integer", what);
  std::int64_t number = 0;
  check(H5Aread(attribute, H5T_NATIVE_INT64, &number), what);
  return number;
}

}  // namespace moemill::h5
