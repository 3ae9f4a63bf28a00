#include "kernels/rows.hpp"
#include "kernels/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <span>

#include "support.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
}  // namespace

TEST_CASE_TEMPLATE("rows: sums follow the sixteen-lane tree", B, OnCpu) {
  for (std::size_t width : widths) {
    auto x = random_floats(width, width, 4.0f);
    std::vector<float> p(width);
    const auto streams = B::streams();
    const float sum = exp_row(*streams.back(), x, 1.5f, 0.75f, p);
    float lane[16] = {};
    for (std::size_t i = 0; i < width; ++i) lane[i % 16] += p[i];
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
    }
    CHECK(sum == lane[0]);
    for (const auto& stream : streams) CHECK(exp_row(*stream, x, 1.5f, 0.75f, {}) == sum);
    for (std::size_t i = 0; i < width; ++i) {
      double exact = std::exp((double{x[i]} - 1.5) * 0.75);
      CHECK(std::fabs(p[i] - exact) <= 8 * 0x1p-24 * exact);  // argument up to 4.2: 4 ulp of it, and exp's own 2
    }
  }
}

TEST_CASE_TEMPLATE("rows: rms_norm", B, OnCpu) {
  for (std::size_t width : widths) {
    const std::size_t rows = 5;
    auto x = random_floats(rows * (width + 2), 1, 3.0f);
    auto weight = random_floats(width, 2);
    const float eps = 1e-6f;
    auto exact = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& out) {
      rms_norm(s, rows_of(x, rows, width, width + 2), vector_of(weight), eps, {}, out.view());
    });
    auto rounded = everywhere<B, bf16>(rows, width, [&](auto& s, Padded<bf16>& out) {
      std::vector<float> beside(rows * width);
      rms_norm(s, rows_of(x, rows, width, width + 2), vector_of(weight), eps, out.view(), {beside.data(), rows, width});
    });
    for (std::size_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (std::size_t c = 0; c < width; ++c) squares += double{x[r * (width + 2) + c]} * x[r * (width + 2) + c];
      const double factor = 1 / std::sqrt(squares / static_cast<double>(width) + eps);
      for (std::size_t c = 0; c < width; ++c) {
        const double y = x[r * (width + 2) + c] * factor * weight[c];
        // The squares' sum of up to 33 additions a lane, halved by the root, and four roundings after it.
        CHECK(std::fabs(exact.at(r, c) - y) <= 32 * 0x1p-24 * std::fabs(y));
        CHECK(rounded.at(r, c) == to_bf16(exact.at(r, c)));
      }
    }
  }
}

TEST_CASE_TEMPLATE("rows: a row of many equals the row alone", B, OnCpu) {
  const std::size_t width = 77, rows = 30;
  auto x = random_floats(rows * width, 5);
  auto weight = random_floats(width, 6);
  const auto streams = B::streams();
  auto& stream = *streams.back();
  std::vector<float> many(rows * width), one(width);
  rms_norm(stream, rows_of(x, rows, width), vector_of(weight), 1e-5f, {}, {many.data(), rows, width});
  for (std::size_t r = 0; r < rows; ++r) {
    rms_norm(stream, rows_of(x, rows, width).range(r, 1), vector_of(weight), 1e-5f, {}, {one.data(), 1, width});
    REQUIRE(std::memcmp(one.data(), &many[r * width], width * sizeof(float)) == 0);
  }
}

TEST_CASE_TEMPLATE("rows: rounding and gathering", B, OnCpu) {
  for (std::size_t width : widths) {
    const std::size_t rows = 4;
    auto x = random_floats(rows * width, 9, 1e3f);
    const float special[] = {infinity,  -infinity,       std::nanf(""), -0.0f,
                             0x1p-140f, 0x1.fffffep127f, 1 + 0x1p-8f,   1 + 0x3p-8f};
    for (std::size_t i = 0; i < std::min<std::size_t>(8, x.size()); ++i) x[i] = special[i];
    auto out = everywhere<B, bf16>(rows, width,
                                   [&](auto& s, Padded<bf16>& o) { round_rows(s, rows_of(x, rows, width), o.view()); });
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < width; ++c) REQUIRE(out.at(r, c) == to_bf16(x[r * width + c]));
    }
    auto table = random_bf16(6 * width, 3);
    const std::int32_t ids[] = {5, 0, 5, 2};
    auto picked = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& o) {
      gather_rows(s, rows_of(table, 6, width), {ids, rows}, o.view());
    });
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < width; ++c) {
        REQUIRE(picked.at(r, c) == to_float(table[static_cast<std::size_t>(ids[r]) * width + c]));
      }
    }
  }
}

TEST_CASE_TEMPLATE("rows: adding rows and a bias", B, OnCpu) {
  for (std::size_t width : widths) {
    const std::size_t rows = 7;
    auto x = random_floats(rows * width, 1), y = random_floats(rows * (width + 1), 2);
    auto sum = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& o) {
      fill(o, x);
      add_rows(s, o.view(), rows_of(y, rows, width, width + 1));
      add_bias(s, o.view(), {y.data(), width});
    });
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < width; ++c) {
        REQUIRE(sum.at(r, c) == (x[r * width + c] + y[r * (width + 1) + c]) + y[c]);
      }
    }
  }
}

TEST_CASE_TEMPLATE("rows: a sum and its norm are those of two passes", B, OnCpu) {
  for (std::size_t width : widths) {
    const std::size_t rows = 5;
    const auto x = random_floats(rows * width, 1, 3.0f), y = random_floats(rows * width, 2),
               weight = random_floats(width, 3);
    const auto streams = B::streams();
    auto& s = *streams.back();
    std::vector<float> sum = x, normed(rows * width);
    const Rows<float> sums(sum.data(), rows, width);
    add_rows(s, sums, rows_of(y, rows, width));
    rms_norm(s, sums, vector_of(weight), 1e-6f, {}, {normed.data(), rows, width});
    auto out = everywhere<B, float>(2 * rows, width, [&](auto& stream, Padded<float>& o) {
      std::vector<float> beside = x, added = y;  // the norm takes the place of what was added
      const Rows<float> total(beside.data(), rows, width), exact(added.data(), rows, width);
      add_rms_norm(stream, total, exact, vector_of(weight), 1e-6f, {}, exact);
      std::copy(added.begin(), added.end(), beside.insert(beside.end(), rows * width, 0.0f));
      fill(o, beside);
    });
    for (std::size_t i = 0; i < rows * width; ++i) {
      REQUIRE(out.at(i / width, i % width) == sum[i]);
      REQUIRE(out.at(rows + i / width, i % width) == normed[i]);
    }
  }
}

TEST_CASE_TEMPLATE("rows: clamping, and what epilogues do to a part", B, OnCpu) {
  for (std::size_t width : widths) {
    const std::size_t rows = 5;
    auto x = random_floats(rows * width, 4, 3.0f);
    x[0] = std::nanf("");
    auto clamped = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& o) {
      fill(o, x);
      clamp_rows(s, o.view(), 1.25f);
    });
    for (std::size_t i = 1; i < x.size(); ++i) {
      REQUIRE(clamped.at(i / width, i % width) == std::clamp(x[i], -1.25f, 1.25f));
    }
    CHECK(std::isnan(clamped.at(0, 0)));
    auto values = random_floats(rows * (width + 2), 6, 3.0f);
    const std::uint32_t place[] = {6, 0, 3, 1, 5};
    auto out = everywhere<B, bf16>(1, 7 * width, [&](auto& s, Padded<bf16>& o) {
      const auto in = rows_of(values, rows, width, width + 2);
      const std::size_t half = width / 2;
      scatter_rounded(s, cpu::GemmPart{0, 0, rows, 0, half}, in, {place, rows}, {o.data(), 7, width});
      scatter_rounded(s, cpu::GemmPart{0, 0, rows, half, width - half}, in, {place, rows}, {o.data(), 7, width});
    });
    auto biased = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& o) {
      fill(o, x);
      add_bias(s, cpu::GemmPart{0, 1, rows - 1, width / 2, width - width / 2}, o.view(), vector_of(values));
    });
    for (std::size_t i = 1; i < x.size(); ++i) {
      const bool in_part = i >= width && i % width >= width / 2;
      REQUIRE(biased.at(i / width, i % width) == (in_part ? x[i] + values[i % width] : x[i]));
    }
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < width; ++c) {
        REQUIRE(out.at(0, place[r] * width + c) == to_bf16(values[r * (width + 2) + c]));
      }
    }
    for (std::size_t c = 0; c < width; ++c) REQUIRE(out.at(0, 2 * width + c) == Padded<bf16>::canary());
  }
}

TEST_CASE_TEMPLATE("rows: every row with its own factor", B, OnCpu) {
  for (std::size_t width : widths) {
    const std::size_t rows = 7;
    auto x = random_floats(rows * width, 1), y = random_floats(rows * (width + 1), 2), scale = random_floats(rows, 3);
    auto scaled = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& o) {
      fill(o, x);
      add_scaled_rows(s, o.view(), rows_of(y, rows, width, width + 1), {scale.data(), rows});
    });
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < width; ++c) {
        REQUIRE(scaled.at(r, c) == std::fma(scale[r], y[r * (width + 1) + c], x[r * width + c]));
      }
    }
  }
}

TEST_CASE_TEMPLATE("rows: the sigmoid of a dot product follows the sixteen-lane tree", B, OnCpu) {
  for (std::size_t width : widths) {
    const std::size_t rows = 6;
    auto x = random_floats(rows * (width + 2), 1), weight = random_floats(width, 2);
    auto out = everywhere<B, float>(1, rows, [&](auto& s, Padded<float>& o) {
      sigmoid_dots(s, rows_of(x, rows, width, width + 2), vector_of(weight), {o.data(), rows});
    });
    for (std::size_t r = 0; r < rows; ++r) {
      float lane[16] = {};
      for (std::size_t i = 0; i < width; ++i) lane[i % 16] = std::fma(x[r * (width + 2) + i], weight[i], lane[i % 16]);
      for (int half = 8; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
      }
      sigmoid_rows(*B::streams().front(), {lane, 1, 1});
      CHECK(out.at(0, r) == lane[0]);
    }
  }
}

TEST_CASE_TEMPLATE("rows: rotation of adjacent pairs and of halves", B, OnCpu) {
  for (std::size_t dim : {2, 6, 16, 30, 32, 64, 96}) {
    const std::size_t rows = 3, heads = 2, head_stride = dim + 5, width = head_stride + dim;
    auto x = random_floats(rows * width, 1), c = random_floats(rows * dim / 2, 2), s = random_floats(rows * dim / 2, 3);
    for (auto pairs : {RotaryPairs::Adjacent, RotaryPairs::Halves}) {
      auto out = everywhere<B, float>(rows, width, [&](auto& stream, Padded<float>& o) {
        fill(o, x);
        rotate(stream, {o.view().columns(0, dim), heads, head_stride}, rows_of(c, rows, dim / 2),
               rows_of(s, rows, dim / 2), pairs);
      });
      for (std::size_t r = 0; r < rows; ++r) {
        std::vector<float> expected(x.begin() + static_cast<std::ptrdiff_t>(r * width),
                                    x.begin() + static_cast<std::ptrdiff_t>((r + 1) * width));
        for (std::size_t h = 0; h < heads; ++h) {
          for (std::size_t i = 0; i < dim / 2; ++i) {
            const bool adjacent = pairs == RotaryPairs::Adjacent;
            float& a = expected[h * head_stride + (adjacent ? 2 * i : i)];
            float& b = expected[h * head_stride + (adjacent ? 2 * i + 1 : i + dim / 2)];
            const float cosine = c[r * dim / 2 + i], sine = s[r * dim / 2 + i], before = a;
            a = std::fma(a, cosine, -(b * sine));
            b = std::fma(b, cosine, before * sine);
          }
        }
        for (std::size_t i = 0; i < width; ++i) REQUIRE(out.at(r, i) == expected[i]);
      }
    }
  }
}

TEST_CASE_TEMPLATE("rows: swiglu and sigmoid", B, OnCpu) {
  for (std::size_t width : widths) {
    const std::size_t rows = 4, offset = width + 3, stride = 2 * width + 3;
    auto x = random_floats(rows * stride, 1, 20.0f);
    x[0] = -200.0f;  // exp overflows: silu goes to -0
    auto out = everywhere<B, bf16>(rows, width, [&](auto& s, Padded<bf16>& o) {
      swiglu(s, rows_of(x, rows, width, stride), rows_of(x, rows, width, stride, offset), o.view());
    });
    auto probability = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& o) {
      for (std::size_t r = 0; r < rows; ++r) std::copy_n(&x[r * stride], width, &o.at(r, 0));
      sigmoid_rows(s, o.view());
    });
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < width; ++c) {
        const double gate = x[r * stride + c], up = x[r * stride + offset + c];
        const double sigmoid = 1 / (1 + std::exp(-gate)), y = gate * sigmoid * up;
        CHECK(std::fabs(to_float(out.at(r, c)) - y) <= 0x1.02p-8 * std::fabs(y) + 0x1p-126);
        CHECK(std::fabs(probability.at(r, c) - sigmoid) <= 4 * 0x1p-24 * sigmoid + 0x1p-126);
      }
    }
  }
}

TEST_CASE_TEMPLATE("rows: clamped swiglu", B, OnCpu) {
  const float limit = 7.0f;
  for (std::size_t width : widths) {
    const std::size_t rows = 4, offset = width + 3, stride = 2 * width + 3;
    auto x = random_floats(rows * stride, 1, 20.0f);  // a third of the gates and two thirds of the ups are clamped
    x[0] = -200.0f;                                   // no lower bound: goes to -0
    x[stride] = limit, x[stride + offset] = -limit;
    auto out = everywhere<B, bf16>(rows, width, [&](auto& s, Padded<bf16>& o) {
      clamped_swiglu(s, rows_of(x, rows, width, stride), rows_of(x, rows, width, stride, offset), limit, o.view());
    });
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < width; ++c) {
        const double gate = std::min<double>(x[r * stride + c], limit);
        const double up = std::clamp<double>(x[r * stride + offset + c], -limit, limit);
        const double y = (up + 1) * gate / (1 + std::exp(-1.702 * gate));
        // bf16's rounding, and in fp32 the product 1.702 * gate of up to 340, which the exponential makes relative.
        CHECK(std::fabs(to_float(out.at(r, c)) - y) <= (0x1.02p-8 + 340 * 0x1p-24) * std::fabs(y) + 0x1p-126);
      }
    }
  }
  const float nan = std::nanf("");
  const float special[4] = {nan, infinity, 1, nan};  // gates NaN and infinity, ups 1 and NaN
  for (const auto& stream : B::streams()) {
    bf16 out[2];
    clamped_swiglu(*stream, {special, 1, 2}, {special + 2, 1, 2}, limit, {out, 1, 2});
    CHECK(std::isnan(to_float(out[0])));
    CHECK(std::isnan(to_float(out[1])));
  }
}

TEST_CASE_TEMPLATE("rows: picks are summed in their order", B, OnCpu) {
  for (std::size_t width : widths) {
    const std::size_t rows = 5, picks = 3;
    auto y = random_bf16(20 * (width + 1), 1);
    auto weights = random_floats(rows * picks, 2), x = random_floats(rows * width, 3);
    std::vector<std::uint32_t> row_of;
    for (std::size_t i = 0; i < rows * picks; ++i) row_of.push_back(philox(5, i)[0] % 20);
    auto out = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& o) {
      fill(o, x);
      weighted_sum(s, rows_of(y, 20, width, width + 1), rows_of(row_of, rows, picks), rows_of(weights, rows, picks),
                   o.view());
    });
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < width; ++c) {
        float sum = x[r * width + c];
        for (std::size_t p = 0; p < picks; ++p) {
          sum = std::fma(weights[r * picks + p], to_float(y[row_of[r * picks + p] * (width + 1) + c]), sum);
        }
        REQUIRE(out.at(r, c) == sum);
      }
    }
  }
}

TEST_CASE_TEMPLATE("rows: the largest value of every chunk, and whether all are finite", B, OnCpu) {
  constexpr std::size_t chunk = cpu::maxima_chunk;
  for (std::size_t width : {std::size_t{1}, std::size_t{17}, std::size_t{64}, std::size_t{65}, 16 * chunk - 1,
                            16 * chunk, 33 * chunk + 5}) {
    CAPTURE(width);
    auto x = random_floats(width, width, 3.0f);
    const std::size_t chunks = (width + chunk - 1) / chunk;
    const auto found = everywhere<B, float>(1, chunks, [&](auto& s, Padded<float>& o) {
      CHECK(chunk_maxima(s, x, {o.data(), chunks}));
    });
    std::vector<float> wanted;
    for (std::size_t i = 0; i < width; i += chunk) {
      wanted.push_back(*std::max_element(&x[i], x.data() + std::min(width, i + chunk)));
    }
    CHECK(std::equal(wanted.begin(), wanted.end(), found.values.begin()));
    for (std::size_t place : {std::size_t{0}, width / 2, width - 1}) {
      for (float bad :
           {std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
        std::vector<float> broken = x, maxima(chunks);
        broken[place] = bad;
        for (const auto& stream : B::streams()) CHECK_FALSE(chunk_maxima(*stream, broken, maxima));
      }
    }
  }
}

TEST_CASE_TEMPLATE("rows: softmax and log of sums of exponentials", B, OnCpu) {
  for (std::size_t width : {std::size_t{1}, std::size_t{17}, std::size_t{64}, std::size_t{1000}}) {
    const std::size_t rows = 3;
    auto x = random_floats(rows * width, 1, 30.0f);
    if (width > 5) x[5] = -infinity;  // a masked logit
    auto out = everywhere<B, float>(rows, width, [&](auto& s, Padded<float>& o) {
      fill(o, x);
      softmax_rows(s, o.view());
    });
    auto statistics = everywhere<B, float>(rows, 2, [&](auto& s, Padded<float>& o) {
      for (std::size_t r = 0; r < rows; ++r) {
        const LogSumExp row = log_sum_exp(s, std::span(x).subspan(r * width, width));
        o.at(r, 0) = row.maximum;
        o.at(r, 1) = row.log_sum_exp;
      }
    });
    for (std::size_t r = 0; r < rows; ++r) {
      const float* row = &x[r * width];
      const double top = *std::max_element(row, row + width);
      double sum = 0;
      for (std::size_t c = 0; c < width; ++c) sum += std::exp(row[c] - top);
      CHECK(statistics.at(r, 0) == top);
      // Sum of positive terms: a lane adds width / 16 of them; each exp's argument is rounded to 2^-24 of up to 60.
      const double relative = (static_cast<double>(width) / 16 + 70) * 0x1p-24;
      CHECK(std::fabs(statistics.at(r, 1) - (top + std::log(sum))) <= relative + 0x1p-24 * std::fabs(top + 8));
      for (std::size_t c = 0; c < width; ++c) {
        const double p = std::exp(row[c] - top) / sum;
        CHECK(std::fabs(out.at(r, c) - p) <= (relative + 0x1p-22) * p + 0x1p-126);
      }
    }
  }
}
