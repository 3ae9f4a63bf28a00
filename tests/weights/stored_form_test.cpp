// The same weights under different names and in different forms, as tools save them. Every rank holds the same bits as
// from the published files.
#include <doctest/doctest.h>

#include <functional>

#include "compare.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;

namespace {

bool same_bits(const cpu::Matrix& a, const cpu::Matrix& b) {
  return a.k == b.k && a.n == b.n && a.format == b.format && std::memcmp(a.data, b.data, cpu::packed_bytes(a)) == 0;
}

// Compares all bytes of all weights of both folders on `domain` ranks.
void check_same(const fs::path& changed, const fs::path& published, std::uint32_t domain) {
  const ModelConfig c = read_config(changed.string()), original = read_config(published.string());
  const Placement placement = contiguous_slices(c, domain);
  for (std::int32_t rank = 0; rank < static_cast<std::int32_t>(domain); ++rank) {
    CAPTURE(rank);
    const Weights a = load_weights(changed.string(), c, placement, {rank}, "auto");
    const Weights b = load_weights(published.string(), original, placement, {rank}, "auto");
    REQUIRE(a.bytes == b.bytes);
    // Everything lies behind the embedding, in the order of the walk.
    CHECK(std::memcmp(a.embedding.data, b.embedding.data, a.bytes - 256) == 0);
    CHECK(same_bits(a.head, b.head));
    CHECK(a.layers.back().moe.experts.size() ==
          placement.layer({static_cast<std::int32_t>(c.layers) - 1}).slots({rank}).size());
  }
}

void write_folder(const TempDir& dir, const fs::path& from, const std::vector<RawTensor>& tensors) {
  write_config(dir, from, Json::object());
  write_text(dir.path / "model.safetensors", safetensors(tensors));
}

void replace(std::string& text, const std::string& what, const std::string& with) {
  if (const auto at = text.find(what); at != std::string::npos) text.replace(at, what.size(), with);
}

struct ExpertNames {
  std::string moe = "mlp", gate = "gate_proj", up = "up_proj", down = "down_proj";
};

// The tensors as transformers 5 writes them with save_original_format=False: gate's rows first, Mixtral's under mlp.
std::vector<RawTensor> fuse_experts(std::vector<RawTensor> all, const ModelConfig& c, const ExpertNames& names) {
  std::vector<RawTensor> fused;
  for (std::uint32_t layer = 0; layer < c.layers; ++layer) {
    if (!c.layer_is_moe[layer]) continue;
    const std::string mlp = "model.layers." + std::to_string(layer) + ".mlp.experts.";
    const std::string from = "model.layers." + std::to_string(layer) + "." + names.moe + ".experts.";
    const std::uint64_t e = c.moe.experts, width = c.moe.expert_width, hidden = c.hidden;
    RawTensor gate_up{mlp + "gate_up_proj", "BF16", {e, 2 * width, hidden}, ""};
    RawTensor down{mlp + "down_proj", "BF16", {e, hidden, width}, ""};
    for (std::uint64_t i = 0; i < e; ++i) {
      auto part = [&](const std::string& name) {
        return tensor(all, from + std::to_string(i) + "." + name + ".weight");
      };
      gate_up.bytes += part(names.gate).bytes + part(names.up).bytes;
      down.bytes += part(names.down).bytes;
    }
    fused.push_back(gate_up);
    fused.push_back(down);
  }
  std::erase_if(all, [](const RawTensor& t) { return t.name.find(".experts.") != std::string::npos; });
  for (RawTensor& t : all) replace(t.name, "." + names.moe + ".", ".mlp.");
  all.insert(all.end(), fused.begin(), fused.end());
  return all;
}

const fs::path qwen3 = models / "qwen3_moe";

}  // namespace

TEST_CASE("stored form: experts fused by transformers 5, in every family that it fuses") {
  for (const char* family :
       {"qwen3_moe", "qwen2_moe", "olmoe", "mixtral", "glm4_moe", "deepseek_v2_lite", "deepseek_v3"}) {
    CAPTURE(family);
    const fs::path from = models / family;
    const ModelConfig c = read_config(from.string());
    ExpertNames names;
    if (c.model_type == "mixtral") names = {"block_sparse_moe", "w1", "w3", "w2"};
    TempDir dir;
    write_folder(dir, from, fuse_experts(read_tensors(from), c, names));
    CHECK(check_model_files(dir.str(), c, "auto").empty());
    for (std::uint32_t domain : {1u, 3u}) check_same(dir.path, from, domain);
  }
}

TEST_CASE("stored form: a rank reads the rows of its own experts alone") {
  const ModelConfig c = read_config(qwen3.string());
  std::vector<RawTensor> tensors = fuse_experts(read_tensors(qwen3), c, {});
  RawTensor& down = tensor(tensors, "model.layers.1.mlp.experts.down_proj");
  down.bytes[down.bytes.size() - 2] = '\xc0', down.bytes.back() = '\x7f';  // a NaN in the last expert
  TempDir dir;
  write_folder(dir, qwen3, tensors);
  const Placement placement = contiguous_slices(c, 2);
  CHECK_NOTHROW(load_weights(dir.str(), c, placement, {0}, "auto"));
  check_contains(user_error_of([&] { load_weights(dir.str(), c, placement, {1}, "auto"); }), {down.name, "NaN"});
}

TEST_CASE("stored form: Mixtral's experts one by one under transformers' names") {
  const fs::path from = models / "mixtral";
  std::vector<RawTensor> tensors = read_tensors(from);
  for (RawTensor& t : tensors) {
    replace(t.name, "block_sparse_moe", "mlp");
    replace(t.name, ".w1.", ".gate_proj.");
    replace(t.name, ".w3.", ".up_proj.");
    replace(t.name, ".w2.", ".down_proj.");
  }
  TempDir dir;
  write_folder(dir, from, tensors);
  check_same(dir.path, from, 2);
}

TEST_CASE("stored form: any prefix of the body and of the head") {
  struct Row {
    std::string body, head;
  };
  for (const Row& row :
       {Row{"", "lm_head"}, Row{"model.language_model.", "lm_head"},
        Row{"language_model.model.", "language_model.lm_head"}, Row{"_orig_mod.model.", "_orig_mod.lm_head"},
        Row{"module.model.", "module.lm_head"}, Row{"model.language_model.", "model.lm_head"}}) {
    CAPTURE(row.body);
    CAPTURE(row.head);
    std::vector<RawTensor> tensors = read_tensors(qwen3);
    for (RawTensor& t : tensors) {
      if (t.name.starts_with("model.")) t.name = row.body + t.name.substr(6);
      replace(t.name, "lm_head", row.head);
    }
    // A vision tower's layers have the same names, and an index may list them.
    tensors.push_back({"visual.layers.0.input_layernorm.weight", "BF16", {1}, std::string(2, '\0')});
    TempDir dir;
    write_folder(dir, qwen3, tensors);
    const ModelConfig c = read_config(dir.str());
    const auto warnings = check_model_files(dir.str(), c, "auto");
    REQUIRE(warnings.size() == 1);
    check_contains(warnings[0], {"1 tensors belong to no part", "visual.layers.0"});
    check_same(dir.path, qwen3, 2);
  }
}

TEST_CASE("stored form: of several models in a folder the language model is loaded") {
  std::vector<RawTensor> tensors = read_tensors(qwen3), twice;
  for (RawTensor t : tensors) {
    if (!t.name.starts_with("model.")) {
      twice.push_back(t);
      continue;
    }
    const std::string rest = t.name.substr(6);
    t.name = "model.language_model." + rest;
    twice.push_back(t);
    t.name = "talker." + rest;
    std::fill(t.bytes.begin(), t.bytes.end(), '\0');
    twice.push_back(t);
  }
  TempDir dir;
  write_folder(dir, qwen3, twice);
  check_same(dir.path, qwen3, 1);
  for (RawTensor& t : twice) replace(t.name, "language_model.", "reader.");
  write_folder(dir, qwen3, twice);
  const ModelConfig c = read_config(dir.str());
  check_contains(user_error_of([&] { check_model_files(dir.str(), c, "auto"); }), {"several models", "config.json"});
}

TEST_CASE("stored form: if the experts have unknown names, the message lists tensors that are there") {
  std::vector<RawTensor> tensors = read_tensors(qwen3);
  for (RawTensor& t : tensors) replace(t.name, ".experts.", ".many_experts.");
  TempDir dir;
  write_folder(dir, qwen3, tensors);
  const ModelConfig c = read_config(dir.str());
  check_contains(user_error_of([&] { check_model_files(dir.str(), c, "auto"); }),
                 {"no tensor model.layers.0.mlp.experts.0.gate_proj.weight", "there are model.layers.0.mlp.gate.weight",
                  "many_experts", "save_pretrained"});
}

TEST_CASE("stored form: a router in fp32 keeps every bit, and no warning says that it was rounded") {
  for (const char* family : {"qwen3_moe", "deepseek_v3", "gpt_oss"}) {
    CAPTURE(family);
    const fs::path from = models / family;
    std::vector<RawTensor> tensors = read_tensors(from);
    const std::string router = std::string(family) == "gpt_oss" ? ".mlp.router.weight" : ".mlp.gate.weight";
    std::size_t changed = 0;
    for (RawTensor& t : tensors) {
      if (!t.name.ends_with(router) || t.name.find("layers.1.") == std::string::npos) continue;  // the others stay bf16
      std::string wide;
      for (std::size_t i = 0; i < t.bytes.size() / 2; ++i) {
        float x = to_float(bf16_at(t, i)) * (1 + 0x1.2345p-9f * static_cast<float>(i % 101));
        wide.append(reinterpret_cast<const char*>(&x), 4);
      }
      t.dtype = "F32", t.bytes = wide;
      ++changed;
    }
    REQUIRE(changed == 1);
    TempDir dir;
    write_folder(dir, from, tensors);
    const ModelConfig c = read_config(dir.str());
    CHECK(check_model_files(dir.str(), c, "auto").empty());
    const Placement placement = contiguous_slices(c, 1);
    const Weights w = load_weights(dir.str(), c, placement, {0}, "auto");
    CHECK(w.bytes == weight_bytes(stored_config(dir.str(), c, "auto"), placement, {0}));
    CHECK(w.bytes > weight_bytes(c, placement, {0}));
    Compare compare(c, dir.path);
    compare.all(w, placement, {0});
    CHECK(compare.wrong == 0);
  }
}
