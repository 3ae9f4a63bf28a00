#include "model/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/math.hpp"
#include "model/family.hpp"

namespace moemill::model {

namespace {

RopeScaling scaling_of(const JsonObject& rope) {
  std::string_view key = rope.has("rope_type") ? "rope_type" : "type";
  std::string type = rope.text_or(key, "default");
  if (type == "default") return RopeScaling::None;
  if (type == "linear") return RopeScaling::Linear;
  if (type == "llama3") return RopeScaling::Llama3;
  if (type == "yarn") return RopeScaling::Yarn;
  rope.refuse(key, "one of default, linear, llama3, yarn");
}

// rope_scaling takes precedence over rope_parameters unless it is empty, as in transformers.
std::optional<JsonObject> rope_object(const JsonObject& config, const RopeDefaults& defaults) {
  for (std::string_view key : {"rope_scaling", "rope_parameters"}) {
    if (!config.has(key)) continue;
    JsonObject rope = config.object(key);
    if (rope.json().empty()) continue;
    for (const auto& [name, value] : rope.json().items()) {
      if (value.is_object()) rope.refuse(name, "a plain value: rotation by layer type is not supported");
    }
    return rope;
  }
  if (defaults.scaling.is_null() || config.has("rope_parameters")) return std::nullopt;
  return JsonObject(config.file(), "rope_parameters.", defaults.scaling);
}

// A key inside the rope object takes precedence over the same key outside.
double rotated_share(const JsonObject& config, const std::optional<JsonObject>& rope, const RopeDefaults& defaults) {
  constexpr const char* key = "partial_rotary_factor";
  const JsonObject& holder = rope && rope->has(key) ? *rope : config;
  double share = holder.number_or(key, defaults.rotated_share.value_or(1), 0, 1);
  if (!defaults.rotated_share && share != 1) holder.refuse(key, "1 in this family");
  return share;
}

std::optional<double> nonzero(const JsonObject& rope, std::string_view key) {
  double value = rope.number_or(key, 0, 0, 1e3);
  return value == 0 ? std::nullopt : std::optional(value);
}

// The dimension whose wave makes `turns` full turns over the original context length.
double yarn_edge(const RopeSettings& s, double dim, double turns) {
  return dim * math::log(s.original_positions / (turns * 2 * std::numbers::pi)) / (2 * math::log(s.theta));
}

void stretch_yarn(const RopeSettings& s, double dim, std::vector<double>& f) {
  double low = yarn_edge(s, dim, s.beta_fast);
  double high = yarn_edge(s, dim, s.beta_slow);
  if (s.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;  // a step instead of a ramp, as in transformers
  for (std::size_t i = 0; i < f.size(); ++i) {
    double r = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    f[i] = f[i] * (1 - r) + f[i] / s.factor * r;
  }
}

void stretch_llama3(const RopeSettings& s, std::vector<double>& f) {
  for (double& x : f) {
    double wave = 2 * std::numbers::pi / x;
    double t = (s.original_positions / wave - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
    t = std::clamp(t, 0.0, 1.0);  // at 1 the wave is short and stays, at 0 it is long and is stretched
    x = (1 - t) * x / s.factor + t * x;
  }
}

}  // namespace

double yarn_magnitude(double factor, double k) { return factor <= 1 ? 1.0 : 0.1 * k * math::log(factor) + 1.0; }

RopeSettings read_rope(const JsonObject& config, std::uint32_t max_positions, const RopeDefaults& defaults) {
  RopeSettings s;
  s.theta = config.number_or("rope_theta", defaults.theta, 1.001, 1e15);
  std::optional<JsonObject> rope = rope_object(config, defaults);
  s.rotated_share = rotated_share(config, rope, defaults);
  if (!rope) return s;
  s.theta = rope->number_or("rope_theta", s.theta, 1.001, 1e15);
  s.scaling = scaling_of(*rope);
  if (s.scaling == RopeScaling::None) return s;
  s.mscale = nonzero(*rope, "mscale");
  s.mscale_all_dim = nonzero(*rope, "mscale_all_dim");
  if (s.scaling != RopeScaling::Linear) {
    s.original_positions = rope->number_or("original_max_position_embeddings", max_positions, 1, 1e9);
    s.original_positions = config.number_or("original_max_position_embeddings", s.original_positions, 1, 1e9);
  }
  if (s.scaling == RopeScaling::Yarn && !rope->has("factor")) {
    s.factor = std::max(1.0, max_positions / s.original_positions);
  } else {
    s.factor = rope->number("factor", 1, 1e6);
  }
  if (s.scaling == RopeScaling::Yarn) {
    s.beta_fast = rope->number_or("beta_fast", 32, 1e-6, 1e6);
    s.beta_slow = rope->number_or("beta_slow", 1, 1e-6, 1e6);
    if (rope->has("attention_factor")) s.attention_factor = rope->number("attention_factor", 1e-6, 1e6);
    s.truncate = rope->flag_or("truncate", true);
  } else if (s.scaling == RopeScaling::Llama3) {
    s.low_freq_factor = rope->number("low_freq_factor", 1e-6, 1e6);
    s.high_freq_factor = rope->number("high_freq_factor", 1e-6, 1e6);
    if (s.high_freq_factor <= s.low_freq_factor) rope->refuse("high_freq_factor", "above low_freq_factor");
  }
  return s;
}

std::uint32_t stretched_positions(const RopeSettings& s, std::uint32_t max_positions) {
  if (s.scaling != RopeScaling::Yarn) return max_positions;
  const double stretched = std::min<double>(std::floor(s.original_positions * s.factor), limits::positions);
  return std::max(max_positions, static_cast<std::uint32_t>(stretched));
}

Rope resolve_rope(const RopeSettings& s, std::uint32_t head_dim, RotaryPairs pairs) {
  auto dim = static_cast<std::uint32_t>(head_dim * s.rotated_share);
  std::vector<double> f((dim + 1) / 2);
  for (std::size_t i = 0; i < f.size(); ++i) f[i] = math::pow(s.theta, -2.0 * static_cast<double>(i) / dim);
  double magnitude = 1;
  switch (s.scaling) {
    case RopeScaling::None: break;
    case RopeScaling::Linear:
      for (double& x : f) x /= s.factor;
      break;
    case RopeScaling::Llama3: stretch_llama3(s, f); break;
    case RopeScaling::Yarn:
      stretch_yarn(s, dim, f);
      magnitude = yarn_magnitude(s.factor, 1);
      if (s.mscale && s.mscale_all_dim) {
        magnitude = yarn_magnitude(s.factor, *s.mscale) / yarn_magnitude(s.factor, *s.mscale_all_dim);
      }
      magnitude = s.attention_factor.value_or(magnitude);
      break;
  }
  return {static_cast<std::uint32_t>(2 * f.size()), pairs, std::vector<float>(f.begin(), f.end()),
          static_cast<float>(magnitude)};
}

}  // namespace moemill::model
