// The CPU backend with a clock on every stage of a layer: the same forward pass, whose experts and exchange add their
// wall time to the stream that they are made with. Used by `bench calibrate`.
#pragma once

#include "layers/cpu/cpu.hpp"

namespace moemill::bench {

// Wall seconds of stages that no pass of the stream has to itself, since the start; and what was computed in them.
struct StageSeconds {
  double dense = 0, shared = 0;      // MLPs of all rows, without the sums into the residual stream
  double routed = 0;                 // experts
  double dispatch = 0, combine = 0;  // with waiting, without the sums into the residual stream
  double touched = 0, pairs = 0;     // experts with rows, and their rows; of each micro-batch
};

class TimedStream : public cpu::Stream {
 public:
  using cpu::Stream::Stream;
  StageSeconds stages;
};

class TimedExperts : public cpu::Experts {
 public:
  TimedExperts(TimedStream& stream, const model::Moe& moe);
  void add_mlp(const model::MlpWeights& weights, Rows<const bf16> x, Rows<float> out);
  void add_scaled_mlp(const model::MlpWeights& weights, Rows<const bf16> x, Vector<const float> factors,
                      Rows<float> out);
  void run(std::span<const model::MlpWeights> experts, const layers::ReceivedRows<>& received);

 private:
  template <class Body>
  void time_mlp(const model::MlpWeights& weights, Body&& body);

  TimedStream& timed_;
  // MLPs of this width count as shared experts. A dense one of the same width takes the same time.
  const std::uint32_t shared_width_;
};

class TimedExchange : public cpu::Exchange {
 public:
  TimedExchange(TimedStream& stream, layers::DomainSite site, const model::Placement& placement);
  void begin_dispatch(int channel, LayerId layer, Rows<const GlobalExpert> picks, Rows<const float> weights);
  layers::ReceivedRows<> finish_dispatch(int channel);
  void begin_combine(int channel);
  void finish_combine(int channel, Rows<float> out);

 private:
  TimedStream& timed_;
};

struct TimedCpu : Cpu {
  using Stream = TimedStream;
  using Experts = TimedExperts;
  using Exchange = TimedExchange;
};

}  // namespace moemill::bench

namespace moemill::layers {
extern template class Forward<bench::TimedCpu>;
}  // namespace moemill::layers
