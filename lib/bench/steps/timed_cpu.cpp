#include "bench/steps/timed_cpu.hpp"

#include <utility>

#include "base/clock.hpp"
#include "layers/forward.inl"

namespace moemill::bench {
namespace {

// Adds the wall time of its scope.
class Stopwatch {
 public:
  explicit Stopwatch(double& sum) : sum_(sum), start_(now_seconds()) {}
  ~Stopwatch() { sum_ += now_seconds() - start_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& sum_;
  const double start_;
};

}  // namespace

TimedExperts::TimedExperts(TimedStream& stream, const model::Moe& moe)
    : Experts(stream, moe), timed_(stream), shared_width_(moe.shared_width) {}

template <class Body>
void TimedExperts::time_mlp(const model::MlpWeights& weights, Body&& body) {
  if (weights.width == 0) return;
  StageSeconds& stages = timed_.stages;
  const bool is_shared = weights.width == shared_width_;
  const PassScope own(timed_.passes(), Pass::Rest);  // ends the pass before, whose time would count as this one's
  const double norms = timed_.passes().of(Pass::Norms);
  {
    const Stopwatch watch(is_shared ? stages.shared : stages.dense);
    body();
  }
  (is_shared ? stages.shared : stages.dense) -= timed_.passes().of(Pass::Norms) - norms;
}

void TimedExperts::add_mlp(const model::MlpWeights& weights, Rows<const bf16> x, Rows<float> out) {
  time_mlp(weights, [&] { Experts::add_mlp(weights, x, out); });
}

void TimedExperts::add_scaled_mlp(const model::MlpWeights& weights, Rows<const bf16> x, Vector<const float> factors,
                                  Rows<float> out) {
  time_mlp(weights, [&] { Experts::add_scaled_mlp(weights, x, factors, out); });
}

void TimedExperts::run(std::span<const model::MlpWeights> experts, const layers::ReceivedRows<>& received) {
  const Stopwatch watch(timed_.stages.routed);
  Experts::run(experts, received);
  timed_.stages.pairs += static_cast<double>(received.row.size);
  for (std::size_t e = 0; e < experts.size(); ++e)
    timed_.stages.touched += received.expert_begin.data[e + 1] > received.expert_begin.data[e] ? 1 : 0;
}

TimedExchange::TimedExchange(TimedStream& stream, layers::DomainSite site, const model::Placement& placement)
    : Exchange(stream, std::move(site), placement), timed_(stream) {}

void TimedExchange::begin_dispatch(int channel, LayerId layer, Rows<const GlobalExpert> picks,
                                   Rows<const float> weights) {
  const Stopwatch watch(timed_.stages.dispatch);
  Exchange::begin_dispatch(channel, layer, picks, weights);
}

layers::ReceivedRows<> TimedExchange::finish_dispatch(int channel) {
  const Stopwatch watch(timed_.stages.dispatch);
  return Exchange::finish_dispatch(channel);
}

void TimedExchange::begin_combine(int channel) {
  const Stopwatch watch(timed_.stages.combine);
  Exchange::begin_combine(channel);
}

void TimedExchange::finish_combine(int channel, Rows<float> out) {
  const double norms = timed_.passes().of(Pass::Norms);
  {
    const Stopwatch watch(timed_.stages.combine);
    Exchange::finish_combine(channel, out);
  }
  timed_.stages.combine -= timed_.passes().of(Pass::Norms) - norms;
}

}  // namespace moemill::bench

namespace moemill::layers {
template class Forward<bench::TimedCpu>;
}  // namespace moemill::layers
