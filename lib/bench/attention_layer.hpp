// One layer of attention with made-up weights and a full cache, and the steps that run through it: what `moemill bench
// attention` times. The layer is the one of a run, with its tiles, threads and cache pages. Its hidden width is small,
// so that the products which attention shares with no other part (queries into latent space, latents to keys and
// values) are nearly all of its products.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.hpp"
#include "kernels/cpu/stream.hpp"
#include "layers/cpu/attention/attention.hpp"
#include "model/config.hpp"

namespace moemill::bench {

// A step of `sequences` that are `context` tokens long, each with its last `rows` tokens as rows. The first `shared`
// tokens of all are on the same pages: a multiple of page_tokens, and none of the rows.
struct AttentionStep {
  schedule::RowKind kind;
  std::uint32_t sequences, context, rows, shared = 0;
};

// What one such step needs, whatever computes it.
struct AttentionNeeds {
  double operations;          // of scores and weighted sums: pairs of a row and a position that it sees
  double bytes;               // of cached values that rows see, each read once
  double product_operations;  // of queries into latent space and back, or of keys and values from latents
};
AttentionNeeds needs_of(const model::ModelConfig& config, const AttentionStep& step);

class AttentionLayer {
 public:
  // `config` is of a model with one layer. The cache has at least `cache_bytes`.
  AttentionLayer(cpu::Stream& stream, model::ModelConfig config, std::uint64_t cache_bytes);

  // Plans as many steps of this shape as fill the cache, no two of which share a page. Pages that follow each other in
  // a sequence lie anywhere in the cache, as after some hours of a run.
  void plan(const AttentionStep& step);
  void run(std::size_t call);  // one of the planned steps, in turn

 private:
  struct Planned {
    layers::AttentionPlan plan;
    cpu::Attention::Work work;
  };
  cpu::Matrix matrix(std::uint32_t inputs, std::uint32_t outputs);
  void make_latent_weights();
  void make_grouped_weights();
  void fill_cache();
  schedule::Step make_step(const AttentionStep& shape, std::size_t index, std::size_t pages_per_sequence) const;

  cpu::Stream& stream_;
  const model::ModelConfig config_;
  const std::size_t group_;    // PageGroup of the layer
  const std::uint32_t pages_;  // of the cache
  std::vector<PageId> order_;  // of pages, shuffled
  std::vector<Buffer<bf16>> matrices_;
  std::vector<float> latent_norm_;
  model::LayerWeights weights_;
  cpu::KvCache cache_;
  layers::RopeTable rope_;
  cpu::Attention attention_;
  std::vector<Planned> steps_;
  Buffer<bf16> rounded_;       // [rows, hidden]
  Buffer<float> exact_, out_;  // [rows, hidden]
};

}  // namespace moemill::bench
