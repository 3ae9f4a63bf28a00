// Any bytes as config.json: refused with a UserError, or a config whose sizes can be counted without overflow.
#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "model/config.hpp"
#include "model/weights.hpp"

namespace {

// One folder for the process; in memory where the system has such a place.
const std::string& folder() {
  static const std::string path = [] {
    std::filesystem::path base =
        std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
    std::string dir = (base / ("moemill-fuzz-" + std::to_string(::getpid()))).string();
    std::filesystem::create_directories(dir);
    return dir;
  }();
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::ofstream(folder() + "/config.json", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    auto config = moemill::model::read_config(folder());
    auto counts = moemill::model::count_parameters(config);
    moemill::expect(counts.routed <= counts.total && counts.total < (std::uint64_t{1} << 62), "counts are sane");
    moemill::expect(counts.active <= counts.total, "a token uses no more than there is");
    for (float f : config.rope.frequencies) moemill::expect(std::isfinite(f), "frequencies are finite");
    moemill::expect(std::isfinite(config.mla.softmax_scale) && std::isfinite(config.rope.magnitude),
                    "scales are finite");
    if (config.layers * config.moe.experts < 1000) {
      moemill::expect(moemill::model::weight_bytes(config, {config.moe.experts, 3}, {1}) > 0, "weights have a size");
    }
  } catch (const moemill::UserError&) {
  }
  return 0;
}
