// Weights that are rounded to int8 as they are loaded: which ones, to which codes, in how much memory. The same codes
// in any placement, from every form of file.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "kernels/int8.hpp"
#include "model/folders.hpp"
#include "support/placements.hpp"
#include "system/machine/flush_subnormals.hpp"
#include "weights/cpu/weights.hpp"
#include "weights/plan_writer.hpp"
#include "weights/stored_model.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;
using cpu::Format;
using cpu::Matrix;

namespace {

ModelConfig config_of(const fs::path& dir, Arithmetic arithmetic) {
  ModelConfig c = read_config(dir.string());
  c.arithmetic = arithmetic;
  return c;
}

Weights load(const fs::path& dir, const ModelConfig& c, const std::string& load_format = "auto") {
  return load_weights(dir.string(), c, contiguous_slices(c, 1), {0}, load_format);
}

void add(std::vector<const Matrix*>& out, const MlpWeights& mlp) {
  if (mlp.width > 0) out.insert(out.end(), {&mlp.gate_up, &mlp.down});
}

// Matrices that int8 rounds, without those of routed experts.
std::vector<const Matrix*> shared_products(const LayerWeights& w) {
  std::vector<const Matrix*> out;
  if (const auto* mla = std::get_if<MlaWeights>(&w.attention)) {
    out = {&mla->q, &mla->q_a, &mla->q_b, &mla->kv_a, &mla->out};
  } else {
    const auto& gqa = std::get<GqaWeights>(w.attention);
    out = {&gqa.q, &gqa.k, &gqa.v, &gqa.out};
  }
  std::erase_if(out, [](const Matrix* m) { return m->data == nullptr; });  // q, or q_a and q_b
  add(out, w.dense), add(out, w.moe.shared);
  return out;
}

std::vector<const Matrix*> products(const Weights& w) {
  std::vector<const Matrix*> out;
  for (const LayerWeights& layer : w.layers) {
    const auto shared = shared_products(layer);
    out.insert(out.end(), shared.begin(), shared.end());
    for (const MlpWeights& expert : layer.moe.experts) add(out, expert);
  }
  return out;
}

// Matrices that every arithmetic leaves as they are.
std::vector<const Matrix*> unrounded(const Weights& w) {
  std::vector<const Matrix*> out = {&w.head};
  for (const LayerWeights& layer : w.layers) {
    if (layer.moe.router.data != nullptr) out.push_back(&layer.moe.router);
    const auto* mla = std::get_if<MlaWeights>(&layer.attention);
    if (mla == nullptr) continue;
    for (const auto* heads : {&mla->key_up, &mla->value_up, &mla->key_absorb})
      for (const Matrix& m : *heads) out.push_back(&m);
  }
  return out;
}

bool same_bytes(const Matrix& a, const Matrix& b) {
  return a.k == b.k && a.n == b.n && a.format == b.format && std::memcmp(a.data, b.data, cpu::packed_bytes(a)) == 0;
}

// Codes and scales of `rounded` that are not those of the values.
std::size_t wrong_codes(const Matrix& values, const Matrix& rounded) {
  const FlushSubnormals flush;
  std::size_t wrong = 0;
  for (std::uint32_t j = 0; j < values.n; ++j) {
    for (std::uint32_t first = 0; first < values.k; first += cpu::int8_group) {
      const std::uint32_t count = std::min<std::uint32_t>(cpu::int8_group, values.k - first);
      float group[cpu::int8_group];
      std::int8_t codes[cpu::int8_group];
      for (std::uint32_t i = 0; i < count; ++i) group[i] = to_float(packed_at(values, first + i, j));
      const float scale = cpu::quantize_group(group, count, codes);
      for (std::uint32_t i = 0; i < count; ++i) {
        const cpu::Int8Weight w = int8_at(rounded, first + i, j);
        wrong += w.code != codes[i] || w.scale != scale;
      }
    }
  }
  return wrong;
}

void check_rounded(const Weights& plain, const Weights& rounded) {
  const auto from = products(plain), to = products(rounded), kept = unrounded(plain), same = unrounded(rounded);
  REQUIRE(from.size() == to.size());
  REQUIRE(kept.size() == same.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    REQUIRE(to[i]->format == Format::Int8);
    wrong += wrong_codes(*from[i], *to[i]);
  }
  for (std::size_t i = 0; i < kept.size(); ++i) wrong += !same_bytes(*kept[i], *same[i]);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("int8 weights: every family's products are rounded from their bf16 values, all else stays") {
  for (const auto& folder : fs::directory_iterator(models)) {
    CAPTURE(folder.path().filename().string());
    ModelConfig exact = config_of(folder, Arithmetic::Bf16);
    const ModelConfig int8 = config_of(folder, Arithmetic::Int8);
    const Weights rounded = load(folder, int8), plain = load(folder, exact);
    check_rounded(plain, rounded);
    CHECK(rounded.bytes ==
          weight_bytes(stored_config(folder.path().string(), int8, "auto"), contiguous_slices(int8, 1), {0}));
    CHECK(rounded.digest.replicated == plain.digest.replicated);
    CHECK(rounded.digest.experts == plain.digest.experts);  // as these tensors fit into one piece each
  }
}

TEST_CASE("int8 weights: the same codes in any placement and with the other setting of keep_quantized") {
  for (const char* name : {"deepseek_v3_fp8", "gpt_oss", "gpt_oss_mxfp4"}) {
    CAPTURE(name);
    ModelConfig c = config_of(models / name, Arithmetic::Int8);
    const Weights whole = load(models / name, c);
    c.quantization.keep = false;
    const Placement placement = placement_for(c, 3, Spread::SomeTwice);
    for (const DomainRank rank : {DomainRank{0}, DomainRank{1}, DomainRank{2}}) {
      const Weights part = load_weights((models / name).string(), c, placement, rank, "auto");
      for (std::uint32_t l = 0; l < c.layers; ++l) {
        const auto a = shared_products(whole.layers[l]), b = shared_products(part.layers[l]);
        REQUIRE(a.size() == b.size());
        for (std::size_t i = 0; i < a.size(); ++i) CHECK(same_bytes(*a[i], *b[i]));
        const NodeExperts own(placement, rank);
        const auto slots = own.layer({static_cast<std::int32_t>(l)});
        REQUIRE(part.layers[l].moe.experts.size() == (c.layer_is_moe[l] ? slots.size() : 0));
        for (std::size_t i = 0; i < part.layers[l].moe.experts.size(); ++i) {
          const MlpWeights &mine = part.layers[l].moe.experts[i],
                           &theirs = whole.layers[l].moe.experts[static_cast<std::size_t>(slots[i].value)];
          CHECK(same_bytes(mine.gate_up, theirs.gate_up));
          CHECK(same_bytes(mine.down, theirs.down));
        }
      }
    }
  }
}

// Rows of 3,000 values make pieces of 160 inputs in bf16, which are no whole groups of int8.
TEST_CASE("int8 weights: matrices stored input first are cut at groups") {
  TempDir dir;
  write_config(dir, models / "gpt_oss",
               {{"hidden_size", 400},
                {"intermediate_size", 1500},
                {"num_hidden_layers", 1},
                {"num_local_experts", 2},
                {"num_experts_per_tok", 1},
                {"layer_types", {"full_attention"}}});
  const ModelConfig int8 = config_of(dir.path, Arithmetic::Int8);
  const Weights rounded = load(dir.path, int8, "dummy");
  check_rounded(load(dir.path, config_of(dir.path, Arithmetic::Bf16), "dummy"), rounded);
  CHECK(rounded.layers[0].moe.experts[0].gate_up.k == 400);
  std::vector<Piece> pieces;
  PlanWriter(nullptr, &pieces).inputs(0, 0, {{0, 400, 0, 1500}, {0, 400, 1504, 1500}}, cpu::int8_group);
  REQUIRE(pieces.size() == 4);
  for (const Piece& piece : pieces) CHECK(std::get<RowsPiece>(piece).first_row % cpu::int8_group == 0);
}

TEST_CASE("int8 weights: about half the memory of bf16, known before loading") {
  const auto held = [](const fs::path& dir, Arithmetic arithmetic) { return held_weights(config_of(dir, arithmetic)); };
  const fs::path shapes = fs::path(MOEMILL_SOURCE_DIR) / "configs";
  for (const std::string name : {"bench/deepseek-0.5b", "bench/qwen3-0.5b", "bench/olmoe-0.5b", "models/qwen3-30b-a3b",
                                 "models/deepseek-v3", "models/gpt-oss-120b"}) {
    CAPTURE(name);
    ModelConfig c = config_of(shapes / name, Arithmetic::Bf16);
    c.quantization.keep = false;
    const HeldWeights plain = held_weights(c), rounded = held(shapes / name, Arithmetic::Int8);
    const auto replaced = static_cast<double>(plain.all_bytes() - (rounded.all_bytes() - rounded.int8_bytes));
    MESSAGE(name, ": ", static_cast<double>(plain.all_bytes()) * 1e-9, " GB in bf16, ",
            static_cast<double>(rounded.all_bytes()) * 1e-9, " GB with int8");
    CHECK(static_cast<double>(rounded.int8_bytes) < 0.53 * replaced);
    CHECK(rounded.fp8_bytes + rounded.mxfp4_bytes == 0);
    CHECK(rounded.widened_matrices == 0);
  }
}
