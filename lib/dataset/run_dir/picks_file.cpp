#include "dataset/run_dir/picks_file.hpp"

#include <algorithm>

#include "base/build_info.hpp"
#include "base/error.hpp"
#include "system/files/files.hpp"
#include "system/files/h5.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t most_bytes = std::uint64_t{4} << 30;

h5::Handle make(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& extents) {
  const h5::Handle space = h5::own(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), name);
  return h5::own(H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), name);
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  user_error("{}: {}; it should be the picks.h5 of a run with runtime.record_picks", path, why);
}

// A dataset of whole numbers with so many axes.
h5::Handle open_numbers(hid_t file, const std::string& path, const std::string& name, std::size_t axes) {
  if (!h5::exists(file, name) || h5::object_kind(file, name) != H5I_DATASET)
    refuse(path, "there is no dataset '" + name + "'");
  h5::Handle dataset = h5::open_dataset(file, name);
  if (H5Tget_class(h5::type_of(dataset)) != H5T_INTEGER || h5::shape(dataset).size() != axes)
    refuse(path, fmt::format("dataset '{}' is not of whole numbers with {} axes", name, axes));
  return dataset;
}

std::uint32_t read_count(hid_t file, const std::string& path, const std::string& name) {
  const std::int64_t value = h5::read_number_attribute(file, name);
  if (value < 0 || value > 65'536) refuse(path, fmt::format("attribute '{}' is {}", name, value));
  return static_cast<std::uint32_t>(value);
}

void check_layers(const RecordedPicks& picks, const std::string& path) {
  const auto ascends = [](std::int32_t a, std::int32_t b) { return a < b; };
  if (picks.layers.front() < 0 || !std::is_sorted(picks.layers.begin(), picks.layers.end(), ascends) ||
      std::adjacent_find(picks.layers.begin(), picks.layers.end()) != picks.layers.end())
    refuse(path, "dataset 'layers' does not ascend");
}

void check_experts(const RecordedPicks& picks, const std::string& path) {
  for (const std::vector<std::uint16_t>& layer : picks.of_layer)
    for (std::size_t row = 0; row < layer.size(); row += picks.picks)
      for (std::size_t i = row; i < row + picks.picks; ++i)
        if (layer[i] >= picks.experts ||
            std::find(layer.begin() + static_cast<std::ptrdiff_t>(row), layer.begin() + static_cast<std::ptrdiff_t>(i),
                      layer[i]) != layer.begin() + static_cast<std::ptrdiff_t>(i))
          refuse(path, fmt::format("a row picks expert {} of {} experts, or one twice", layer[i], picks.experts));
}

RecordedPicks read(hid_t file, const std::string& path) {
  if (h5::read_text_attribute(file, "format") != "moemill-picks") refuse(path, "it has another format");
  if (const std::int64_t version = h5::read_number_attribute(file, "format_version"); version != picks_format_version)
    refuse(path, fmt::format("format_version is {}, this moemill reads {}", version, picks_format_version));
  RecordedPicks out;
  out.model_type = h5::read_text_attribute(file, "model_type");
  out.experts = read_count(file, path, "experts"), out.picks = read_count(file, path, "picks");
  out.steps = read_count(file, path, "steps");
  const h5::Handle layers = open_numbers(file, path, "layers", 1), picks = open_numbers(file, path, "picks", 3);
  const std::vector<hsize_t> extents = h5::shape(picks);
  if (out.picks == 0 || out.picks > out.experts || extents[0] == 0 || extents[1] == 0 || extents[2] != out.picks ||
      extents[0] != h5::shape(layers)[0])
    refuse(path, "datasets and attributes do not fit together, or there are no rows");
  if (extents[0] > most_bytes || extents[1] > most_bytes / extents[0] / extents[2] / sizeof(std::uint16_t))
    refuse(path, "it is larger than any that a run writes");
  out.layers.resize(extents[0]);
  h5::read_rows(layers, H5T_NATIVE_INT32, 0, extents[0], out.layers.data(), path + ": dataset 'layers'");
  for (hsize_t layer = 0; layer < extents[0]; ++layer) {
    std::vector<std::uint16_t>& to = out.of_layer.emplace_back(extents[1] * extents[2]);
    h5::read_rows(picks, H5T_NATIVE_UINT16, layer, 1, to.data(), path + ": dataset 'picks'");
  }
  check_layers(out, path), check_experts(out, path);
  return out;
}

}  // namespace

void write_picks(const std::string& path, const RecordedPicks& picks) {
  const std::string temporary = files::temporary_name(path);
  h5::Handle file = h5::create_file(temporary);
  h5::write_attribute(file, "format", std::string("moemill-picks"));
  h5::write_attribute(file, "format_version", picks_format_version);
  h5::write_attribute(file, "moemill_version", std::string(build_info::version()));
  h5::write_attribute(file, "model_type", picks.model_type);
  h5::write_attribute(file, "experts", std::int64_t{picks.experts});
  h5::write_attribute(file, "picks", std::int64_t{picks.picks});
  h5::write_attribute(file, "steps", std::int64_t{picks.steps});
  const hsize_t layers = picks.layers.size();
  {
    const h5::Handle numbers = make(file, "layers", H5T_STD_I32LE, {layers});
    h5::write_rows(numbers, H5T_NATIVE_INT32, 0, layers, picks.layers.data(), temporary);
    const h5::Handle experts = make(file, "picks", H5T_STD_U16LE, {layers, picks.rows(), picks.picks});
    for (hsize_t layer = 0; layer < layers; ++layer)
      h5::write_rows(experts, H5T_NATIVE_UINT16, layer, 1, picks.of_layer[layer].data(), temporary);
  }
  file.close(temporary);
  files::rename(temporary, path);
}

RecordedPicks read_picks(const std::string& path) {
  try {
    const h5::Handle file = h5::open_file(path);
    return read(file, path);
  } catch (const SystemError& e) {  // of HDF5
    refuse(path, e.what());
  }
}

}  // namespace moemill::dataset
