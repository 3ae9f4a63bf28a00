// A calibration as text: peaks and links, beside those of an earlier file, and the stages of steps. Used by
// `bench calibrate`.
#pragma once

#include <optional>

#include "plan/calibration/calibration.hpp"

namespace moemill::bench {

void print_calibration(const calibration::Calibration& now, const std::optional<calibration::Calibration>& earlier);

}  // namespace moemill::bench
