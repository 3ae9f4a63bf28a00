// Weights that are held as stored: which of them are, how much memory they take, and that their values are the same.
#include <doctest/doctest.h>

#include "compare.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;
using cpu::Format;

namespace {

const fs::path fp8_model = models / "deepseek_v3_fp8", mxfp4_model = models / "gpt_oss_mxfp4";

ModelConfig without_keeping(ModelConfig c) {
  c.quantization.keep = false;
  return c;
}

Weights load_all(const fs::path& dir, const ModelConfig& c) {
  return load_weights(dir.string(), c, contiguous_slices(c, 1), {0}, "auto");
}

// Memory of one copy of a published model.
HeldWeights published(const char* name) {
  return held_weights(read_config((fs::path(MOEMILL_SOURCE_DIR) / "configs/models" / name).string()));
}

double total(const HeldWeights& held) {
  return static_cast<double>(held.bf16_bytes + held.fp8_bytes + held.mxfp4_bytes);
}

}  // namespace

TEST_CASE("kept formats: models as published take what their files take") {
  const HeldWeights deepseek = published("deepseek-v3"), gpt_oss = published("gpt-oss-120b");
  CHECK(total(deepseek) == doctest::Approx(0.68e12).epsilon(0.02));
  CHECK(static_cast<double>(deepseek.fp8_bytes) > 0.98 * total(deepseek));
  CHECK(deepseek.widened_matrices == 0);
  CHECK(total(gpt_oss) == doctest::Approx(65e9).epsilon(0.02));
  CHECK(gpt_oss.fp8_bytes == 0);
  const HeldWeights decoded = held_weights(
      without_keeping(read_config((fs::path(MOEMILL_SOURCE_DIR) / "configs/models/gpt-oss-120b").string())));
  CHECK(decoded.mxfp4_bytes == 0);
  CHECK(decoded.bf16_bytes > 230'000'000'000);
}

TEST_CASE("kept formats: linear layers in FP8, all else in bf16") {
  const ModelConfig c = read_config(fp8_model.string());
  const Weights w = load_all(fp8_model, c);
  const LayerWeights& layer = w.layers[1];
  const MlaWeights& mla = std::get<MlaWeights>(layer.attention);
  for (const cpu::Matrix* m : {&mla.q_a, &mla.q_b, &mla.kv_a, &mla.out, &layer.moe.shared.down,
                               &layer.moe.experts[0].gate_up, &layer.moe.experts[0].down, &w.layers[0].dense.gate_up}) {
    CHECK(m->format == Format::Fp8);
    CHECK(m->scale_columns == 1);
  }
  for (const cpu::Matrix* m : {&mla.key_up[0], &mla.key_absorb[0], &layer.moe.router, &w.head}) {
    CHECK(m->format == Format::Bf16);
  }
  const ModelConfig plain = without_keeping(c);
  const Weights decoded = load_all(fp8_model, plain);
  CHECK(std::get<MlaWeights>(decoded.layers[1].attention).q_a.format == Format::Bf16);
  CHECK(decoded.bytes == weight_bytes(plain, contiguous_slices(c, 1), {0}));
  CHECK(decoded.digest.replicated == w.digest.replicated);
  CHECK(decoded.digest.experts == w.digest.experts);
  CHECK(w.bytes < decoded.bytes * 3 / 4);
  Compare compare(plain, fp8_model);
  compare.all(decoded, contiguous_slices(c, 1), {0});
  CHECK(compare.wrong == 0);
}

TEST_CASE("kept formats: experts in MXFP4, all else in bf16") {
  const ModelConfig c = read_config(mxfp4_model.string());
  const Weights w = load_all(mxfp4_model, c), decoded = load_all(mxfp4_model, without_keeping(c));
  CHECK(w.layers[0].moe.experts[0].gate_up.format == Format::Mxfp4);
  CHECK(w.layers[0].moe.experts[0].down.format == Format::Mxfp4);
  CHECK(std::get<GqaWeights>(w.layers[0].attention).q.format == Format::Bf16);
  CHECK(decoded.layers[0].moe.experts[0].down.format == Format::Bf16);
  CHECK(decoded.digest.experts == w.digest.experts);
  Compare compare(c, mxfp4_model);
  compare.all(decoded, contiguous_slices(c, 1), {0});
  CHECK(compare.wrong == 0);
}

TEST_CASE("kept formats: a module that was not quantised is held in bf16, and its memory is known before loading") {
  std::vector<RawTensor> tensors = read_tensors(fp8_model);
  const std::string name = "model.layers.1.mlp.experts.2.down_proj.weight";
  RawTensor& down = tensor(tensors, name);
  down.dtype = "BF16";
  down.bytes.resize(down.bytes.size() * 2, '\0');
  std::erase_if(tensors, [&](const RawTensor& t) { return t.name == name + "_scale_inv"; });
  TempDir dir;
  write_config(dir, fp8_model, Json::object());
  write_text(dir.path / "model.safetensors", safetensors(tensors));
  const ModelConfig c = read_config(dir.str()), stored = stored_config(dir.str(), c, "auto");
  const Weights w = load_all(dir.path, c);
  CHECK(w.layers[1].moe.experts[2].down.format == Format::Bf16);
  CHECK(w.layers[1].moe.experts[2].gate_up.format == Format::Fp8);
  CHECK(w.layers[1].moe.experts[1].down.format == Format::Fp8);
  CHECK(w.bytes == weight_bytes(stored, contiguous_slices(c, 1), {0}));
  CHECK(w.bytes > weight_bytes(c, contiguous_slices(c, 1), {0}));
}
