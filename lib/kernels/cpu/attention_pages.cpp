#include "kernels/cpu/attention_pages.hpp"

#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "kernels/cpu/bodies.hpp"
#include "system/machine/flush_subnormals.hpp"

namespace moemill::cpu {

void attention_begin(const Stream& stream, AttentionRows& rows, HeadsOfGroup<const float> queries, float scale,
                     Vector<const float> sinks) {
  for (std::size_t r = 0; r < rows.rows; ++r) {
    rows.maximum[r] = sinks ? sinks.data[r % sinks.size] : -std::numeric_limits<float>::infinity();
    rows.sum[r] = sinks ? 1.0f : 0.0f;
  }
  std::fill_n(rows.output, rows.rows * rows.output_stride, 0.0f);
  const FlushSubnormals flush;
  stream.bodies().attention_rows_begin(rows, queries, scale);
}

void attention_page(const Stream& stream, AttentionRows& rows, const bf16* page, std::uint32_t first_position,
                    const PageAhead& next) {
  expect(first_position % page_tokens == 0, "attention pages are aligned to 64 positions");
  expect(rows.output_stride % 16 == 0 && rows.output_stride >= rows.head_dim,
         "attention rows: outputs in whole vectors");
  const FlushSubnormals flush;
  stream.bodies().attention_page(rows, page, first_position, next);
}

void attention_end(const Stream& stream, AttentionRows& rows, HeadsOfGroup<float> outputs) {
  const FlushSubnormals flush;
  stream.bodies().attention_rows_end(rows, outputs);
}

}  // namespace moemill::cpu
