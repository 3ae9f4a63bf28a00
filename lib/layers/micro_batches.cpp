#include "layers/micro_batches.hpp"

namespace moemill::layers {

using schedule::Segment;

std::uint32_t rows_of(std::span<const Segment> segments) {
  std::uint32_t rows = 0;
  for (const Segment& s : segments) rows += s.rows;
  return rows;
}

void halve(std::span<const Segment> segments, Halves& halves) {
  for (auto& half : halves) half.clear();
  const std::uint32_t rows = rows_of(segments), middle = (rows + 1) / 2, near = rows / 8;
  std::uint32_t done = 0;
  for (const Segment& s : segments) {
    const std::uint32_t end = done + s.rows;
    if (end <= middle + near) {
      halves[done >= middle].push_back(s);
    } else if (done + near >= middle) {
      halves[1].push_back(s);
    } else {
      Segment head = s, tail = s;
      head.rows = middle - done;
      tail.rows -= head.rows;
      tail.first_row += head.rows;
      tail.first_position += head.rows;
      halves[0].push_back(head);
      halves[1].push_back(tail);
    }
    done = end;
  }
}

}  // namespace moemill::layers
