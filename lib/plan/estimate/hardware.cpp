#include "plan/estimate/hardware.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.hpp"

namespace moemill::estimate {
namespace {

constexpr Range any_rate{0.001, 1e9};
constexpr std::uint32_t most_gpus_per_node = 4096;  // the GPUs of 65,536 nodes are a 32-bit number

// A dense fp8 peak is twice the bf16 peak on every chip so far; one of sparse matrices is four times it.
constexpr double most_fp8_to_bf16 = 2.1;

std::optional<double> scaled(std::optional<double> value, double factor) {
  return value ? std::optional(*value * factor) : std::nullopt;
}

void read_peaks(const Section& machine, Hardware& hardware) {
  const Section peaks = machine.section("peak_tflops", {"bf16", "fp8", "int8", "fp4"});
  hardware.bf16_flops = peaks.number("bf16", any_rate) * 1e12;  // attention and the head compute in it
  hardware.fp8_flops = scaled(peaks.find_number("fp8", any_rate), 1e12);
  hardware.int8_ops = scaled(peaks.find_number("int8", any_rate), 1e12);
  hardware.fp4_flops = scaled(peaks.find_number("fp4", any_rate), 1e12);
  for (const auto& [key, peak] : {std::pair("fp8", hardware.fp8_flops), std::pair("int8", hardware.int8_ops)})
    if (peak && *peak > most_fp8_to_bf16 * *hardware.bf16_flops)
      hardware.warnings.push_back(fmt::format(
          "{}: {:.4g} TFLOP/s is more than {} times bf16's: is it the peak of sparse matrices? Give dense ones",
          peaks.place_of(key), *peak / 1e12, most_fp8_to_bf16));
}

// Data sheets of links often give both directions together.
void read_links(const Section& machine, Hardware& hardware) {
  const Section scale_up = machine.section("scale_up", {"gpus", "gbytes_per_second"});
  hardware.scale_up_gpus = scale_up.count("gpus", 1, 1u << 20);
  hardware.scale_up_bytes_per_second = scale_up.number("gbytes_per_second", any_rate) * 1e9;
  if (machine.has("network"))
    hardware.network_bytes_per_second =
        machine.section("network", {"gbytes_per_second"}).number("gbytes_per_second", any_rate) * 1e9;
  hardware.gpus_per_node = machine.count("gpus_per_node", 1, most_gpus_per_node);
}

Price read_price(const Section& machine, const Words& units) {
  const Section price = machine.section("price", {"per_hour", "unit", "currency", "date", "source"});
  return {price.number("per_hour", {0, 1e6}), price.word("unit", units), price.text_or("currency", "USD"),
          price.date("date"), price.text("source")};
}

// A CPU node: its calibration stands for all peaks and rates. The file is looked for beside the machine's.
Hardware read_cpu_node(const yaml::Node& root, const std::string& file, const Efficiencies& efficiencies) {
  const Section node(
      root, file, "",
      {"name", "kind", "calibration", "memory", "ranks_per_node", "price", "power_watts", "sources", "assumed"});
  Hardware hardware;
  hardware.name = node.text("name");
  hardware.family = "CPU";
  const std::filesystem::path calibration = node.text("calibration");
  hardware.calibration = calibration.is_absolute() ? calibration.string()
                                                   : (std::filesystem::path(file).parent_path() / calibration).string();
  hardware.memory_bytes = node.section("memory", {"gbytes"}).number("gbytes", any_rate) * 1e9;  // of the node
  hardware.gpus_per_node = node.count_or("ranks_per_node", 0, 1, most_gpus_per_node);           // 0: as calibrated
  if (node.has("price")) hardware.price = read_price(node, {"node", "core"});
  hardware.power_watts = node.find_number("power_watts", {1, 1e6});
  hardware.efficiencies = efficiencies;
  hardware.sources = node.texts("sources");
  hardware.assumed = node.texts("assumed");
  return hardware;
}

}  // namespace

Hardware read_hardware(std::string_view text, const std::string& file, const Efficiencies& efficiencies) {
  return read_hardware(read_mapping(text, file), file, efficiencies);
}

Hardware read_hardware(const yaml::Node& root, const std::string& file, const Efficiencies& efficiencies) {
  const Section machine(root, file, "",
                        {"name", "family", "kind", "memory", "peak_tflops", "scale_up", "network", "gpus_per_node",
                         "price", "power_watts", "efficiency", "sources", "assumed", "calibration", "ranks_per_node"});
  for (const char* key : {"calibration", "ranks_per_node"})
    if (machine.has(key) && machine.word("kind", {"gpu", "cpu"}) == "gpu")
      user_error("{}: belongs to kind: cpu; a GPU has peaks and rates", machine.place_of(key));
  Hardware hardware;
  hardware.name = machine.text("name");
  hardware.family = machine.text_or("family", hardware.name);
  if (machine.word("kind", {"gpu", "cpu"}) == "cpu") return read_cpu_node(root, file, efficiencies);
  const Section memory = machine.section("memory", {"gbytes", "gbytes_per_second"});
  hardware.memory_bytes = memory.number("gbytes", any_rate) * 1e9;
  hardware.memory_bytes_per_second = memory.number("gbytes_per_second", any_rate) * 1e9;
  read_peaks(machine, hardware);
  read_links(machine, hardware);
  if (machine.has("price")) hardware.price = read_price(machine, {"gpu", "node"});
  hardware.power_watts = machine.find_number("power_watts", {1, 1e6});
  hardware.efficiencies = efficiencies;
  if (machine.has("efficiency"))
    hardware.efficiencies = overridden(efficiencies, machine.section("efficiency", efficiency_names()));
  hardware.sources = machine.texts("sources");
  hardware.assumed = machine.texts("assumed");
  if (hardware.sources.empty()) machine.refuse("sources", "a list of where the figures are from");
  return hardware;
}

}  // namespace moemill::estimate
