// The processor's name, for records of measurements.
#pragma once

#include <string>

namespace moemill {

std::string cpu_model();  // the model name in /proc/cpuinfo, or "unknown CPU"

}  // namespace moemill
