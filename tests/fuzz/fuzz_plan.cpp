// Any text as a machine, as efficiencies and as published points: refused with a UserError, or figures from which every
// prediction is a finite, positive number.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.hpp"
#include "plan/proof/check.hpp"

namespace {

using namespace moemill;
using namespace moemill::estimate;

Efficiencies usual_efficiencies() {
  Efficiencies usual;
  for (const std::string& name : efficiency_names()) efficiency_named(usual, name) = 1;
  usual.outside_layers = 0.1;
  return usual;
}

model::ModelConfig small_model() {
  model::ModelConfig m;
  m.hidden = 64, m.layers = 2, m.vocabulary = 100, m.dense_width = 100, m.layer_is_moe = {false, true};
  m.attention = model::AttentionKind::Grouped;
  m.gqa.heads = 4, m.gqa.kv_heads = 2, m.gqa.head_dim = 16;
  m.moe.experts = 8, m.moe.picks = 2, m.moe.expert_width = 32, m.moe.shared_width = 32;
  return m;
}

Hardware usual_machine() {
  Hardware h;
  h.name = h.family = "M";
  h.memory_bytes = 80e9, h.memory_bytes_per_second = 3e12, h.bf16_flops = 1e15, h.fp8_flops = 2e15;
  h.scale_up_gpus = 8, h.scale_up_bytes_per_second = 4e11, h.network_bytes_per_second = 5e10;
  h.efficiencies = usual_efficiencies();
  return h;
}

void check_time(const StepTime& time) {
  for (double seconds : time.seconds_of) expect(std::isfinite(seconds) && seconds >= 0, "terms are seconds");
  expect(time.hidden_seconds >= 0 && time.seconds() > 0, "a step takes time");
}

void try_machine(std::string_view text) {
  const Hardware h = read_hardware(text, "m.yaml", usual_efficiencies());
  if (!h.calibration.empty()) return;  // a CPU node, which has no rates of its own
  const model::ModelConfig m = small_model();
  for (model::Pass pass : {model::Pass::Prompt, model::Pass::Generated})
    check_time(predict_step({m, h, {}, {}}, {pass, 100, 1000}));
}

void try_efficiencies(std::string_view text) {
  Hardware h = usual_machine();
  h.efficiencies = read_efficiencies(text, "e.yaml");
  const model::ModelConfig m = small_model();
  Layout layout;
  layout.gpus = 8;
  check_time(predict_step({m, h, {}, layout}, {model::Pass::Generated, 100, 1000}));
}

void try_points(std::string_view text) {
  Catalog catalog(usual_efficiencies());
  catalog.add(usual_machine());
  catalog.add("m", small_model());
  const std::vector<Point> points = read_points(text, "p.yaml", catalog);
  if (points.size() > 1000) return;
  const std::vector<Checked> checked = check(points, catalog);
  for (const Checked& one : checked) {
    check_time(one.rate.time);
    expect(std::isfinite(one.error()), "an error is a number");
  }
  expect(!check_text(checked).empty() && !check_json(checked).empty(), "points are printed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (auto read : {try_machine, try_efficiencies, try_points}) {
    try {
      read(text);
    } catch (const UserError&) {
    }
  }
  return 0;
}
