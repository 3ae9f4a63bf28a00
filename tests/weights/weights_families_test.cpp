// Loaded weights of every family and storage format, compared with the files.
#include <doctest/doctest.h>

#include "compare.hpp"
#include "system/machine/flush_subnormals.hpp"
#include "weights/files/decode.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;

namespace {

Weights load_on(const fs::path& dir, const ModelConfig& c, std::uint32_t domain, std::int32_t rank, int threads) {
  ThreadTeam team(threads);
  return load_weights(dir.string(), c, contiguous_slices(c, domain), {rank}, "auto", team);
}

void rewrite(const TempDir& dir, const fs::path& from, const std::vector<RawTensor>& tensors, const Json& patch = {}) {
  write_config(dir, from, patch.is_null() ? Json::object() : patch);
  write_text(dir.path / "model.safetensors", safetensors(tensors));
}

std::string load_error(const TempDir& dir) {
  ModelConfig c = read_config(dir.str());
  return user_error_of([&] { load_weights(dir.str(), c, contiguous_slices(c, 1), {0}, "auto"); });
}

// Compares a whole model. Returns the number of values.
std::uint64_t compare_all(const fs::path& dir) {
  ModelConfig c = read_config(dir.string());
  Compare compare(c, dir);
  Weights w = load_on(dir, c, 1, 0, 1);
  compare.all(w, contiguous_slices(c, 1), {0});
  CHECK(compare.wrong == 0);
  CHECK(compare.left_over().empty());
  return compare.compared;
}

}  // namespace

TEST_CASE("families: every tensor of the files is in its place, on every rank and number of threads") {
  for (const char* family : {"qwen3_moe", "qwen2_moe", "olmoe", "mixtral", "mixtral_window", "glm4_moe", "gpt_oss",
                             "gpt_oss_mxfp4", "deepseek_v2_lite", "deepseek_v3_fp8"}) {
    CAPTURE(family);
    const fs::path dir = models / family;
    ModelConfig c = read_config(dir.string());
    Compare compare(c, dir);
    for (std::uint32_t domain : {1u, 3u, 17u}) {
      for (std::int32_t rank = 0; rank < static_cast<std::int32_t>(domain); rank += domain == 17 ? 4 : 1) {
        CAPTURE(domain);
        CAPTURE(rank);
        Weights w = load_on(dir, c, domain, rank, domain == 3 ? 3 : 1);
        CHECK(w.bytes == weight_bytes(c, contiguous_slices(c, domain), {rank}));
        compare.all(w, contiguous_slices(c, domain), {rank});
        CHECK(compare.wrong == 0);
      }
    }
    CHECK(compare.left_over().empty());
    CHECK(compare.compared > 500000);
  }
}

TEST_CASE("families: check_model_files accepts what load_weights loads") {
  for (const auto& entry : fs::directory_iterator(models)) {
    CAPTURE(entry.path().string());
    CHECK(check_model_files(entry.path().string(), read_config(entry.path().string()), "auto").empty());
  }
}

TEST_CASE("decode: every E4M3 code under awkward scales is the rounded fp32 product") {
  for (float scale : {1.0f, 0.1f, 3.0f, 1e-30f, 7.7e-39f, 0x1p-126f, -0.3f, 1.2345e5f, 0.0f}) {
    CAPTURE(scale);
    std::vector<std::uint8_t> codes(256);
    for (std::size_t i = 0; i < 256; ++i) codes[i] = static_cast<std::uint8_t>(i);
    std::vector<bf16> out(256);
    decode_fp8({reinterpret_cast<const std::byte*>(codes.data()), 0, 1, 256, &scale, 1, 256}, out.data());
    for (std::size_t i = 0; i < 256; ++i) {
      CAPTURE(i);
      // Subnormal scales and weights count as zeros, in every mode of the thread.
      const FlushSubnormals flush;
      const float wanted = e4m3_value(codes[i]) * scale;
      if ((i & 0x7f) == 0x7f) {
        CHECK(std::isnan(to_float(out[i])));
      } else {
        CHECK(out[i] == to_bf16(wanted));
      }
    }
  }
}

TEST_CASE("decode: every scale of an FP8 matrix covers its block, whichever rows a piece begins and ends with") {
  const std::uint64_t rows = 13, columns = 11;
  for (auto [block_rows, block_columns] : {std::pair{4u, 3u}, {1u, 11u}, {13u, 1u}, {5u, 128u}, {128u, 128u}}) {
    const std::uint64_t width = (columns + block_columns - 1) / block_columns;
    std::vector<std::byte> codes(rows * columns, std::byte{0x38});  // 1.0
    std::vector<float> scales((rows + block_rows - 1) / block_rows * width);
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<float>(i + 1);
    for (std::uint64_t first = 0; first < rows; ++first) {
      for (std::uint64_t count = 1; first + count <= rows; ++count) {
        std::vector<bf16> out(count * columns);
        decode_fp8({codes.data() + first * columns, first, count, columns, scales.data() + first / block_rows * width,
                    block_rows, block_columns},
                   out.data());
        std::size_t wrong = 0;
        for (std::uint64_t r = 0; r < count; ++r) {
          for (std::uint64_t j = 0; j < columns; ++j) {
            wrong += to_float(out[r * columns + j]) != scales[(first + r) / block_rows * width + j / block_columns];
          }
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("decode: every MXFP4 nibble under every scale") {
  for (int scale = 0; scale < 256; ++scale) {
    CAPTURE(scale);
    std::vector<std::uint8_t> block(16);
    for (std::size_t i = 0; i < 16; ++i) block[i] = static_cast<std::uint8_t>(i | (15 - i) << 4);
    const auto stored = static_cast<std::byte>(scale);
    std::vector<bf16> out(32);
    decode_mxfp4(reinterpret_cast<const std::byte*>(block.data()), &stored, 1, out.data());
    for (std::size_t i = 0; i < 32; ++i) {
      const auto nibble = static_cast<std::uint8_t>(i % 2 == 0 ? i / 2 : 15 - i / 2);
      double wanted = mxfp4_value(nibble, static_cast<std::uint8_t>(scale));
      // Subnormal scales and weights count as zeros.
      if (scale == 0 || std::fabs(wanted) < 0x1p-126) wanted = std::copysign(0.0, wanted);
      CAPTURE(i);
      if (scale == 255) {
        CHECK(std::isnan(to_float(out[i])));
      } else if (std::fabs(wanted) < 0x1p128) {
        CHECK(double{to_float(out[i])} == wanted);  // exact
        CHECK(std::signbit(to_float(out[i])) == std::signbit(wanted));
      } else {
        CHECK(std::isinf(to_float(out[i])));
      }
    }
    const bool finite = scale <= 252;  // 6 * 2^125 is below 2^128
    CHECK(all_finite(out.data(), out.size()) == finite);
  }
}

TEST_CASE("decode: what is not finite is found wherever it is") {
  for (std::size_t count : {1u, 3u, 4u, 9u}) {
    std::vector<bf16> values(count, bf16{0xff7f});  // the largest finite size
    CHECK(all_finite(values.data(), count));
    for (std::size_t i = 0; i < count; ++i) {
      for (std::uint16_t bits : {0x7f80, 0xff80, 0x7fc0, 0xffff}) {
        std::vector<bf16> changed = values;
        changed[i] = bf16{bits};
        CHECK_FALSE(all_finite(changed.data(), count));
      }
    }
  }
}

TEST_CASE("fp8: different blocks, BF16 scales and matrices left in bf16") {
  const fs::path from = models / "deepseek_v3_fp8";
  std::vector<RawTensor> tensors = read_tensors(from);
  Json patch = Json::object();
  SUBCASE("BF16 scales are taken exactly") {
    for (RawTensor& t : tensors) {
      if (!t.name.ends_with("_scale_inv")) continue;
      std::string cut;
      for (std::size_t i = 0; i < t.bytes.size(); i += 4) cut += t.bytes.substr(i + 2, 2);
      t.dtype = "BF16", t.bytes = cut;
    }
  }
  SUBCASE("blocks of 100 by 7") {
    patch = {{"quantization_config", {{"weight_block_size", {100, 7}}}}};
    for (RawTensor& t : tensors) {
      if (!t.name.ends_with("_scale_inv")) continue;
      const RawTensor& matrix = tensor(tensors, t.name.substr(0, t.name.size() - 10));
      t.shape = {(matrix.shape[0] + 99) / 100, (matrix.shape[1] + 6) / 7};
      t.bytes.clear();
      for (std::uint64_t i = 0; i < t.shape[0] * t.shape[1]; ++i) {
        const float scale = 0.01f + 0.001f * static_cast<float>(i);
        t.bytes.append(reinterpret_cast<const char*>(&scale), 4);
      }
    }
  }
  SUBCASE("one matrix in bf16") {
    RawTensor& t = tensor(tensors, "model.layers.1.mlp.experts.3.up_proj.weight");
    std::string wide;
    for (char c : t.bytes) {
      const bf16 x = to_bf16(static_cast<float>(c));
      wide.append(reinterpret_cast<const char*>(&x), 2);
    }
    t.dtype = "BF16", t.bytes = wide;
    std::erase_if(tensors, [&](const RawTensor& s) { return s.name == t.name + "_scale_inv"; });
  }
  TempDir dir;
  rewrite(dir, from, tensors, patch);
  CHECK(compare_all(dir.path) > 500000);
}

TEST_CASE("gpt-oss: F32 fused experts are rounded with a warning, biases and sinks stay exact") {
  const fs::path from = models / "gpt_oss";
  std::vector<RawTensor> tensors = read_tensors(from);
  for (RawTensor& t : tensors) {
    const bool experts = t.name == "model.layers.2.mlp.experts.gate_up_proj";
    if (!experts && !t.name.ends_with("sinks") && !t.name.ends_with("bias")) continue;
    std::string wide;
    for (std::size_t i = 0; i < t.bytes.size() / 2; ++i) {
      const float x = to_float(bf16_at(t, i)) * (1 + 0x1p-9f * static_cast<float>(i % 3));  // between two bf16 values
      wide.append(reinterpret_cast<const char*>(&x), 4);
    }
    t.dtype = "F32", t.bytes = wide;
  }
  TempDir dir;
  rewrite(dir, from, tensors);
  ModelConfig c = read_config(dir.str());
  Compare compare(c, dir.path);
  Weights w = load_on(dir.path, c, 1, 0, 1);
  const auto warnings = check_model_files(dir.str(), c, "auto");
  REQUIRE(warnings.size() == 1);
  check_contains(warnings[0], {"1 matrices", "rounded", "model.layers.2.mlp.experts.gate_up_proj"});
  compare.all(w, contiguous_slices(c, 1), {0});
  CHECK(compare.wrong == 0);
}

TEST_CASE("formats: damaged weights are refused by file and tensor") {
  TempDir dir;
  std::vector<std::string> said;
  std::vector<RawTensor> tensors;
  const std::string fp8 = "model.layers.1.mlp.experts.3.up_proj.weight";
  const std::string fp4 = "model.layers.2.mlp.experts.gate_up_proj";
  auto take = [&](const char* name) {
    tensors = read_tensors(models / name);
    write_config(dir, models / name, Json::object());
  };
  auto set_float = [](RawTensor& t, std::size_t i, float x) { std::memcpy(t.bytes.data() + 4 * i, &x, 4); };
  SUBCASE("an FP8 NaN") {
    take("deepseek_v3_fp8");
    tensor(tensors, fp8).bytes[500] = '\x7f';
    said = {fp8, "NaN", "0x7f"};
  }
  SUBCASE("a negative FP8 NaN") {
    take("deepseek_v3_fp8");
    tensor(tensors, fp8).bytes.back() = '\xff';
    said = {fp8, "NaN"};
  }
  SUBCASE("an FP8 scale that is NaN") {
    take("deepseek_v3_fp8");
    set_float(tensor(tensors, fp8 + "_scale_inv"), 1, std::numeric_limits<float>::quiet_NaN());
    said = {fp8 + "_scale_inv", "not a finite number"};
  }
  SUBCASE("an FP8 scale beyond all range") {
    take("deepseek_v3_fp8");
    set_float(tensor(tensors, fp8 + "_scale_inv"), 0, 3e38f);
    said = {fp8, "range"};
  }
  SUBCASE("an MXFP4 scale that is NaN") {
    take("gpt_oss_mxfp4");
    tensor(tensors, fp4 + "_scales").bytes[77] = '\xff';
    said = {fp4 + "_scales", "NaN", "255"};
  }
  write_text(dir.path / "model.safetensors", safetensors(tensors));
  said.push_back((dir.path / "model.safetensors").string());
  check_contains(load_error(dir), said);
}

TEST_CASE("formats: scales and blocks that are missing or do not fit are refused by file and tensor") {
  TempDir dir;
  std::vector<std::string> said;
  std::vector<RawTensor> tensors;
  const std::string fp8 = "model.layers.1.mlp.experts.3.up_proj.weight";
  const std::string fp4 = "model.layers.2.mlp.experts.gate_up_proj";
  auto take = [&](const char* name, const Json& patch = Json::object()) {
    tensors = read_tensors(models / name);
    write_config(dir, models / name, patch);
  };
  auto drop = [&](const std::string& name) {
    std::erase_if(tensors, [&](const RawTensor& t) { return t.name == name; });
  };
  SUBCASE("a missing FP8 scale") {
    take("deepseek_v3_fp8");
    drop(fp8 + "_scale_inv");
    said = {"no tensor " + fp8 + "_scale_inv", fp8 + "_scale,", "[2, 3]"};
  }
  SUBCASE("FP8 scales of other blocks") {
    take("deepseek_v3_fp8", {{"quantization_config", {{"weight_block_size", {64, 64}}}}});
    said = {"_scale_inv", "config.json calls for"};
  }
  SUBCASE("FP8 scales in F64") {
    take("deepseek_v3_fp8");
    RawTensor& t = tensor(tensors, fp8 + "_scale_inv");
    t.dtype = "F64", t.bytes.resize(t.bytes.size() * 2);
    said = {fp8 + "_scale_inv", "F64", "F32, BF16 and F16"};
  }
  SUBCASE("packed integers") {
    take("qwen3_moe");
    tensor(tensors, "model.layers.0.self_attn.q_proj.weight").name = "model.layers.0.self_attn.q_proj.weight_packed";
    said = {"no tensor model.layers.0.self_attn.q_proj.weight ",
            "there are model.layers.0.self_attn.q_proj.weight_packed"};
  }
  SUBCASE("FP8 without quantization_config") {
    take("deepseek_v3_fp8", {{"quantization_config", nullptr}});
    said = {"F8_E4M3", "quantization_config"};
  }
  SUBCASE("an FP8 norm") {
    take("deepseek_v3_fp8");
    RawTensor& t = tensor(tensors, "model.norm.weight");
    t.dtype = "F8_E4M3", t.bytes.resize(t.bytes.size() / 2);
    said = {"model.norm.weight", "F8_E4M3", "BF16, F16 and F32"};
  }
  SUBCASE("E5M2") {
    take("deepseek_v3_fp8");
    tensor(tensors, fp8).dtype = "F8_E5M2";
    said = {fp8, "F8_E5M2"};
  }
  SUBCASE("missing MXFP4 scales") {
    take("gpt_oss_mxfp4");
    drop(fp4 + "_scales");
    said = {"no tensor " + fp4 + "_scales"};
  }
  SUBCASE("MXFP4 blocks of another shape") {
    take("gpt_oss_mxfp4");
    tensor(tensors, fp4 + "_blocks").shape = {8, 128, 6, 8};
    said = {fp4 + "_blocks", "[8, 128, 6, 8]", "[8, 128, 3, 16]"};
  }
  SUBCASE("MXFP4 blocks as signed bytes") {
    take("gpt_oss_mxfp4");
    tensor(tensors, fp4 + "_blocks").dtype = "I8";
    said = {fp4 + "_blocks", "I8", "U8"};
  }
  SUBCASE("MXFP4 experts where config.json says bf16") {
    take("gpt_oss_mxfp4", {{"quantization_config", nullptr}});
    said = {"no tensor model.layers.0.mlp.experts.gate_up_proj"};
  }
  SUBCASE("a missing bias") {
    take("gpt_oss");
    drop("model.layers.1.mlp.router.bias");
    said = {"no tensor model.layers.1.mlp.router.bias", "[7]"};
  }
  SUBCASE("a missing sink") {
    take("gpt_oss");
    drop("model.layers.3.self_attn.sinks");
    said = {"no tensor model.layers.3.self_attn.sinks", "[6]"};
  }
  SUBCASE("a missing shared expert's gate") {
    take("qwen2_moe");
    drop("model.layers.2.mlp.shared_expert_gate.weight");
    said = {"no tensor model.layers.2.mlp.shared_expert_gate.weight", "[1, 72]"};
  }
  write_text(dir.path / "model.safetensors", safetensors(tensors));
  said.push_back((dir.path / "model.safetensors").string());
  check_contains(load_error(dir), said);
  ModelConfig c = read_config(dir.str());
  check_contains(user_error_of([&] { check_model_files(dir.str(), c, "auto"); }), said);
}

TEST_CASE("dummy: every family from config.json alone, the same values on every rank and number of threads") {
  for (const auto& entry : fs::directory_iterator(models)) {
    CAPTURE(entry.path().string());
    TempDir dir;
    write_config(dir, entry.path(), Json::object());
    ModelConfig c = read_config(dir.str());
    CHECK_NOTHROW(check_model_files(dir.str(), c, "dummy"));
    ThreadTeam team(3);
    Weights whole = load_weights(dir.str(), c, contiguous_slices(c, 1), {0}, "dummy");
    for (std::int32_t rank = 0; rank < 2; ++rank) {
      const Placement placement = contiguous_slices(c, 2);
      Weights w = load_weights(dir.str(), c, placement, {rank}, "dummy", team);
      const MoeWeights &part = w.layers.back().moe, &all = whole.layers.back().moe;
      const auto slots = placement.layer({static_cast<std::int32_t>(c.layers) - 1}).slots({rank});
      REQUIRE(part.experts.size() == slots.size());
      for (std::size_t i = 0; i < part.experts.size(); ++i) {
        const MlpWeights& a = part.experts[i];
        const MlpWeights& b = all.experts[static_cast<std::size_t>(slots[i].value)];
        for (auto [x, y] : {std::pair{&a.gate_up, &b.gate_up}, {&a.down, &b.down}}) {
          CHECK(std::memcmp(x->data, y->data, cpu::packed_bytes(*x)) == 0);
        }
        if (a.gate_up_bias) {
          CHECK(std::memcmp(a.gate_up_bias.data, b.gate_up_bias.data, a.gate_up.n * sizeof(float)) == 0);
          CHECK(a.gate_up_bias.data[0] != a.gate_up_bias.data[1]);
        }
      }
    }
    // Nothing is left out: every matrix has values of the deviation that keeps a row's size.
    const MlpWeights& expert = whole.layers.back().moe.experts.back();
    double squares = 0;
    for (std::uint32_t i = 0; i < expert.down.k; ++i) {
      for (std::uint32_t j = 0; j < expert.down.n; ++j) squares += std::pow(to_float(packed_at(expert.down, i, j)), 2);
    }
    CHECK(squares == doctest::Approx(expert.down.n).epsilon(0.1));
  }
}
