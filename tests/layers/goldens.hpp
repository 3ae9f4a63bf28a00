// The goldens of tests/data/layers: what transformers computed for a small model (see make_goldens.py and
// make_variants.py there), and how closely it is met.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "system/files/h5.hpp"

namespace moemill::test {

// The public reference models, one or two of each family.
inline const std::vector<std::string> reference_models = {
    "deepseek_v3", "deepseek_v2_lite", "deepseek_v3_fp8", "qwen3_moe", "qwen2_moe",     "olmoe",
    "mixtral",     "mixtral_window",   "glm4_moe",        "gpt_oss",   "gpt_oss_mxfp4",
};

inline std::string model_dir(const std::string& name) { return std::string(MOEMILL_TEST_DATA) + "/models/" + name; }
inline std::string golden_path(const std::string& name) {
  return std::string(MOEMILL_TEST_DATA) + "/layers/" + name + ".h5";
}

class Goldens {
 public:
  explicit Goldens(const std::filesystem::path& file) : path_(file), file_(h5::open_file(path_)) {}
  explicit Goldens(const std::string& name) : Goldens(std::filesystem::path(golden_path(name))) {}

  template <class T>
  std::vector<T> read(const std::string& dataset) const {
    const h5::Handle set = h5::open_dataset(file_, dataset);
    const auto shape = h5::shape(set);
    std::size_t count = 1;
    for (auto n : shape) count *= n;
    std::vector<T> out(count);
    h5::read_rows(set, memory_type(T{}), 0, shape.at(0), out.data(), path_ + ": " + dataset);
    return out;
  }
  bool has(const std::string& dataset) const { return H5Lexists(file_, dataset.c_str(), H5P_DEFAULT) > 0; }
  std::vector<std::vector<TokenId>> prompts() const {
    const auto values = read<std::int32_t>("prompts/values");
    const auto offsets = read<std::uint64_t>("prompts/offsets");
    std::vector<std::vector<TokenId>> out;
    for (std::size_t p = 0; p + 1 < offsets.size(); ++p) {
      out.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(offsets[p]),
                       values.begin() + static_cast<std::ptrdiff_t>(offsets[p + 1]));
    }
    return out;
  }
  std::size_t trace_prompt() const {
    return static_cast<std::size_t>(h5::read_number_attribute(file_, "trace_prompt"));
  }

 private:
  static hid_t memory_type(float) { return H5T_NATIVE_FLOAT; }
  static hid_t memory_type(std::int32_t) { return H5T_NATIVE_INT32; }
  static hid_t memory_type(std::uint64_t) { return H5T_NATIVE_UINT64; }

  std::string path_;
  h5::Handle file_;
};

inline double rms(std::span<const float> x) {
  double sum = 0;
  for (float v : x) sum += static_cast<double>(v) * v;
  return std::sqrt(sum / static_cast<double>(x.size()));
}

inline double rms_difference(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

inline double median(std::vector<double> x) {
  std::nth_element(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2), x.end());
  return x[x.size() / 2];
}

inline double median_difference(std::span<const float> a, std::span<const float> b) {
  std::vector<double> d(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) d[i] = std::abs(static_cast<double>(a[i]) - b[i]);
  return median(std::move(d));
}

}  // namespace moemill::test
