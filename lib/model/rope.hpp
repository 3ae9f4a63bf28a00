// Reads the rotary embedding in all spellings of config.json (rope_scaling with `type` or `rope_type`, rope_parameters
// of transformers 5, rope_theta inside or outside) and resolves it to frequencies. Used by the family parsers.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "model/config.hpp"
#include "model/json_object.hpp"

namespace moemill::model {

// The family's defaults for absent keys.
struct RopeDefaults {
  double theta = 10000;
  // partial_rotary_factor; nullopt for a family that rotates whole heads and refuses the key.
  std::optional<double> rotated_share = std::nullopt;
  nlohmann::json scaling = nullptr;  // used as rope_parameters if the file has neither rope_scaling nor rope_parameters
};

struct RopeSettings {
  RopeScaling scaling = RopeScaling::None;
  double theta = 10000;
  double rotated_share = 1;  // fraction of a head's values that rotate
  double factor = 1;
  double original_positions = 0;                     // Yarn, Llama3
  double beta_fast = 32, beta_slow = 1;              // Yarn
  std::optional<double> mscale, mscale_all_dim;      // Yarn; nullopt if 0, as transformers reads them
  std::optional<double> attention_factor;            // Yarn: replaces the magnitude made from mscale
  bool truncate = true;                              // Yarn: round the ramp's bounds outwards
  double low_freq_factor = 1, high_freq_factor = 4;  // Llama3
};

// UserError for an unknown scaling names the known ones.
RopeSettings read_rope(const JsonObject& config, std::uint32_t max_positions, const RopeDefaults& defaults);
// Resolves the settings for heads of `head_dim` values. d = int(head_dim * rotated_share) values rotate, and d is also
// the d of the exponents; if d is odd one more value rotates, as in transformers. The caller checks Rope.dim against
// head_dim.
Rope resolve_rope(const RopeSettings& settings, std::uint32_t head_dim, RotaryPairs pairs);
// The number of positions that the model supports. YaRN multiplies the original number by its factor, even if the
// scaling was added to a published config.json whose max_position_embeddings was left as it was.
std::uint32_t stretched_positions(const RopeSettings& settings, std::uint32_t max_positions);
// m(k) = 0.1 k ln(factor) + 1, or 1 if factor is at most 1.
double yarn_magnitude(double factor, double k);

}  // namespace moemill::model
