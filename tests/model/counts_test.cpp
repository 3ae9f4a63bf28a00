#include <cmath>

#include "expected.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

ModelConfig read_published(const std::string& name) {
  return read_config((fs::path(MOEMILL_SOURCE_DIR) / "configs/models" / name).string());
}

std::uint64_t table(const ModelConfig& c) { return std::uint64_t{c.vocabulary} * c.hidden; }

// Publishers count the parameters a token uses in three ways: ours (the head, not the embedding table), with both, or
// with neither.
enum class Counted { Head, Both, Neither };

std::uint64_t active_as_published(const ModelConfig& c, Counted counted) {
  std::uint64_t ours = count_parameters(c).active;
  return counted == Counted::Head ? ours : counted == Counted::Both ? ours + table(c) : ours - table(c);
}

std::uint64_t stored_values(const RawTensor& t) {
  if (t.name.ends_with("_scale_inv") || t.name.ends_with("_scales")) return 0;
  std::uint64_t n = t.name.ends_with("_blocks") ? 2 : 1;  // two values a byte
  for (std::uint64_t extent : t.shape) n *= extent;
  return n;
}

}  // namespace

TEST_CASE("counts: published models") {
  // `total` is what transformers 5.23 builds from the same file. The published figures, in 1e9, are those of the model
  // cards and reports, to be met within a unit of their last digit: some are rounded, some cut off.
  struct Row {
    const char* name;
    std::uint64_t total;
    double published, unit;
    Counted counted;
    double active, active_unit;
    std::uint64_t kv_bytes;
  };
  const Row rows[] = {
      {"deepseek-v3", 671026419200, 671, 1, Counted::Head, 37, 1, 70272},
      {"deepseek-v2-lite", 15706484224, 15.7, 0.1, Counted::Head, 2.4, 0.1, 31104},
      {"kimi-k2", 1026408232448, 1026, 1, Counted::Head, 32, 1, 70272},
      {"qwen3-30b-a3b", 30532122624, 30.5, 0.1, Counted::Both, 3.3, 0.1, 98304},
      {"qwen3-235b-a22b", 235093634560, 235, 1, Counted::Both, 22, 1, 192512},
      {"mixtral-8x7b", 46702792704, 46.7, 0.1, Counted::Both, 12.9, 0.1, 131072},
      {"mixtral-8x22b", 140620634112, 141, 1, Counted::Both, 39, 1, 229376},
      {"olmoe-1b-7b", 6919161856, 6.9, 0.1, Counted::Both, 1.3, 0.1, 131072},
      // Published as 355: with the MTP layer, which is 3.8, and without embeddings and head.
      {"glm-4.5", 352797829024, 353, 1, Counted::Neither, 32, 1, 376832},
      {"glm-4.5-air", 106852251264, 106, 1, Counted::Neither, 12, 1, 188416},
      {"gpt-oss-20b", 20914757184, 20.9, 0.1, Counted::Head, 3.6, 0.1, 49152},
      {"gpt-oss-120b", 116829156672, 116.8, 0.1, Counted::Head, 5.1, 0.1, 73728},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    ModelConfig c = read_published(row.name);
    CHECK(c.warnings.empty());
    CHECK(count_parameters(c).total == row.total);
    CHECK(std::abs(static_cast<double>(row.total) / 1e9 - row.published) < row.unit);
    CHECK(std::abs(static_cast<double>(active_as_published(c, row.counted)) / 1e9 - row.active) < row.active_unit);
    CHECK(kv_bytes_per_token(c) == row.kv_bytes);
  }
}

TEST_CASE("counts: GLM-4.5 as its report counts it") {
  // One MTP layer is a MoE layer, three norms, and a matrix that joins embedding and hidden state.
  ModelConfig c = read_published("glm-4.5");
  ModelConfig one_more = c;
  one_more.layers += 1;
  one_more.layer_is_moe.push_back(true);
  std::uint64_t mtp = count_parameters(one_more).total - count_parameters(c).total + 2ull * c.hidden * c.hidden;
  double published = static_cast<double>(count_parameters(c).total + mtp - 2 * table(c)) / 1e9;
  CHECK(published == doctest::Approx(355).epsilon(0.5 / 355));
}

TEST_CASE("counts: routed experts") {
  CHECK(count_parameters(read_published("deepseek-v3")).routed == 58ull * 256 * 3 * 7168 * 2048);
  // With biases on gate, up and down.
  CHECK(count_parameters(read_published("gpt-oss-20b")).routed == 24ull * 32 * (3 * 2880 * 2880 + 3 * 2880));
}

TEST_CASE("counts: parameters counted are the parameters stored") {
  for (const char* name : {"deepseek_v3", "deepseek_v2_lite", "deepseek_v3_fp8", "mixtral", "mixtral_window",
                           "qwen2_moe", "qwen3_moe", "olmoe", "glm4_moe", "gpt_oss", "gpt_oss_mxfp4"}) {
    CAPTURE(name);
    ModelConfig c = read_config((models / name).string());
    std::uint64_t stored = 0;
    for (const RawTensor& t : read_tensors(models / name)) {
      if (!t.name.starts_with("model.layers." + std::to_string(c.layers) + ".")) stored += stored_values(t);
    }
    CHECK(count_parameters(c).total == stored);
  }
}

TEST_CASE("counts: operations a token, latent attention") {
  ModelConfig c = read_published("deepseek-v3");
  double base = flops_per_generated_token(c, 0);
  // Two operations for each active weight; norms and biases (below 0.01 %) are not multiplied.
  CHECK(base == doctest::Approx(2.0 * static_cast<double>(count_parameters(c).active)).epsilon(1e-4));
  // Absorbed: 1088 multiply-adds a head, layer and position; expanded: 320.
  CHECK(flops_per_generated_token(c, 1000) - base == doctest::Approx(2.0 * 1000 * 61 * 128 * 1088));
  CHECK(flops_per_prompt_token(c, 1000, 1) - flops_per_prompt_token(c, 0, 0) ==
        doctest::Approx(2.0 * 1000 * 61 * 128 * 320 + 2.0 * 7168 * 129280));
}

TEST_CASE("counts: operations a token that int8 rounds are all but kv_b, routers and head") {
  const ModelConfig c = read_published("deepseek-v3"), qwen = read_published("qwen3-30b-a3b");
  const double kv_b = 2.0 * 61 * 512 * 128 * (128 + 128), routers = 2.0 * 58 * 7168 * 256, head = 2.0 * 7168 * 129280;
  CHECK(flops_per_prompt_token(c, 0, 1) - rounded_flops_per_token(c) == doctest::Approx(kv_b + routers + head));
  CHECK(flops_per_prompt_token(qwen, 0, 0) - rounded_flops_per_token(qwen) == doctest::Approx(2.0 * 48 * 2048 * 128));
}

TEST_CASE("counts: operations of fp32 values are routers, attention's core and what it has not rounded") {
  const ModelConfig c = read_published("deepseek-v3"), qwen = read_published("qwen3-30b-a3b");
  const double routers = 2.0 * 58 * 7168 * 256, out = 2.0 * 61 * 128 * 128 * 7168;
  const double kv_b = 2.0 * 61 * 512 * 128 * (128 + 128);
  CHECK(exact_flops_per_prompt_token(c, 10) == doctest::Approx(routers + out + 2.0 * 10 * 61 * 128 * 320));
  CHECK(exact_flops_per_generated_token(c, 10) == doctest::Approx(routers + out + kv_b + 2.0 * 10 * 61 * 128 * 1088));
  // Of a grouped-query layer all but the experts: 32 query heads, 4 key-value heads, twice.
  CHECK(exact_flops_per_prompt_token(qwen, 0) ==
        doctest::Approx(2.0 * 48 * (2048 * 128 + 2.0 * 2048 * (32 + 4) * 128)));
  ModelConfig int8 = qwen;
  int8.arithmetic = Arithmetic::Int8;
  CHECK(exact_flops_per_prompt_token(int8, 0) == doctest::Approx(2.0 * 48 * 2048 * 128));
}

TEST_CASE("counts: operations a token, grouped-query attention") {
  for (const char* name : {"qwen3-30b-a3b", "mixtral-8x22b", "olmoe-1b-7b", "glm-4.5", "gpt-oss-120b"}) {
    CAPTURE(name);
    ModelConfig c = read_published(name);
    CHECK(flops_per_generated_token(c, 0) ==
          doctest::Approx(2.0 * static_cast<double>(count_parameters(c).active)).epsilon(1e-3));
    CHECK(flops_per_prompt_token(c, 0, 1) == flops_per_generated_token(c, 0));
  }
  // Two multiply-adds for each value of each query head and position, in either kind of token.
  ModelConfig qwen = read_published("qwen3-30b-a3b");
  double a_position = 2.0 * 2 * 48 * 32 * 128;
  CHECK(flops_per_generated_token(qwen, 1000) - flops_per_generated_token(qwen, 0) ==
        doctest::Approx(1000 * a_position));
  CHECK(flops_per_prompt_token(qwen, 1000, 0) - flops_per_prompt_token(qwen, 0, 0) ==
        doctest::Approx(1000 * a_position));
  // gpt-oss: half of the layers see 128 positions at most.
  ModelConfig oss = read_published("gpt-oss-120b");
  CHECK(windowed_layers(oss) == 18);
  double a_layer_position = 2.0 * 2 * 64 * 64;
  CHECK(flops_per_generated_token(oss, 1000) - flops_per_generated_token(oss, 0) ==
        doctest::Approx((18 * 1000 + 18 * 128) * a_layer_position));
  CHECK(flops_per_generated_token(oss, 100) - flops_per_generated_token(oss, 0) ==
        doctest::Approx(36 * 100 * a_layer_position));
}

TEST_CASE("counts: the benchmarks' models have about half a billion parameters, in three kinds of attention") {
  const auto read_bench = [](const char* name) {
    return read_config((fs::path(MOEMILL_SOURCE_DIR) / "configs/bench" / name).string());
  };
  const ModelConfig deepseek = read_bench("deepseek-0.5b"), qwen = read_bench("qwen3-0.5b"),
                    olmoe = read_bench("olmoe-0.5b");
  for (const ModelConfig* config : {&deepseek, &qwen, &olmoe}) {
    CHECK(config->layers == 8);
    CHECK(config->hidden == 1024);
    CHECK(config->moe.experts == 32);
    CHECK(count_parameters(*config).total > 400'000'000);
    CHECK(count_parameters(*config).total < 600'000'000);
  }
  CHECK(deepseek.attention == AttentionKind::Latent);
  CHECK(deepseek.moe.shared_width > 0);
  CHECK(qwen.gqa.kv_heads < qwen.gqa.heads);
  CHECK(qwen.gqa.qk_norm == QkNorm::PerHead);
  CHECK(olmoe.gqa.kv_heads == olmoe.gqa.heads);
  CHECK(olmoe.gqa.qk_norm == QkNorm::AllHeads);
}
