// Any bytes as config.json: refused with a UserError, or a config whose sizes can be counted without overflow.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>

#include "base/error.hpp"
#include "model/config.hpp"
#include "process_path.hpp"
#include "weights/cpu/weights.hpp"

namespace {

const std::string& folder() {
  static const std::string path = moemill::process_folder("config");
  return path;
}

using moemill::expect;
using moemill::model::ModelConfig;

// Properties of an accepted config that layers and schedule rely on.
void check_attention(const ModelConfig& config) {
  const auto& gqa = config.gqa;
  bool grouped = config.attention == moemill::model::AttentionKind::Grouped;
  std::size_t head = grouped ? gqa.head_dim : config.mla.qk_rope_dim;
  expect(config.rope.dim >= 2 && config.rope.dim <= head, "rotating values fit the head");
  expect(config.rope.frequencies.size() * 2 == config.rope.dim, "one frequency a pair");
  for (float f : config.rope.frequencies) expect(std::isfinite(f), "frequencies are finite");
  expect(std::isfinite(config.rope.magnitude), "the magnitude is finite");
  float scale = grouped ? gqa.softmax_scale : config.mla.softmax_scale;
  expect(std::isfinite(scale) && scale > 0, "the scale is finite");
  if (grouped) expect(gqa.kv_heads > 0 && gqa.heads % gqa.kv_heads == 0, "query heads share key heads evenly");
  expect(gqa.layer_has_window.size() == (gqa.window > 0 ? config.layers : 0), "windows come with their layers");
  expect((moemill::model::windowed_layers(config) > 0) == (gqa.window > 0), "a window has a layer");
  expect(moemill::model::kv_bytes_per_token(config) > 0, "a token is cached");
}

void check_moe(const ModelConfig& config) {
  const auto& moe = config.moe;
  expect(config.layer_is_moe.size() == config.layers, "every layer has a kind");
  expect(moe.picks > 0 && moe.picks <= moe.experts && moe.expert_width > 0, "there are experts to pick");
  expect(moe.groups > 0 && moe.experts % moe.groups == 0, "groups divide the experts");
  expect(std::uint64_t{moe.groups_kept} * (moe.experts / moe.groups) >= moe.picks, "groups kept hold the picks");
  const auto& stored = config.quantization;
  expect((stored.block_rows > 0) == (stored.block_columns > 0), "blocks have a size");
}

void check_counts(const ModelConfig& config) {
  auto counts = moemill::model::count_parameters(config);
  expect(counts.routed <= counts.total && counts.total < (std::uint64_t{1} << 62), "counts are sane");
  expect(counts.active <= counts.total, "a token uses no more than there is");
  expect(moemill::model::flops_per_generated_token(config, 1e6) > 0, "a token costs something");
  if (config.layers * config.moe.experts < 1000) {
    expect(moemill::model::weight_bytes(config, contiguous_slices(config, 3), {1}) > 0, "weights have a size");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::ofstream(folder() + "/config.json", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    ModelConfig config = moemill::model::read_config(folder());
    check_attention(config);
    check_moe(config);
    check_counts(config);
  } catch (const moemill::UserError&) {
  }
  return 0;
}
