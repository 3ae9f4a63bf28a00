#include "mill/run_prediction.hpp"

#include <algorithm>

namespace moemill::mill {
namespace {

constexpr double least_seconds = 1;  // of predicted steps, before their speed is used

}  // namespace

// Rows that are still running have said something of their length, too: tokens of all rows over rows that have ended is
// the mean of lengths that end by chance.
double RunPrediction::seconds_left(const Totals& t, std::uint64_t rows_left, double seconds) const {
  if (rows_left == 0) return 0;
  const auto generated = static_cast<double>(t.generated_tokens), ended = static_cast<double>(t.completions);
  const double answers = ended > 0
                             ? std::min(answer_limit, generated / ended * (ended + static_cast<double>(rows_left)))
                             : expected.answer_tokens;
  const double left = expected.seconds_left(
      std::max(0.0, expected.prompt_tokens - static_cast<double>(t.prompt_tokens)), std::max(0.0, answers - generated));
  const double predicted = steps.predicted().wall();
  return predicted < least_seconds ? left : left * seconds / predicted;
}

Predicted RunPrediction::so_far(double load_seconds_measured, double wall_seconds) const {
  return compare(*this, steps.predicted(), steps.measured(), load_seconds_measured, wall_seconds);
}

Predicted compare(const RunPrediction& prediction, PartSeconds predicted, PartSeconds measured, double load_seconds,
                  double wall_seconds) {
  predicted.load = prediction.load_seconds;
  measured.load = load_seconds, measured.idle = 0;
  measured.idle = std::max(0.0, wall_seconds - measured.wall());
  return {prediction.source, predicted, measured};
}

}  // namespace moemill::mill
