#include <fmt/format.h>

#include <cstdlib>
#include <functional>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "generate/backend/backends.hpp"
#include "kernels/cpu/choose_isa.hpp"
#include "layers/cpu/cpu.hpp"
#include "system/machine/memory.hpp"

namespace moemill::mill {

namespace {

class CpuBackend : public Backend {
 public:
  CpuBackend(const model::ModelConfig& config, cpu::Isa isa, cpu::Int8Unit int8, int threads)
      : config_(config), stream_(isa, int8, threads) {}

  WeightsPlan plan_weights(const WeightsWanted& wanted) override {
    placement_ = wanted.placement;
    model::LoadRequest request(wanted.dir, config_, wanted.placement, wanted.rank, wanted.load_format, wanted.node,
                               wanted.computes);
    request.announce = wanted.announce;
    load_.emplace(std::move(request), stream_.order());
    return {load_->memory_bytes(), static_cast<std::uint64_t>(stream_.order()), load_->source()};
  }
  model::WeightsDigest load_weights(NodeMemory memory, const std::function<void()>& between) override {
    weights_ = load_->carry_out(std::move(memory), stream_.team(), between);
    load_.reset();
    return weights_.digest;
  }
  void prepare(layers::DomainSite site, const layers::ForwardSettings& settings) override {
    forward_.emplace(stream_, config_, weights_, *placement_, std::move(site), settings);
  }

  void run(const schedule::Step& step) override { forward_->run(step); }
  void draw(const sample::Draws& draws) override { forward_->draw(draws); }
  void while_computing(std::function<void()> hook) override { forward_->while_computing(std::move(hook)); }

  void fill_cache(std::uint64_t seed) override { forward_->fill_cache(seed); }
  const layers::ForwardTotals& totals() const override { return forward_->totals(); }
  std::span<const std::uint64_t> expert_counts() const override { return forward_->expert_counts(); }
  std::span<const std::uint64_t> node_picks() const override { return forward_->node_picks(); }
  BackendMemory memory() const override {
    BackendMemory memory;
    const MappingUse use = mapping_use(weights_.storage->data());
    if (forward_) {
      memory.kv_cache = forward_->kv_bytes(), memory.workspace = forward_->workspace_bytes();
      const NodeMemory& rows = forward_->node_memory();
      if (rows.is_shared()) {
        memory.node_rows = rows.touched_bytes() / rows.mates().size();
        memory.node_resident = mapping_use(rows.data()).resident_bytes;
      }
    }
    if (weights_.storage->is_shared()) {
      memory.node_weights = weights_.storage->size(), memory.node_resident += use.resident_bytes;
      memory.huge_pages = weights_.huge_bytes;
    } else {
      memory.weights = weights_.bytes, memory.huge_pages = use.huge_bytes;
    }
    return memory;
  }

 private:
  const model::ModelConfig& config_;
  cpu::Stream stream_;
  std::optional<model::WeightsLoad> load_;     // between plan_weights and load_weights
  std::optional<model::Placement> placement_;  // where the weights' experts lie
  model::Weights weights_;
  std::optional<layers::Forward<Cpu>> forward_;
};

}  // namespace

namespace {

cpu::Isa wanted_isa(const char* name) {
  const cpu::Isa isa = cpu::parse_isa(name);
  if (!cpu::has_plain_bits(isa)) {
    user_error("MOEMILL_ISA={}: these kernel bodies do not give the plain body's bits on this CPU", name);
  }
  return isa;
}

cpu::Isa fastest_isa() {
  const cpu::IsaChoice choice = cpu::choose_isa();
  for (const cpu::IsaTrial& trial : choice.trials) {
    if (trial.right) {
      log::debug("kernels {}: {:.0f} us for a product of 32 rows", cpu::name(trial.isa), 1e6 * trial.seconds);
    } else {
      log::warning("kernels {} do not give the plain body's bits on this CPU and are not used", cpu::name(trial.isa));
    }
  }
  return choice.isa;
}

}  // namespace

cpu::Isa chosen_isa() {
  // Chosen once per process, though that is a global: times differ from call to call, and one process names one choice.
  static const cpu::Isa isa = [] {
    const char* name = std::getenv("MOEMILL_ISA");
    return name && *name ? wanted_isa(name) : fastest_isa();
  }();
  return isa;
}

std::unique_ptr<Backend> make_cpu_backend(const model::ModelConfig& config, cpu::Isa isa, int threads) {
  if (config.arithmetic == Arithmetic::Bf16)
    return std::make_unique<CpuBackend>(config, isa, cpu::best_int8_unit(isa), threads);
  const cpu::Int8Choice choice = cpu::choose_int8(isa);
  for (const cpu::Int8Unit unit : choice.wrong)
    log::warning("int8 kernels {} do not give the plain ones' bits on this CPU and are not used", cpu::name(unit));
  return std::make_unique<CpuBackend>(config, isa, choice.unit, threads);
}

std::string_view int8_unit_name(cpu::Isa isa) { return cpu::name(cpu::choose_int8(isa).unit); }

std::string cpu_instruction_set() { return std::string(cpu::name(chosen_isa())); }

std::string cpu_backend_name(Arithmetic arithmetic) {
  const cpu::Isa isa = chosen_isa();
  if (arithmetic == Arithmetic::Bf16) return fmt::format("cpu ({})", cpu::name(isa));
  return fmt::format("cpu ({}, int8 by {})", cpu::name(isa), int8_unit_name(isa));
}

}  // namespace moemill::mill
