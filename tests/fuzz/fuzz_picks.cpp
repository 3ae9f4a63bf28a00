// Any contents of picks.h5: refused with a UserError, or picks that a router can have made. The input chooses how the
// file differs from a whole one; an empty input is a whole one. HDF5, whose own format is not fuzzed (see
// fuzz_prompts.cpp), writes the file around the contents.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "dataset/run_dir/picks_file.hpp"
#include "input_bytes.hpp"
#include "process_path.hpp"
#include "system/files/h5.hpp"

namespace {

using namespace moemill;

// Changes to a dataset. Most inputs leave it right, so that the fuzzer gets past the first one.
enum class Change { Right, Missing, Group, Type, Rank, Extent, HugeExtent, Values, Chunks, External, Unwritten };

class PicksFile {
 public:
  PicksFile(const std::string& path, InputBytes& in) : in_(in), path_(path), file_(h5::create_file(path)) {}

  void write() {
    text("format", "moemill-picks"), text("model_type", "small"), text("model_sha256", "ab12");
    for (const auto& [name, right] : {std::pair("format_version", 1), {"attempt", 2}, {"steps", 3}})
      number(name, right);
    number("experts", 8), number("picks", 2);
    make("layers", H5T_STD_I32LE, {2}, std::vector<std::int32_t>{1, 4});
    make("picks", H5T_STD_U16LE, {2, 3, 2}, std::vector<std::uint16_t>{0, 7, 3, 2, 5, 6, 1, 2, 3, 4, 7, 0});
    file_.close(path_);
  }

 private:
  void text(const char* name, const std::string& right) {
    switch (in_.byte() % 8) {
      case 1: return;
      case 2: return h5::write_attribute(file_, name, std::int64_t{in_.byte()});
      case 3: return h5::write_attribute(file_, name, std::string(in_.byte(), '\xff'));
      case 4: return h5::write_attribute(file_, name, std::vector<std::string>{right, right});
      default: return h5::write_attribute(file_, name, right);
    }
  }

  void number(const char* name, std::int64_t right) {
    std::int64_t value = right;
    switch (in_.byte() % 8) {
      case 1: return;
      case 2: return h5::write_attribute(file_, name, std::string("1"));
      case 3: in_.fill(&value, sizeof value); break;
      case 4: value = in_.byte(); break;
      default: break;
    }
    h5::write_attribute(file_, name, value);
  }

  template <class T>
  void make(const char* name, hid_t type, std::vector<hsize_t> extents, const std::vector<T>& right) {
    const auto change = static_cast<Change>(in_.byte() % 16);  // 11 to 15 change nothing
    std::vector<std::byte> bytes(right.size() * sizeof(T));
    std::memcpy(bytes.data(), right.data(), bytes.size());
    switch (change) {
      case Change::Missing: return;
      case Change::Group: h5::create_group(file_, name); return;
      case Change::Type: type = any_type(); break;
      case Change::Rank: extents.resize(in_.byte() % 5, 1); break;
      case Change::Extent: extents[in_.byte() % extents.size()] = in_.byte(); break;
      case Change::HugeExtent: extents[in_.byte() % extents.size()] = hsize_t{1} << in_.byte() % 62; break;
      case Change::Values: in_.fill(bytes.data(), bytes.size()); break;
      default: break;
    }
    put(name, type, extents, bytes, change);
  }

  hid_t any_type() {
    const std::array<hid_t, 9> types = {H5T_STD_I8LE,  H5T_STD_U8LE,  H5T_STD_U16BE,  H5T_STD_I16LE, H5T_STD_U32LE,
                                        H5T_STD_I32BE, H5T_STD_U64LE, H5T_IEEE_F32LE, H5T_C_S1};
    return types[in_.byte() % types.size()];
  }

  void put(const char* name, hid_t type, const std::vector<hsize_t>& extents, std::vector<std::byte>& bytes,
           Change change) {
    const int rank = static_cast<int>(extents.size());
    const h5::Handle settings = h5::own(H5Pcreate(H5P_DATASET_CREATE), name);
    const std::vector<hsize_t> chunk(extents.size(), 4), unlimited(extents.size(), H5S_UNLIMITED);
    const bool in_chunks = change == Change::Chunks && rank > 0;
    if (in_chunks) h5::check(H5Pset_chunk(settings, rank, chunk.data()), name);
    if (change == Change::External) H5Pset_external(settings, "/dev/zero", 0, H5F_UNLIMITED);
    const h5::Handle space =
        rank == 0 ? h5::own(H5Screate(H5S_SCALAR), name)
                  : h5::own(H5Screate_simple(rank, extents.data(), in_chunks ? unlimited.data() : nullptr), name);
    const hid_t made = H5Dcreate2(file_, name, type, space, H5P_DEFAULT, settings, H5P_DEFAULT);
    if (made < 0) return;  // more bytes than HDF5 counts
    const h5::Handle dataset(made);
    const hsize_t count = std::accumulate(extents.begin(), extents.end(), hsize_t{1}, std::multiplies<>());
    const bool small = std::all_of(extents.begin(), extents.end(), [](hsize_t x) { return x < 256; });
    if (!small || count == 0 || change == Change::External || change == Change::Unwritten) return;
    bytes.resize(count * H5Tget_size(type));
    h5::check(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), name);
  }

  InputBytes& in_;
  std::string path_;
  h5::Handle file_;
};

void check(const dataset::RecordedPicks& picks) {
  expect(picks.rows() > 0 && picks.layers.size() == picks.of_layer.size(), "each layer has rows");
  expect(std::set(picks.layers.begin(), picks.layers.end()).size() == picks.layers.size(), "layers differ");
  for (const auto& layer : picks.of_layer) {
    expect(layer.size() == picks.rows() * picks.picks, "layers have as many rows");
    for (std::size_t at = 0; at < layer.size(); at += picks.picks) {
      const auto first = layer.begin() + static_cast<std::ptrdiff_t>(at);
      const std::set<std::uint16_t> experts(first, first + picks.picks);
      expect(experts.size() == picks.picks && *experts.rbegin() < picks.experts, "a row picks different experts");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path = process_path("picks");
  InputBytes in(data, size);
  PicksFile(path, in).write();
  try {
    const dataset::RecordedPicks picks = dataset::read_picks(path);
    check(picks);
    dataset::write_picks(path, picks);
    expect(dataset::read_picks(path).of_layer == picks.of_layer, "picks are read as they are written");
  } catch (const UserError& fault) {
    expect(size > 0, fault.what());
  }
  return 0;
}
