#include "weights/cpu/weights.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "compare.hpp"
#include "support/placements.hpp"
#include "weights/dummy.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;

namespace {

// The values of an expert, in the same order on every rank.
std::vector<std::uint16_t> bits_of(const MlpWeights& w) {
  std::vector<std::uint16_t> bits;
  for (const cpu::Matrix* m : {&w.gate_up, &w.down}) {
    for (std::size_t i = 0; i < cpu::packed_count(m->k, m->n); ++i)
      bits.push_back(static_cast<const bf16*>(m->data)[i].bits);
  }
  return bits;
}

// A folder with `change` applied to its tensors, in one file.
template <class Change>
void rewrite(const TempDir& dir, const fs::path& from, Change&& change) {
  std::vector<RawTensor> tensors = read_tensors(from);
  change(tensors);
  fs::copy(from / "config.json", dir.path / "config.json", fs::copy_options::overwrite_existing);
  write_text(dir.path / "model.safetensors", safetensors(tensors));
}

Weights load_whole(const std::string& dir, const char* format = "auto") {
  ModelConfig c = read_config(dir);
  return load_weights(dir, c, contiguous_slices(c, 1), {0}, format);
}

// Pattern i of a walk over finite fp16 numbers, with subnormals and both signs, and its value by the definition.
std::uint16_t half_bits(std::size_t i) {
  return static_cast<std::uint16_t>((i * 37) % 0x7c00u | (i % 2 == 0 ? 0u : 0x8000u));
}
float half_value(std::uint16_t bits) {
  int exponent = bits >> 10 & 31;
  float fraction = static_cast<float>(bits & 0x3ff) / 1024;
  float size = exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15);
  return (bits & 0x8000) != 0 ? -size : size;
}

}  // namespace

TEST_CASE("weights: packed values are the file's, on every rank") {
  for (const fs::path& dir : {v3, v2}) {
    ModelConfig c = read_config(dir.string());
    Compare compare(c, dir);
    for (std::uint32_t domain : {1u, 3u, 5u, 17u}) {
      Placement placement = contiguous_slices(c, domain);
      for (std::int32_t rank = 0; rank < static_cast<std::int32_t>(domain); ++rank) {
        CAPTURE(domain);
        CAPTURE(rank);
        Weights w = load_weights(dir.string(), c, placement, {rank}, "auto");
        CHECK(w.bytes == weight_bytes(c, placement, {rank}));
        compare.all(w, placement, {rank});
        CHECK(compare.wrong == 0);
      }
    }
    CHECK(compare.compared > 1000000);
  }
}

TEST_CASE("weights: a rank has the experts that the placement says, ascending, once or twice") {
  for (const char* name : {"deepseek_v3", "gpt_oss", "gpt_oss_mxfp4", "qwen3_moe"}) {
    CAPTURE(name);
    ModelConfig c = read_config((models / name).string());
    Compare compare(c, models / name);
    for (Spread spread : {Spread::Shuffled, Spread::SomeTwice}) {
      const Placement placement = placement_for(c, 3, spread);
      for (std::int32_t rank = 0; rank < 3; ++rank) {
        Weights w = load_weights((models / name).string(), c, placement, {rank}, "auto");
        CHECK(w.bytes == weight_bytes(c, placement, {rank}));
        compare.all(w, placement, {rank});
      }
    }
    CHECK(compare.wrong == 0);
  }
}

TEST_CASE("weights: bytes are the parameters' plus padding") {
  ModelConfig c = read_config((fs::path(MOEMILL_SOURCE_DIR) / "configs/bench/deepseek-0.5b").string());
  // kv_b is held twice for keys (both forms), all else once, in bf16; norms and biases in fp32.
  double keys = 8.0 * 16 * 64 * 256;
  double wanted = 2 * (static_cast<double>(count_parameters(c).total) + keys);
  double held = static_cast<double>(weight_bytes(c, contiguous_slices(c, 1), {0}));
  CHECK(held == doctest::Approx(wanted).epsilon(0.002));
  CHECK(held >= wanted);
  double routed = 2 * static_cast<double>(count_parameters(c).routed);
  CHECK(held - static_cast<double>(weight_bytes(c, contiguous_slices(c, 2), {1})) ==
        doctest::Approx(routed / 2).epsilon(0.001));
}

TEST_CASE("weights: tied embeddings make the head") {
  TempDir dir;
  rewrite(dir, v3, [](std::vector<RawTensor>& all) {
    std::erase_if(all, [](const RawTensor& t) { return t.name == "lm_head.weight"; });
  });
  write_config(dir, v3, {{"tie_word_embeddings", true}});
  ModelConfig c = read_config(dir.str());
  Compare compare(c, dir.path);
  compare.all(load_whole(dir.str()), contiguous_slices(c, 1), {0});
  CHECK(compare.wrong == 0);
}

TEST_CASE("weights: odd data alignment in the file changes nothing") {
  TempDir dir;
  fs::copy(v2 / "config.json", dir.path / "config.json");
  std::vector<RawTensor> tensors = read_tensors(v2);
  std::string file = safetensors(tensors);
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  std::string header = file.substr(8, length) + ((length % 2 == 0) ? " " : "  ");  // data begins at an odd byte
  write_text(dir.path / "model.safetensors", safetensors(header, file.substr(8 + length)));
  ModelConfig c = read_config(dir.str());
  Compare compare(c, v2);
  compare.all(load_whole(dir.str()), contiguous_slices(c, 1), {0});
  CHECK(compare.wrong == 0);
}

TEST_CASE("weights: F32 and F16 matrices are rounded to bf16, norms are not, and a warning says so") {
  TempDir dir;
  rewrite(dir, v2, [](std::vector<RawTensor>& all) {
    RawTensor& q = tensor(all, "model.layers.0.self_attn.q_proj.weight");
    std::string wide;
    for (std::size_t i = 0; i < q.bytes.size() / 2; ++i) {
      float x = to_float(bf16_at(q, i)) * (1 + 0x1p-9f * static_cast<float>(i % 3));  // between two bf16 values
      wide.append(reinterpret_cast<const char*>(&x), 4);
    }
    q.dtype = "F32", q.bytes = wide;
    RawTensor& o = tensor(all, "model.layers.1.self_attn.o_proj.weight");
    o.dtype = "F16";
    for (std::size_t i = 0; i < o.bytes.size() / 2; ++i) {
      std::uint16_t half = half_bits(i);
      std::memcpy(o.bytes.data() + 2 * i, &half, 2);
    }
    RawTensor& norm = tensor(all, "model.norm.weight");
    std::string exact;
    for (std::size_t i = 0; i < norm.shape[0]; ++i) {
      float x = 1.0f + 0x1p-20f * static_cast<float>(i);
      exact.append(reinterpret_cast<const char*>(&x), 4);
    }
    norm.dtype = "F32", norm.bytes = exact;
  });
  ModelConfig c = read_config(dir.str());
  Weights w = load_whole(dir.str());
  const auto warnings = check_model_files(dir.str(), c, "auto");
  REQUIRE(warnings.size() == 1);
  check_contains(warnings[0], {"2 matrices", "rounded", "layers.0.self_attn.q_proj", "layers.1.self_attn.o_proj"});

  std::vector<RawTensor> stored = read_tensors(dir.path);
  const RawTensor& q = tensor(stored, "model.layers.0.self_attn.q_proj.weight");
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < q.bytes.size() / 4; ++i) {
    float x;
    std::memcpy(&x, q.bytes.data() + 4 * i, 4);
    wrong += cpu::packed_at(std::get<MlaWeights>(w.layers[0].attention).q, i % c.hidden, i / c.hidden) != to_bf16(x);
  }
  CHECK(wrong == 0);
  const cpu::Matrix& o = std::get<MlaWeights>(w.layers[1].attention).out;
  for (std::size_t i = 0; i < std::size_t{o.k} * o.n; ++i) {
    wrong += cpu::packed_at(o, i % o.k, i / o.k) != to_bf16(half_value(half_bits(i)));
  }
  CHECK(wrong == 0);
  for (std::size_t i = 0; i < c.hidden; ++i) CHECK(w.final_norm.data[i] == 1.0f + 0x1p-20f * static_cast<float>(i));
}

TEST_CASE("weights: what is left over or coarse is named, at most three times") {
  TempDir dir;
  rewrite(dir, v3, [](std::vector<RawTensor>& all) {
    for (int i = 0; i < 5; ++i) all.push_back({"extra." + std::to_string(i), "BF16", {1}, std::string(2, '\0')});
    all.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {1}, std::string(4, '\0')});
    RawTensor& bias = tensor(all, "model.layers.2.mlp.gate.e_score_correction_bias");
    bias.dtype = "BF16", bias.bytes = std::string(24, '\1');
  });
  const auto warnings = check_model_files(dir.str(), read_config(dir.str()), "auto");
  REQUIRE(warnings.size() == 2);
  check_contains(warnings[0], {"selection bias", "layers.2"});
  check_contains(warnings[1], {"5 tensors", "extra.0, extra.1, extra.2 and 2 more"});
  CHECK(warnings[1].find("inv_freq") == std::string::npos);
}

TEST_CASE("weights: a head of its own under tied embeddings is refused unless it is the same") {
  const fs::path olmoe = fs::path(MOEMILL_TEST_DATA) / "models/olmoe";
  for (const bool same : {true, false}) {
    TempDir dir;
    rewrite(dir, olmoe, [&](std::vector<RawTensor>& all) {
      RawTensor head = tensor(all, "model.embed_tokens.weight");
      head.name = "lm_head.weight";
      if (!same) head.bytes.back() = static_cast<char>(head.bytes.back() ^ 1);
      all.push_back(head);
    });
    ModelConfig c = read_config(dir.str());
    if (same) {
      CHECK_NOTHROW(check_model_files(dir.str(), c, "auto"));
    } else {
      check_contains(user_error_of([&] { check_model_files(dir.str(), c, "auto"); }),
                     {"lm_head.weight", "tie_word_embeddings"});
    }
  }
}

TEST_CASE("weights: numbers that are not finite are refused by name") {
  for (const char* name : {"model.layers.1.mlp.experts.3.up_proj.weight", "model.norm.weight", "lm_head.weight"}) {
    CAPTURE(name);
    TempDir dir;
    rewrite(dir, v3, [&](std::vector<RawTensor>& all) {
      RawTensor& t = tensor(all, name);
      t.bytes[4] = '\xc0', t.bytes[5] = '\x7f';  // a NaN of bf16
    });
    check_contains(user_error_of([&] { load_whole(dir.str()); }), {name, "damaged"});
  }
}

TEST_CASE("weights: links to files elsewhere are followed") {
  TempDir blobs(v3), snapshot;
  for (const auto& entry : fs::directory_iterator(blobs.path)) {
    fs::create_symlink(entry.path(), snapshot.path / entry.path().filename());
  }
  ModelConfig c = read_config(snapshot.str());
  CHECK(check_model_files(snapshot.str(), c, "auto").empty());
  CHECK(model_fingerprint(snapshot.str(), "auto") == model_fingerprint(v3.string(), "auto"));
}

TEST_CASE("weights: dummy values depend on tensor name and place alone") {
  TempDir dir;
  write_config(dir, v3, Json::object());
  ModelConfig c = read_config(dir.str());
  CHECK(check_model_files(dir.str(), c, "dummy").empty());
  Weights whole = load_whole(dir.str(), "dummy");
  for (std::uint32_t domain : {2u, 5u}) {
    Placement placement = contiguous_slices(c, domain);
    for (std::int32_t rank = 0; rank < static_cast<std::int32_t>(domain); ++rank) {
      Weights w = load_weights(dir.str(), c, placement, {rank}, "dummy");
      CHECK(bits_of(w.layers[1].moe.shared) == bits_of(whole.layers[1].moe.shared));
      const auto slots = placement.layer({1}).slots({rank});
      for (std::size_t i = 0; i < slots.size(); ++i) {
        const auto expert = static_cast<std::size_t>(slots[i].value);
        CHECK(bits_of(w.layers[1].moe.experts[i]) == bits_of(whole.layers[1].moe.experts[expert]));
      }
    }
  }
  CHECK(bits_of(whole.layers[1].moe.experts[0]) != bits_of(whole.layers[1].moe.experts[1]));
  CHECK(bits_of(whole.layers[1].moe.experts[0]) != bits_of(whole.layers[2].moe.experts[0]));
}

TEST_CASE("weights: dummy values are even, of the deviation asked for, and the same from any start") {
  constexpr std::size_t count = 100000;
  std::vector<float> x(count);
  dummy_values("some.tensor", 0, count, 0.5f, x.data());
  double sum = 0, squares = 0;
  for (float v : x) sum += v, squares += double{v} * v;
  CHECK(std::fabs(sum / count) < 5 * 0.5 / std::sqrt(count));  // five standard errors
  CHECK(std::sqrt(squares / count) == doctest::Approx(0.5).epsilon(0.01));
  for (std::size_t first : {1u, 7u, 8u, 999u}) {
    std::vector<float> part(50);
    dummy_values("some.tensor", first, part.size(), 0.5f, part.data());
    CHECK(std::equal(part.begin(), part.end(), x.begin() + static_cast<std::ptrdiff_t>(first)));
  }
  // Never changes: benchmarks of two versions must mean the same model. The generator is Philox4x32-10, keyed by the
  // hash of the name.
  std::vector<bf16> rounded(2);
  dummy_values("model.norm.weight", 0, 2, 1.0f, rounded.data());
  CHECK(rounded[0].bits == 49032);
  CHECK(rounded[1].bits == 48799);
}

TEST_CASE("fingerprint: content counts, the path does not") {
  std::string whole = model_fingerprint(v2.string(), "auto");
  CHECK(whole.size() == 64);
  TempDir copy(v2);
  CHECK(model_fingerprint(copy.str(), "auto") == whole);
  CHECK(model_fingerprint(copy.str(), "dummy") != whole);

  SUBCASE("config.json") { write_config(copy, v2, {{"rope_theta", 2001}}); }
  SUBCASE("generation_config.json") { fs::remove(copy.path / "generation_config.json"); }
  SUBCASE("a small tensor") {
    rewrite(copy, v2, [](std::vector<RawTensor>& all) { tensor(all, "model.norm.weight").bytes[8] ^= 1; });
  }
  SUBCASE("the middle of a large tensor") {
    std::string before = read_text(copy.path / "model.safetensors");
    std::uint64_t length = 0;
    std::memcpy(&length, before.data(), 8);
    Json header = Json::parse(before.substr(8, length));
    Json offsets = header["model.embed_tokens.weight"]["data_offsets"];
    before[8 + length + (offsets[0].get<std::uint64_t>() + offsets[1].get<std::uint64_t>()) / 2] ^= 1;
    write_text(copy.path / "model.safetensors", before);
  }
  CHECK(model_fingerprint(copy.str(), "auto") != whole);
}
