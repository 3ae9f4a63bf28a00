#include "plan/machine.hpp"

#include <nlohmann/json.hpp>

namespace moemill::mill {
namespace {

using nlohmann::ordered_json;

constexpr std::uint32_t most_count = 1 << 24;  // of nodes, ranks, threads
constexpr double most_rate = 1e24;             // per second

ordered_json json_of(const Machine::Rates& rates) {
  const auto known = [](double rate) { return rate > 0 ? ordered_json(rate) : ordered_json(nullptr); };
  return {{"fma_flops", rates.fma_flops},
          {"bf16_dot_flops", known(rates.bf16_dot_flops)},
          {"int8_dot_ops", known(rates.int8_dot_ops)},
          {"read_bytes_per_second", rates.read_bytes_per_second}};
}

ordered_json json_of(const std::optional<Machine::Link>& link) {
  if (!link) return nullptr;
  return {{"latency_seconds", link->latency_seconds}, {"bytes_per_second", link->bytes_per_second}};
}

Machine::Rates read_rates(const model::JsonObject& json) {
  return {json.number("fma_flops", 0, most_rate), json.number_or("bf16_dot_flops", 0, 0, most_rate),
          json.number_or("int8_dot_ops", 0, 0, most_rate), json.number("read_bytes_per_second", 0, most_rate)};
}

std::optional<Machine::Link> read_link(const model::JsonObject& machine, const char* key) {
  if (!machine.has(key)) return std::nullopt;
  const model::JsonObject json = machine.object(key);
  constexpr double most_seconds = 1e6;
  return Machine::Link{json.number("latency_seconds", 0, most_seconds), json.number("bytes_per_second", 0, most_rate)};
}

}  // namespace

ordered_json json_of(const Machine& m) {
  return {{"measured_utc", m.measured_utc},
          {"moemill_version", m.moemill_version},
          {"git_commit", m.git_commit},
          {"cpu", m.cpu},
          {"isa", m.isa},
          {"nodes", m.nodes},
          {"ranks_per_node", m.ranks_per_node},
          {"threads_per_rank", m.threads_per_rank},
          {"core", json_of(m.core)},
          {"node", json_of(m.node)},
          {"within_node", json_of(m.within_node)},
          {"between_nodes", json_of(m.between_nodes)}};
}

Machine read_machine(const model::JsonObject& json) {
  Machine m;
  m.measured_utc = json.text("measured_utc");
  m.moemill_version = json.text("moemill_version");
  m.git_commit = json.text("git_commit");
  m.cpu = json.text("cpu");
  m.isa = json.text("isa");
  m.nodes = json.integer("nodes", 1, most_count);
  m.ranks_per_node = json.integer("ranks_per_node", 1, most_count);
  m.threads_per_rank = json.integer("threads_per_rank", 1, most_count);
  m.core = read_rates(json.object("core"));
  m.node = read_rates(json.object("node"));
  m.within_node = read_link(json, "within_node");
  m.between_nodes = read_link(json, "between_nodes");
  return m;
}

}  // namespace moemill::mill
