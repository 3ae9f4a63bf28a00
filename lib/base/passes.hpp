// What the time of a model's step goes to. A stream has one clock, on the thread that drives it; layers open a scope
// where a pass begins. Read by the benchmarks and, for the exchange, by a run's totals.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "base/clock.hpp"

namespace moemill {

enum class Pass {
  Rest,         // whatever opens no scope
  Norms,        // norms, and sums into the residual stream, experts' outputs among them
  Projections,  // products of attention, with norms of latents, rotation and writing to the cache
  Attention,    // queries against the cache
  Router,       // logits, picks and their weights
  Packing,      // rows to their experts and back: packing, sending, listing
  Waiting,      // for rows of other ranks
  Products,     // of routed and shared experts and of dense layers
  Activations,  // between these products and after them: activation, biases, rounding, scattering
  Head,
  Drawing  // scores and draws
};
inline constexpr std::size_t pass_count = static_cast<std::size_t>(Pass::Drawing) + 1;
using PassSeconds = std::array<double, pass_count>;  // wall time

// A clock that runs for one pass at a time.
class PassClock {
 public:
  // Returns the pass that it ran for until now.
  Pass change(Pass next) {
    const double now = now_seconds();
    seconds_[static_cast<std::size_t>(pass_)] += now - since_;
    since_ = now;
    return std::exchange(pass_, next);
  }
  const PassSeconds& seconds() const { return seconds_; }
  double of(Pass pass) const { return seconds_[static_cast<std::size_t>(pass)]; }

 private:
  PassSeconds seconds_{};
  Pass pass_ = Pass::Rest;
  double since_ = now_seconds();
};

// The time of a scope goes to its pass, except that of scopes within it.
class PassScope {
 public:
  PassScope(PassClock& clock, Pass pass) : clock_(clock), outer_(clock.change(pass)) {}
  ~PassScope() { clock_.change(outer_); }
  void change(Pass next) { clock_.change(next); }
  PassScope(const PassScope&) = delete;
  PassScope& operator=(const PassScope&) = delete;

 private:
  PassClock& clock_;
  const Pass outer_;
};

}  // namespace moemill
