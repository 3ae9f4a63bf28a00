#include "plan/estimate/efficiency.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"

namespace moemill::estimate {
namespace {

struct EfficiencyRow {
  const char* name;
  double Efficiencies::*member;
  const char* unit;
  Range range;
};

constexpr Range share{0.01, 1};
constexpr const char* of_memory = "share of the memory's rate";
constexpr const char* of_peak = "share of the dense peak";

constexpr EfficiencyRow efficiency_rows[] = {
    {"memory", &Efficiencies::memory, of_memory, share},
    {"memory_mxfp4_bf16", &Efficiencies::memory_mxfp4_bf16, of_memory, share},
    {"tensor_bf16", &Efficiencies::tensor_bf16, of_peak, share},
    {"tensor_fp8", &Efficiencies::tensor_fp8, of_peak, share},
    {"tensor_int8", &Efficiencies::tensor_int8, of_peak, share},
    {"tensor_fp4", &Efficiencies::tensor_fp4, of_peak, share},
    {"tensor_mxfp4_fp8", &Efficiencies::tensor_mxfp4_fp8, of_peak, share},
    {"tensor_mxfp4_bf16", &Efficiencies::tensor_mxfp4_bf16, of_peak, share},
    {"core", &Efficiencies::core, of_peak, share},
    {"core_narrow_heads", &Efficiencies::core_narrow_heads, of_peak, share},
    {"core_fp8_cache", &Efficiencies::core_fp8_cache, "factor", {1, 4}},
    {"core_prompt_row_head_ns", &Efficiencies::core_prompt_row_head_ns, "ns per row and head", {0, 100}},
    {"core_latent_row_us", &Efficiencies::core_latent_row_us, "us per row and layer", {0, 100}},
    {"core_grouped_row_us", &Efficiencies::core_grouped_row_us, "us per row and layer", {0, 100}},
    {"kernel_us", &Efficiencies::kernel_us, "us per kernel", {0, 1000}},
    {"small_kernels", &Efficiencies::small_kernels, "kernels per layer", {0, 100}},
    {"row_passes", &Efficiencies::row_passes, "passes per row and layer", {0, 1000}},
    {"network", &Efficiencies::network, "share of the link's rate", share},
    {"network_latency_us", &Efficiencies::network_latency_us, "us per exchange", {0, 10000}},
    {"scale_up", &Efficiencies::scale_up, "share of the link's rate", share},
    {"scale_up_latency_us", &Efficiencies::scale_up_latency_us, "us per exchange", {0, 10000}},
    {"imbalance", &Efficiencies::imbalance, "per doubling of the GPUs", {0, 2}},
    {"imbalance_balanced", &Efficiencies::imbalance_balanced, "per doubling of the GPUs", {0, 2}},
    {"compute_beside_exchange", &Efficiencies::compute_beside_exchange, "share of the processors", share},
    {"outside_layers", &Efficiencies::outside_layers, "share of a step", {0, 0.9}},
    {"load_gbytes_per_second", &Efficiencies::load_gbytes_per_second, "GB/s per GPU", {0.001, 1000}},
    {"usable_memory", &Efficiencies::usable_memory, "share of the memory", share},
};

const EfficiencyRow& efficiency_row(std::string_view name) {
  const auto* row = std::find_if(std::begin(efficiency_rows), std::end(efficiency_rows),
                                 [&](const EfficiencyRow& r) { return name == r.name; });
  if (row == std::end(efficiency_rows))
    user_error("'{}' is no efficiency; configs/efficiency.yaml names them all", name);
  return *row;
}

}  // namespace

const Words& efficiency_names() {
  static const Words names = [] {
    Words all;
    for (const EfficiencyRow& row : efficiency_rows) all.push_back(row.name);
    return all;
  }();
  return names;
}

double& efficiency_named(Efficiencies& efficiencies, std::string_view name) {
  return efficiencies.*efficiency_row(name).member;
}

Efficiencies read_efficiencies(std::string_view text, const std::string& file) {
  return read_efficiencies(read_mapping(text, file), file);
}

Efficiencies read_efficiencies(const yaml::Node& root, const std::string& file) {
  const Section all(root, file, "", efficiency_names());
  Efficiencies read;
  for (const EfficiencyRow& row : efficiency_rows) {
    const Section one = all.section(row.name, {"value", "unit", "measured"});
    read.*row.member = one.number("value", row.range);
    if (one.text("unit") != row.unit) one.refuse("unit", row.unit);
    one.text("measured");
  }
  return read;
}

Efficiencies overridden(Efficiencies efficiencies, const Section& overrides) {
  for (std::size_t i = 0; i < overrides.entries().size(); i += 2) {
    const std::string& name = overrides.entries()[i].scalar;
    const Section one = overrides.section(name, {"value", "source"});
    efficiency_named(efficiencies, name) = one.number("value", efficiency_row(name).range);
    one.text("source");
  }
  return efficiencies;
}

}  // namespace moemill::estimate
