// Rotary embedding as config.json spells it (rope_scaling with `type` or `rope_type`, or rope_parameters of
// transformers 5; rope_theta inside or outside), resolved to frequencies. Used by the family parsers.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "model/config.hpp"
#include "model/json_object.hpp"

namespace moemill::model {

// What a family means where the file says nothing.
struct RopeDefaults {
  double theta = 10000;
  // partial_rotary_factor; a family without one rotates whole heads and refuses the key.
  std::optional<double> rotated_share = std::nullopt;
  nlohmann::json scaling = nullptr;  // in the place of rope_parameters, where the file has neither
};

struct RopeSettings {
  RopeScaling scaling = RopeScaling::None;
  double theta = 10000;
  double rotated_share = 1;  // of a head's values
  double factor = 1;
  double original_positions = 0;                     // Yarn, Llama3
  double beta_fast = 32, beta_slow = 1;              // Yarn
  std::optional<double> mscale, mscale_all_dim;      // absent when 0, as transformers reads them
  std::optional<double> attention_factor;            // Yarn: replaces the magnitude made from mscale
  bool truncate = true;                              // Yarn: round the ramp's bounds outwards
  double low_freq_factor = 1, high_freq_factor = 4;  // Llama3
};

// UserError for a scaling that is not known, naming those that are.
RopeSettings read_rope(const JsonObject& config, std::uint32_t max_positions, const RopeDefaults& defaults);
// For heads of `head_dim` values of which the settings' share rotates: d = int(head_dim * share), which is also the d
// of the exponents; an odd d rotates one value more, as in transformers. The caller checks Rope.dim against head_dim.
Rope resolve_rope(const RopeSettings& settings, std::uint32_t head_dim, cpu::RotaryPairs pairs);
// Positions that the model is made for. YaRN stretches the original ones by its factor, also where somebody added the
// scaling to a published config.json and left max_position_embeddings as it was.
std::uint32_t stretched_positions(const RopeSettings& settings, std::uint32_t max_positions);
// m(k) = 0.1 k ln(factor) + 1, and 1 where nothing is stretched.
double yarn_magnitude(double factor, double k);

}  // namespace moemill::model
