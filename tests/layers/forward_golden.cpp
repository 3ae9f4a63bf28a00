// The whole forward pass against what transformers computes with the same weights in fp32.
#include <doctest/doctest.h>

#include <fmt/format.h>

#include "layers/driver.hpp"
#include "layers/goldens.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

constexpr std::uint32_t greedy_tokens = 24;
// Rounding activations to bf16 moves a value by at most this part of itself.
constexpr double unit_roundoff = 1.0 / 512;

std::vector<Text> texts_of(const Goldens& goldens) {
  std::vector<Text> texts;
  for (auto& prompt : goldens.prompts()) texts.push_back({prompt, greedy_tokens});
  return texts;
}

void check_logits(const std::string& name, int ranks) {
  const Goldens goldens(name);
  const auto golden = goldens.read<float>("logits");
  const auto bf16_rms = goldens.read<float>("bf16_rms");
  const auto texts = texts_of(goldens);
  const auto answers = answer(model_dir(name), texts, {.ranks = ranks});
  const std::size_t vocabulary = model::read_config(model_dir(name)).vocabulary;
  std::size_t row = 0;
  std::string table;
  for (std::size_t p = 0; p < texts.size(); ++p) {
    const std::size_t count = texts[p].prompt.size() * vocabulary;
    const double error = rms_difference({golden.data() + row * vocabulary, count}, {answers[p].logits.data(), count});
    CAPTURE(p);
    CHECK(error <= 1.5 * bf16_rms[p]);
    table += fmt::format(" {:.2f}", error / bf16_rms[p]);
    row += texts[p].prompt.size();
  }
  MESSAGE(name, " on ", ranks, " ranks: RMS error of the logits, in transformers' own bf16 errors, by prompt:", table);
}

void check_greedy(const std::string& name) {
  const Goldens goldens(name);
  const auto ids = goldens.read<std::int32_t>("greedy/token_ids");
  const auto margins = goldens.read<float>("greedy/margin");
  const auto bf16_rms = goldens.read<float>("bf16_rms");
  const auto texts = texts_of(goldens);
  const auto answers = answer(model_dir(name), texts, {});
  std::size_t compared = 0;
  for (std::size_t p = 0; p < texts.size(); ++p) {
    REQUIRE(answers[p].generated.size() == greedy_tokens);
    for (std::size_t t = 0; t < greedy_tokens; ++t) {
      const std::size_t i = p * greedy_tokens + t;
      CAPTURE(p);
      CAPTURE(t);
      // The difference of two logits carries the errors of both; four of these are beyond chance.
      if (margins[i] > 4 * std::sqrt(2.0) * bf16_rms[p]) CHECK(answers[p].generated[t] == ids[i]);
      if (answers[p].generated[t] != ids[i]) break;  // from here on it is another text
      ++compared;
    }
  }
  MESSAGE(name, ": ", compared, " of ", ids.size(), " greedy tokens are transformers'");
  CHECK(compared >= ids.size() / 2);
}

// RMS of the difference, as a part of the golden's RMS, against what `roundings` independent roundings of the values on
// the way may do; twice that, because a softmax makes of a score's error |score| times that part of a probability.
void check_close(const std::string& what, std::span<const float> ours, std::span<const float> golden, int roundings) {
  CAPTURE(what);
  REQUIRE(ours.size() == golden.size());
  const double error = rms_difference(ours, golden) / rms(golden);
  CHECK_MESSAGE(error <= 2 * unit_roundoff * std::sqrt(roundings), what, ": relative RMS error ", error);
}

struct Traced {
  Goldens goldens;
  model::ModelConfig config;
  layers::Trace trace;
  std::size_t rows = 0;
};

Traced trace_prompt(const std::string& name) {
  Traced t{Goldens(name), model::read_config(model_dir(name)), {}, 0};
  const std::vector<Text> texts{{t.goldens.prompts()[t.goldens.trace_prompt()], 1}};
  t.rows = texts[0].prompt.size();
  std::vector<Answer> answers(1);
  Player(Comm::alone(), model_dir(name), texts, {}, &t.trace).play(answers);
  return t;
}

// Every layer rounds its attention's input, latent, rotary key and output, its MLP's input and inner values, and the
// rows that come home, and the stream carries the errors of the layers before.
int roundings_before(std::size_t layer) { return 8 * static_cast<int>(layer + 1); }

// Rows whose picks are the golden's in every layer up to this one: a pick that rounding changed is another sum.
std::vector<std::size_t> rows_with_same_picks(const Traced& t, std::size_t last_layer) {
  std::vector<std::size_t> rows(t.rows);
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  const std::size_t picks = t.config.moe.picks;
  for (std::size_t l = 0; l <= last_layer; ++l) {
    if (!t.config.layer_is_moe[l]) continue;
    const auto ids = t.goldens.read<std::int32_t>("trace/layers/" + std::to_string(l) + "/moe/topk_ids");
    std::erase_if(rows, [&](std::size_t r) {
      return !std::is_permutation(ids.data() + r * picks, ids.data() + (r + 1) * picks,
                                  t.trace.layers[l].picks.data() + r * picks);
    });
  }
  return rows;
}

std::vector<float> only(const std::vector<std::size_t>& rows, const float* from, std::size_t width) {
  std::vector<float> out;
  for (std::size_t r : rows) out.insert(out.end(), from + r * width, from + (r + 1) * width);
  return out;
}

void check_states(const std::string& name) {
  const Traced t = trace_prompt(name);
  const auto hidden = t.goldens.read<float>("trace/hidden");  // [layers + 1, rows, hidden]
  const std::size_t size = t.rows * t.config.hidden;
  // The embedding is exact.
  CHECK(std::equal(t.trace.embedding.begin(), t.trace.embedding.end(), hidden.begin(), hidden.begin() + size));
  for (std::size_t l = 0; l < t.config.layers; ++l) {
    const layers::LayerTrace& layer = t.trace.layers[l];
    const std::string at = "trace/layers/" + std::to_string(l) + "/";
    const std::size_t width = t.config.hidden;
    const auto rows = rows_with_same_picks(t, l);
    CHECK(rows.size() >= t.rows * 3 / 4);
    check_close(at + "attention_out", layer.attention_out, t.goldens.read<float>(at + "attention_out"),
                roundings_before(l));
    check_close(at + "hidden", only(rows, layer.hidden.data(), width),
                only(rows, hidden.data() + (l + 1) * size, width), roundings_before(l));
    // What the MLP adds, from the stream itself.
    const float* before = l == 0 ? t.trace.embedding.data() : t.trace.layers[l - 1].hidden.data();
    std::vector<float> mlp(size);
    for (std::size_t i = 0; i < size; ++i) mlp[i] = layer.hidden[i] - before[i] - layer.attention_out[i];
    check_close(at + "mlp_out", only(rows, mlp.data(), width),
                only(rows, t.goldens.read<float>(at + "mlp_out").data(), width), roundings_before(l));
  }
}

// The cache holds the latent after its norm, then the rotated key. transformers keeps DeepSeek-V3's rotary key as first
// members of all pairs, then second members; we keep pairs, as the weights have them.
void check_cache(const std::string& name) {
  const Traced t = trace_prompt(name);
  const std::size_t latent = t.config.mla.kv_lora_rank, rope = t.config.mla.qk_rope_dim, width = latent + rope;
  const bool halves_in_golden = t.config.model_type == "deepseek_v3";
  for (std::size_t l = 0; l < t.config.layers; ++l) {
    const std::string at = "trace/layers/" + std::to_string(l) + "/mla/";
    std::vector<float> latents, keys;
    for (std::size_t r = 0; r < t.rows; ++r) {
      const float* row = t.trace.layers[l].cache.data() + r * width;
      latents.insert(latents.end(), row, row + latent);
      for (std::size_t i = 0; i < rope; ++i) {
        keys.push_back(row[latent + (halves_in_golden ? i % (rope / 2) * 2 + i / (rope / 2) : i)]);
      }
    }
    check_close(at + "kv_latent", latents, t.goldens.read<float>(at + "kv_latent"), roundings_before(l));
    check_close(at + "k_rope", keys, t.goldens.read<float>(at + "k_rope"), roundings_before(l));
  }
}

void check_routing(const std::string& name) {
  const Traced t = trace_prompt(name);
  const auto margins = t.goldens.read<float>("routing_margin");  // [all rows, moe layers]
  const auto offsets = t.goldens.read<std::uint64_t>("prompts/offsets");
  const std::size_t first = offsets[t.goldens.trace_prompt()], experts = t.config.moe.experts,
                    picks = t.config.moe.picks;
  const auto moe_layers =
      static_cast<std::size_t>(std::count(t.config.layer_is_moe.begin(), t.config.layer_is_moe.end(), true));
  std::size_t m = 0, compared = 0;
  for (std::size_t l = 0; l < t.config.layers; ++l) {
    if (!t.config.layer_is_moe[l]) continue;
    const layers::LayerTrace& layer = t.trace.layers[l];
    const std::string at = "trace/layers/" + std::to_string(l) + "/moe/";
    check_close(at + "router_logits", layer.router_logits, t.goldens.read<float>(at + "router_logits"),
                roundings_before(l));
    check_close(at + "scores", layer.scores, t.goldens.read<float>(at + "scores"), roundings_before(l));
    const auto scores = t.goldens.read<float>(at + "scores");
    const auto ids = t.goldens.read<std::int32_t>(at + "topk_ids");
    const auto weights = t.goldens.read<float>(at + "topk_weights");
    std::vector<float> our_weights, golden_weights;
    for (std::size_t r = 0; r < t.rows; ++r) {
      float worst = 0;
      for (std::size_t e = 0; e < experts; ++e) {
        worst = std::max(worst, std::abs(layer.scores[r * experts + e] - scores[r * experts + e]));
      }
      // Two values that are compared, or two sums of two for groups, may each be off by that much.
      if (margins[(first + r) * moe_layers + m] <= 4 * worst) continue;
      ++compared;
      std::vector<std::int32_t> a(layer.picks.begin() + static_cast<std::ptrdiff_t>(r * picks),
                                  layer.picks.begin() + static_cast<std::ptrdiff_t>((r + 1) * picks));
      for (std::size_t k = 0; k < picks; ++k) {
        const auto place = std::find(a.begin(), a.end(), ids[r * picks + k]);
        CAPTURE(r);
        REQUIRE(place != a.end());
        golden_weights.push_back(weights[r * picks + k]);
        our_weights.push_back(layer.pick_weights[r * picks + static_cast<std::size_t>(place - a.begin())]);
      }
    }
    check_close(at + "topk_weights", our_weights, golden_weights, roundings_before(l));
    ++m;
  }
  MESSAGE(name, ": picks of ", compared, " of ", moe_layers * t.rows, " rows have a margin that rounding cannot cross");
  CHECK(compared >= moe_layers * t.rows / 2);
}

}  // namespace

TEST_CASE("deepseek_v3: logits are within transformers' bf16 error") {
  check_logits("deepseek_v3", 1);
  check_logits("deepseek_v3", 3);
}
TEST_CASE("deepseek_v2_lite: logits are within transformers' bf16 error") {
  check_logits("deepseek_v2_lite", 1);
  check_logits("deepseek_v2_lite", 3);
}
TEST_CASE("deepseek_v3: greedy tokens are transformers' wherever the margin allows") { check_greedy("deepseek_v3"); }
TEST_CASE("deepseek_v2_lite: greedy tokens are transformers' wherever the margin allows") {
  check_greedy("deepseek_v2_lite");
}
TEST_CASE("inner states are transformers'") {
  check_states("deepseek_v3");
  check_states("deepseek_v2_lite");
}
TEST_CASE("the cache holds transformers' latents and rotary keys") {
  check_cache("deepseek_v3");
  check_cache("deepseek_v2_lite");
}
TEST_CASE("router picks and weights are transformers' where the margin allows") {
  check_routing("deepseek_v3");
  check_routing("deepseek_v2_lite");
}
