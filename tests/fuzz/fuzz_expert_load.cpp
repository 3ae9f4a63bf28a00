// Any bytes as an expert_load.json: refused with a UserError, or counts that are the same after writing and reading.
#include <cstddef>
#include <cstdint>
#include <fstream>

#include "base/error.hpp"
#include "dataset/run_dir/expert_load_file.hpp"
#include "process_path.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moemill;
  static const std::string path = process_path("expert_load");
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    std::optional<dataset::MeasuredLoad> load = dataset::read_expert_load(path);
    expect(load.has_value(), "there is a file");
    expect(load->counts.size() == load->layers.size() * load->experts, "each layer has a count of each expert");
    dataset::write_expert_load(path, *load);
    const auto again = dataset::read_expert_load(path);
    expect(again->is_of(*load) && again->counts == load->counts, "counts are read as they are written");
    load->add(*again);
  } catch (const UserError&) {
  }
  return 0;
}
