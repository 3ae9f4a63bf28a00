// Sums of experts' outputs by groups.
#include <algorithm>
#include <cmath>

#include "kernels/rows.hpp"
#include "support.hpp"

using namespace moemill;
using namespace moemill::test;

TEST_CASE_TEMPLATE("rows: picks are summed by groups, and a group's sum made elsewhere is a pick of weight 1", B,
                   OnCpu) {
  for (std::size_t width : widths) {
    CAPTURE(width);
    // Row 0 has groups of two picks and one, row 1 three groups, row 2 one.
    const std::size_t rows = 3, picks = 3, outputs = rows * picks, stride = width + 1;
    const std::vector<std::uint32_t> row_of{0, 4, 2, 3, 1, 5, 6, 8, 7}, ends{2, 3, 0, 1, 2, 3, 3, 0, 0};
    const auto y = random_bf16(outputs * stride, 1);
    const auto weights = random_floats(outputs, 2), x = random_floats(rows * width, 3);
    const GroupTerms terms{rows_of(row_of, rows, picks), rows_of(weights, rows, picks), rows_of(ends, rows, picks)};
    auto out = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& o) {
      fill(o, x);
      sum_of_groups(s, rows_of(y, outputs, width, stride), terms, o.view());
    });
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < width; ++c) {
        float sum = x[r * width + c];
        for (std::size_t g = 0, begin = 0; g < picks && ends[r * picks + g] > begin; begin = ends[r * picks + g++]) {
          float of_group = 0;
          for (std::size_t p = r * picks + begin; p < r * picks + ends[r * picks + g]; ++p) {
            const float output = to_float(y[row_of[p] * stride + c]);
            of_group = p == r * picks + begin ? weights[p] * output : std::fma(weights[p], output, of_group);
          }
          sum += to_float(to_bf16(of_group));
        }
        REQUIRE(out.at(r, c) == sum);
      }

    // Row 2's group and row 0's first one, summed in place beforehand.
    const std::vector<std::uint32_t> begin{0, 3, 5}, summed{6, 8, 7, 0, 4};
    const std::vector<float> their_weights{weights[6], weights[7], weights[8], weights[0], weights[1]};
    const GroupSums sums{{begin.data(), 3}, {summed.data(), 5}, {their_weights.data(), 5}};
    std::vector<float> rest = weights;
    rest[0] = rest[6] = 1;
    std::vector<std::uint32_t> terms_of = row_of, fewer{1, 2, 0, 1, 2, 3, 1, 0, 0};
    terms_of[1] = row_of[2], rest[1] = weights[2];
    for (const bool alone : {false, true}) {
      auto again = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& o) {
        fill(o, x);
        std::vector<bf16> own = y;
        const Rows<bf16> places(own.data(), outputs, width, stride);
        if (alone)
          for (std::size_t i = 0; i < 2; ++i) group_sums_alone(s, places, sums, i, 1);
        else
          group_sums(s, places, sums, 0, 2);
        sum_of_groups(s, places,
                      {rows_of(terms_of, rows, picks), rows_of(rest, rows, picks), rows_of(fewer, rows, picks)},
                      o.view());
      });
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < width; ++c) REQUIRE(again.at(r, c) == out.at(r, c));
    }
  }
}
