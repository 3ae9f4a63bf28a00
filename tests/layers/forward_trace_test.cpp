// Inside the forward pass: attention outputs, cached keys and values, MLP outputs, router logits, picks and weights of
// one prompt of every reference model against what transformers has there in fp32.
#include <doctest/doctest.h>

#include "layers/driver.hpp"
#include "layers/goldens.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

// Rounding activations to bf16 moves a value by at most this part of itself.
constexpr double unit_roundoff = 1.0 / 512;

// RMS of the difference, as a part of the golden's RMS, against what `roundings` independent roundings of the values on
// the way may do; twice that, because a softmax makes of a score's error |score| times that part of a probability.
void check_close(const std::string& what, std::span<const float> ours, std::span<const float> golden, int roundings) {
  CAPTURE(what);
  REQUIRE(ours.size() == golden.size());
  const double error = rms_difference(ours, golden) / rms(golden);
  CHECK_MESSAGE(error <= 2 * unit_roundoff * std::sqrt(roundings), what, ": relative RMS error ", error);
}

// Every layer rounds its attention's input, what it caches and its output, its MLP's input and inner values, and the
// rows that come back, and the stream carries the errors of the layers before.
int roundings_before(std::size_t layer) { return 8 * static_cast<int>(layer + 1); }

struct Traced {
  Goldens goldens;
  model::ModelConfig config;
  layers::Trace trace;
  std::size_t rows = 0;

  explicit Traced(const std::string& name) : goldens(name), config(model::read_config(model_dir(name))) {
    const std::vector<Text> texts{{goldens.prompts()[goldens.trace_prompt()], 1}};
    rows = texts[0].prompt.size();
    std::vector<Answer> answers(1);
    Player<OnCpu> player(Comm::alone(), model_dir(name), texts, {});
    player.play(answers);
    trace = player.trace();
  }
  std::string at(std::size_t layer) const { return "trace/layers/" + std::to_string(layer) + "/"; }
};

// Rows before the first one that lost a pick to rounding in a layer below `layers`: that row is another sum, and later
// ones attend to it.
std::size_t rows_before_other_picks(const Traced& t, std::size_t layers) {
  std::size_t rows = t.rows;
  const std::size_t picks = t.config.moe.picks;
  for (std::size_t l = 0; l < layers; ++l) {
    if (!t.config.layer_is_moe[l]) continue;
    const auto ids = t.goldens.read<std::int32_t>(t.at(l) + "moe/topk_ids");
    const std::int32_t* ours = t.trace.layers[l].picks.data();
    for (std::size_t r = 0; r < rows; ++r) {
      if (!std::is_permutation(&ids[r * picks], &ids[r * picks] + picks, ours + r * picks)) rows = r;
    }
  }
  return rows;
}

// check_close of the first rows of a state of the layer.
void check_rows(const Traced& t, std::size_t layer, const std::string& name, std::size_t rows,
                const std::vector<float>& ours) {
  const auto golden = t.goldens.read<float>(t.at(layer) + name);
  REQUIRE(ours.size() == golden.size());
  const std::size_t count = golden.size() / t.rows * rows;
  check_close(t.at(layer) + name, std::span(ours).first(count), std::span(golden).first(count),
              roundings_before(layer));
}

void check_states(const Traced& t) {
  const auto hidden = t.goldens.read<float>("trace/hidden");  // [layers, rows, hidden]
  const std::size_t width = t.config.hidden, size = t.rows * width;
  CHECK(t.trace.embedding == t.goldens.read<float>("trace/embedding"));  // exact
  for (std::size_t l = 0; l < t.config.layers; ++l) {
    const layers::LayerTrace& layer = t.trace.layers[l];
    check_rows(t, l, "attention_out", rows_before_other_picks(t, l), layer.attention_out);
    const std::size_t rows = rows_before_other_picks(t, l + 1);
    check_close(t.at(l) + "hidden", std::span(layer.hidden).first(rows * width),
                std::span(hidden).subspan(l * size, rows * width), roundings_before(l));
    // What the MLP adds, from the stream itself.
    const float* before = l == 0 ? t.trace.embedding.data() : t.trace.layers[l - 1].hidden.data();
    std::vector<float> mlp(size);
    for (std::size_t i = 0; i < size; ++i) mlp[i] = layer.hidden[i] - before[i] - layer.attention_out[i];
    check_rows(t, l, "mlp_out", rows, mlp);
  }
}

// The cache holds the latent after its norm, then the rotated key. transformers keeps DeepSeek-V3's rotary key as first
// members of all pairs, then second members; we keep pairs, as the weights have them.
void check_latents(const Traced& t) {
  const std::size_t latent = t.config.mla.kv_lora_rank, rope = t.config.mla.qk_rope_dim, width = latent + rope;
  const bool halves_in_golden = t.config.model_type == "deepseek_v3";
  for (std::size_t l = 0; l < t.config.layers; ++l) {
    std::vector<float> latents, keys;
    for (std::size_t r = 0; r < t.rows; ++r) {
      const float* row = t.trace.layers[l].cache.data() + r * width;
      latents.insert(latents.end(), row, row + latent);
      for (std::size_t i = 0; i < rope; ++i) {
        keys.push_back(row[latent + (halves_in_golden ? i % (rope / 2) * 2 + i / (rope / 2) : i)]);
      }
    }
    check_rows(t, l, "mla/kv_latent", rows_before_other_picks(t, l), latents);
    check_rows(t, l, "mla/k_rope", rows_before_other_picks(t, l), keys);
  }
}

// The keys of all heads after norm and rotation, then the values.
void check_keys_and_values(const Traced& t) {
  const std::size_t width = std::size_t{t.config.gqa.kv_heads} * t.config.gqa.head_dim;
  for (std::size_t l = 0; l < t.config.layers; ++l) {
    std::vector<float> keys, values;
    for (std::size_t r = 0; r < t.rows; ++r) {
      const float* row = t.trace.layers[l].cache.data() + r * 2 * width;
      keys.insert(keys.end(), row, row + width);
      values.insert(values.end(), row + width, row + 2 * width);
    }
    check_rows(t, l, "gqa/key", rows_before_other_picks(t, l), keys);
    check_rows(t, l, "gqa/value", rows_before_other_picks(t, l), values);
  }
}

// The picks of one layer whose margin rounding cannot cross are transformers', with its weights. Returns their number.
std::size_t check_picks(const Traced& t, std::size_t l, std::span<const float> margins) {
  const layers::LayerTrace& layer = t.trace.layers[l];
  const std::size_t experts = t.config.moe.experts, picks = t.config.moe.picks;
  // The margin is one of scores (a correction bias is exact), or of logits where the softmax is over the picks alone.
  const bool by_logits = t.config.moe.score == model::RouterScore::SoftmaxOfPicks;
  const auto& ours = by_logits ? layer.router_logits : layer.scores;
  const auto compared = t.goldens.read<float>(t.at(l) + (by_logits ? "moe/router_logits" : "moe/scores"));
  const auto ids = t.goldens.read<std::int32_t>(t.at(l) + "moe/topk_ids");
  const auto weights = t.goldens.read<float>(t.at(l) + "moe/topk_weights");
  if (!by_logits) check_rows(t, l, "moe/scores", rows_before_other_picks(t, l), ours);
  std::vector<float> our_weights, golden_weights;
  std::size_t clear_rows = 0;
  for (std::size_t r = 0; r < t.rows; ++r) {
    float worst = 0;
    for (std::size_t e = r * experts; e < (r + 1) * experts; ++e)
      worst = std::max(worst, std::abs(ours[e] - compared[e]));
    // Two values that are compared, or two sums of two for groups, may each be off by that much.
    if (margins[r] <= 4 * worst) continue;
    ++clear_rows;
    const std::int32_t* row = layer.picks.data() + r * picks;
    for (std::size_t k = r * picks; k < (r + 1) * picks; ++k) {
      const auto* place = std::find(row, row + picks, ids[k]);
      CAPTURE(r);
      REQUIRE(place != row + picks);
      golden_weights.push_back(weights[k]);
      our_weights.push_back(layer.pick_weights[r * picks + static_cast<std::size_t>(place - row)]);
    }
  }
  check_close(t.at(l) + "topk_weights", our_weights, golden_weights, roundings_before(l));
  return clear_rows;
}

void check_routing(const std::string& name, const Traced& t) {
  const auto margins = t.goldens.read<float>("routing_margin");  // [all rows, moe layers]
  const auto first = t.goldens.read<std::uint64_t>("prompts/offsets")[t.goldens.trace_prompt()];
  const auto moe_layers =
      static_cast<std::size_t>(std::count(t.config.layer_is_moe.begin(), t.config.layer_is_moe.end(), true));
  std::size_t m = 0, clear_rows = 0;
  for (std::size_t l = 0; l < t.config.layers; ++l) {
    if (!t.config.layer_is_moe[l]) continue;
    check_rows(t, l, "moe/router_logits", rows_before_other_picks(t, l), t.trace.layers[l].router_logits);
    std::vector<float> of_layer(t.rows);
    for (std::size_t r = 0; r < t.rows; ++r) of_layer[r] = margins[(first + r) * moe_layers + m];
    clear_rows += check_picks(t, l, of_layer);
    ++m;
  }
  MESSAGE(name, ": picks of ", clear_rows, " of ", moe_layers * t.rows,
          " rows have a margin that rounding cannot cross");
  CHECK(clear_rows >= moe_layers * t.rows / 2);
}

}  // namespace

TEST_CASE("reference models: inner states, cache, router picks and weights are transformers'") {
  for (const std::string& name : reference_models) {
    CAPTURE(name);
    try {
      const Traced t(name);
      check_states(t);
      check_routing(name, t);
      if (t.config.attention == model::AttentionKind::Latent) {
        check_latents(t);
      } else {
        check_keys_and_values(t);
      }
    } catch (const std::exception& fault) {
      FAIL_CHECK(fault.what());
    }
  }
}
