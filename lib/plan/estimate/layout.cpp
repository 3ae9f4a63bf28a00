#include "plan/estimate/layout.hpp"

#include <cmath>

#include "base/error.hpp"

namespace moemill::estimate {
namespace {

constexpr std::uint32_t most_gpus = 1u << 16;

Exchange exchange_named(const std::string& name) {
  if (name == "once_a_node") return Exchange::OnceANode;
  if (name == "once_a_gpu") return Exchange::OnceAGpu;
  return name == "all_gather" ? Exchange::AllGather : Exchange::EveryCopy;
}

Balance balance_named(const std::string& name) {
  return name == "balanced" ? Balance::Balanced : name == "perfect" ? Balance::Perfect : Balance::None;
}

std::uint32_t read_redundant_experts(const Section& layout, std::uint32_t gpus, std::uint32_t experts) {
  const std::uint32_t fewest = (gpus - experts % gpus) % gpus;
  // More than every expert on every GPU cannot be used.
  const auto most = static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{experts} * (gpus - 1), 1u << 30));
  if (!layout.has("redundant_experts")) return fewest;
  const std::uint32_t redundant = layout.count("redundant_experts", 0, most);
  if ((experts + redundant) % gpus != 0)
    user_error("{}: {} experts and {} redundant ones do not divide over {} GPUs; {} redundant ones do",
               layout.place_of("redundant_experts"), experts, redundant, gpus, fewest);
  return redundant;
}

}  // namespace

double Layout::imbalance(const Efficiencies& efficiencies) const {
  if (balance == Balance::Perfect) return 1;
  const double per_doubling = balance == Balance::Balanced ? efficiencies.imbalance_balanced : efficiencies.imbalance;
  return 1 + per_doubling * std::log2(static_cast<double>(gpus));
}

Layout read_layout(const Section& section, std::string_view key, const model::ModelConfig& model,
                   const Hardware& hardware) {
  const Section read =
      section.section(key, {"gpus", "exchange", "micro_batches", "balance", "redundant_experts", "most_nodes"});
  Layout layout;
  layout.gpus = read.count("gpus", 1, most_gpus);
  if (layout.gpus > 1 || read.has("exchange"))
    layout.exchange = exchange_named(read.word("exchange", {"every_copy", "once_a_node", "once_a_gpu", "all_gather"}));
  layout.micro_batches = read.count_or("micro_batches", 1, 1, 2);
  if (read.has("balance")) layout.balance = balance_named(read.word("balance", {"none", "balanced", "perfect"}));
  layout.redundant_experts = read_redundant_experts(read, layout.gpus, model.moe.experts);
  layout.most_nodes = read.count_or("most_nodes", 0, 1, most_gpus);
  if (layout.domains(hardware) > 1 && !hardware.network_bytes_per_second)
    user_error(
        "{}: {} GPUs are more than the {} of one scale_up domain, and {} has no network; fewer GPUs, or add its "
        "rate",
        read.place_of("gpus"), layout.gpus, hardware.scale_up_gpus, hardware.name);
  return layout;
}

}  // namespace moemill::estimate
