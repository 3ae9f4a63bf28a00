// The wall time of a run by part, such that the parts add up to it: predicted and measured times are compared part by
// part. All are means over ranks.
#pragma once

#include <array>

namespace moemill::mill {

struct PartSeconds {
  double load = 0;      // until the first step
  double prefill = 0;   // steps with prompt rows on any rank, without their exchange
  double decode = 0;    // steps without prompt rows, without their exchange
  double exchange = 0;  // rows to their experts and back, and waiting for the slowest rank
  // The rest: steps in which a rank has no rows, agreeing on steps, reading prompts, writing rows, merging shards.
  double idle = 0;

  double wall() const { return load + prefill + decode + exchange + idle; }
  PartSeconds& operator+=(const PartSeconds& other);
  PartSeconds operator*(double factor) const;
};

struct Part {
  const char* name;  // summary.json has `name`_seconds
  double PartSeconds::*member;
};
inline constexpr std::array<Part, 5> all_parts{{{"load", &PartSeconds::load},
                                                {"prefill", &PartSeconds::prefill},
                                                {"decode", &PartSeconds::decode},
                                                {"exchange", &PartSeconds::exchange},
                                                {"idle", &PartSeconds::idle}}};

inline PartSeconds& PartSeconds::operator+=(const PartSeconds& other) {
  for (const Part& part : all_parts) this->*part.member += other.*part.member;
  return *this;
}

inline PartSeconds PartSeconds::operator*(double factor) const {
  PartSeconds scaled = *this;
  for (const Part& part : all_parts) scaled.*part.member *= factor;
  return scaled;
}

}  // namespace moemill::mill
