#include "dataset/run_dir/picks_file.hpp"

#include <algorithm>
#include <utility>

#include "base/build_info.hpp"
#include "base/error.hpp"
#include "system/files/files.hpp"
#include "system/files/h5.hpp"

namespace moemill::dataset {
namespace {

h5::Handle make(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& extents) {
  const h5::Handle space = h5::own(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), name);
  return h5::own(H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), name);
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  user_error("{}: {}; it should be the picks.h5 of a run with runtime.record_picks", path, why);
}

// What a dataset has to be: whole numbers of this type and number of axes.
struct Form {
  const char* name;
  std::size_t axes;
  std::size_t bytes;
  H5T_sign_t sign;
  const char* text;
};
constexpr Form layers_form{"layers", 1, 4, H5T_SGN_2, "int32 [layers]"};
constexpr Form picks_form{"picks", 3, 2, H5T_SGN_NONE, "uint16 [layers, rows, picks]"};

h5::Handle open_numbers(hid_t file, const std::string& path, const Form& form) {
  if (!h5::exists(file, form.name) || h5::object_kind(file, form.name) != H5I_DATASET)
    refuse(path, fmt::format("there is no dataset '{}'", form.name));
  h5::Handle dataset = h5::open_dataset(file, form.name);
  const h5::Handle type = h5::type_of(dataset);
  if (H5Tget_class(type) != H5T_INTEGER || H5Tget_size(type) != form.bytes || H5Tget_sign(type) != form.sign ||
      h5::shape(dataset).size() != form.axes)
    refuse(path, fmt::format("dataset '{}' is not {}", form.name, form.text));
  return dataset;
}

// The values are in the file itself, so that no more is allocated than the file has. A dataset in chunks, or one whose
// values are elsewhere or were never written, may be of any size.
void check_is_stored(const h5::Handle& dataset, const std::string& path, const Form& form) {
  const h5::Handle settings = h5::own(H5Dget_create_plist(dataset), form.name);
  const H5D_layout_t layout = H5Pget_layout(settings);
  if ((layout != H5D_CONTIGUOUS && layout != H5D_COMPACT) || H5Pget_external_count(settings) != 0)
    refuse(path, fmt::format("dataset '{}' is not stored in one piece (h5repack -l {}:CONTI makes it so)", form.name,
                             form.name));
  std::uint64_t most = most_picks_bytes / form.bytes;
  for (const hsize_t extent : h5::shape(dataset)) {
    if (extent > most)
      refuse(path, fmt::format("dataset '{}' has more than {} MiB", form.name, most_picks_bytes >> 20));
    most /= std::max<hsize_t>(extent, 1);
  }
  std::uint64_t bytes = form.bytes;
  for (const hsize_t extent : h5::shape(dataset)) bytes *= extent;
  if (H5Dget_storage_size(dataset) < bytes) refuse(path, fmt::format("dataset '{}' has no values", form.name));
}

std::uint32_t read_count(hid_t file, const std::string& path, const std::string& name, std::int64_t most) {
  const std::int64_t value = h5::read_number_attribute(file, name);
  if (value < 0 || value > most) refuse(path, fmt::format("attribute '{}' is {}, not from 0 to {}", name, value, most));
  return static_cast<std::uint32_t>(value);
}

void check_layers(const RecordedPicks& picks, const std::string& path) {
  const auto ascends = [](std::int32_t a, std::int32_t b) { return a < b; };
  if (picks.layers.front() < 0 || !std::is_sorted(picks.layers.begin(), picks.layers.end(), ascends) ||
      std::adjacent_find(picks.layers.begin(), picks.layers.end()) != picks.layers.end())
    refuse(path, "dataset 'layers' does not ascend");
}

void check_experts(const RecordedPicks& picks, const std::string& path) {
  std::vector<std::uint64_t> picked_by(picks.experts, 0);  // the number of the last row that picked the expert, from 1
  std::uint64_t row = 0;
  for (const std::vector<std::uint16_t>& layer : picks.of_layer)
    for (std::size_t i = 0; i < layer.size(); ++i) {
      if (i % picks.picks == 0) ++row;
      if (layer[i] >= picks.experts || std::exchange(picked_by[layer[i]], row) == row)
        refuse(path, fmt::format("a row of dataset 'picks' has expert {} of {} experts, or one twice", layer[i],
                                 picks.experts));
    }
}

RecordedPicks read(hid_t file, const std::string& path) {
  if (h5::read_text_attribute(file, "format") != "moemill-picks") refuse(path, "it has another format");
  if (const std::int64_t version = h5::read_number_attribute(file, "format_version"); version != picks_format_version)
    refuse(path, fmt::format("format_version is {}, this moemill reads {}", version, picks_format_version));
  RecordedPicks out;
  out.model_type = h5::read_text_attribute(file, "model_type");
  out.model_sha256 = h5::read_text_attribute(file, "model_sha256");
  out.attempt = read_count(file, path, "attempt", UINT32_MAX);
  out.experts = read_count(file, path, "experts", 65'536), out.picks = read_count(file, path, "picks", 65'536);
  out.steps = read_count(file, path, "steps", UINT32_MAX);
  const h5::Handle layers = open_numbers(file, path, layers_form), picks = open_numbers(file, path, picks_form);
  const std::vector<hsize_t> extents = h5::shape(picks);
  if (out.picks == 0 || out.picks > out.experts || extents[0] == 0 || extents[1] == 0 || extents[2] != out.picks ||
      extents[0] != h5::shape(layers)[0])
    refuse(path, "datasets and attributes do not fit together, or there are no rows");
  check_is_stored(layers, path, layers_form), check_is_stored(picks, path, picks_form);
  out.layers.resize(extents[0]);
  h5::read_rows(layers, H5T_NATIVE_INT32, 0, extents[0], out.layers.data(), "dataset 'layers'");
  for (hsize_t layer = 0; layer < extents[0]; ++layer) {
    std::vector<std::uint16_t>& to = out.of_layer.emplace_back(extents[1] * extents[2]);
    h5::read_rows(picks, H5T_NATIVE_UINT16, layer, 1, to.data(), "dataset 'picks'");
  }
  check_layers(out, path), check_experts(out, path);
  return out;
}

void write(const std::string& path, const RecordedPicks& picks) {
  h5::Handle file = h5::create_file(path);
  h5::write_attribute(file, "format", std::string("moemill-picks"));
  h5::write_attribute(file, "format_version", picks_format_version);
  h5::write_attribute(file, "moemill_version", std::string(build_info::version()));
  h5::write_attribute(file, "model_type", picks.model_type);
  h5::write_attribute(file, "model_sha256", picks.model_sha256);
  h5::write_attribute(file, "attempt", std::int64_t{picks.attempt});
  h5::write_attribute(file, "experts", std::int64_t{picks.experts});
  h5::write_attribute(file, "picks", std::int64_t{picks.picks});
  h5::write_attribute(file, "steps", std::int64_t{picks.steps});
  const hsize_t layers = picks.layers.size(), row_bytes = layers * picks.picks * sizeof(std::uint16_t);
  const hsize_t rows = row_bytes > 0 ? std::min<hsize_t>(picks.rows(), most_picks_bytes / row_bytes) : 0;
  {
    const h5::Handle numbers = make(file, "layers", H5T_STD_I32LE, {layers});
    h5::write_rows(numbers, H5T_NATIVE_INT32, 0, layers, picks.layers.data(), path);
    const h5::Handle experts = make(file, "picks", H5T_STD_U16LE, {layers, rows, picks.picks});
    for (hsize_t layer = 0; layer < layers && rows > 0; ++layer)
      h5::write_rows(experts, H5T_NATIVE_UINT16, layer, 1, picks.of_layer[layer].data(), path);
  }
  file.close(path);
}

}  // namespace

void write_picks(const std::string& path, const RecordedPicks& picks) {
  const std::string temporary = files::temporary_name(path);
  try {
    write(temporary, picks);
    files::publish(temporary, path);
  } catch (...) {
    files::try_remove(temporary);
    throw;
  }
}

RecordedPicks read_picks(const std::string& path) {
  try {
    const h5::Handle file = h5::open_file(path);
    return read(file, path);
  } catch (const SystemError& e) {  // of HDF5, which names the path where it opens it
    const std::string why = e.what(), name = path + ": ";
    refuse(path, why.starts_with(name) ? why.substr(name.size()) : why);
  }
}

}  // namespace moemill::dataset
