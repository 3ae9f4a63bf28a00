#include "kernels/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "support.hpp"

using namespace moemill;
using namespace moemill::test;
using cpu::Isa;

namespace {

struct Weights {
  std::uint32_t k, n;
  std::vector<bf16> source;  // [n][k], a torch Linear weight
  std::vector<bf16> packed;

  Weights(std::uint32_t inputs, std::uint32_t outputs, std::uint64_t seed)
      : k(inputs), n(outputs), source(random_bf16(std::size_t{inputs} * outputs, seed)) {
    packed.resize(cpu::packed_count(k, n));
    cpu::pack(packed.data(), k, n, source.data(), k, 1, 0, n);
  }
  cpu::Matrix view() const { return {packed.data(), k, n}; }
};

// Columns [0, n) of the product of all rows, or of those that an index names; the buffer behind every row is checked.
template <class T>
std::vector<float> product(Isa isa, int threads, Rows<const T> a, const Weights& w,
                           const std::vector<std::uint32_t>& index = {}) {
  cpu::Stream stream(isa, threads);
  const std::size_t m = index.empty() ? a.rows : index.size();
  Padded<float> c(m, w.n, 5);
  if (index.empty()) {
    cpu::gemm(stream, a, w.view(), c.view());
  } else {
    const cpu::GemmProblem<T> problem{a, w.view(), c.view(), {index.data(), m}};
    cpu::gemm_grouped(stream, std::span(&problem, 1));
  }
  CHECK(c.padding_untouched());
  std::vector<float> out;
  for (std::size_t r = 0; r < m; ++r) out.insert(out.end(), &c.at(r, 0), &c.at(r, 0) + w.n);
  return out;
}

}  // namespace

TEST_CASE("gemm: packing keeps every value and pads with zeros") {
  for (auto [k, n] : {std::pair{1u, 1u}, {2u, 32u}, {513u, 33u}, {512u, 31u}, {1027u, 70u}}) {
    Weights w(k, n, 3);
    CHECK(w.packed.size() == std::size_t{(n + 31) / 32 * 32} * ((k + 1) / 2 * 2));
    std::size_t wrong = 0;
    for (std::uint32_t j = 0; j < n; ++j) {
      for (std::uint32_t i = 0; i < k; ++i)
        wrong += !(cpu::packed_at(w.view(), i, j) == w.source[std::size_t{j} * k + i]);
    }
    CHECK(wrong == 0);
    std::size_t zeros = 0;
    for (bf16 x : w.packed) zeros += x.bits == 0;
    CHECK(zeros >= w.packed.size() - std::size_t{k} * n);
  }
}

TEST_CASE("gemm: packing column ranges and transposed sources gives the same matrix") {
  const std::uint32_t k = 77, n = 100;
  Weights whole(k, n, 5);
  std::vector<bf16> parts(whole.packed.size(), bf16{0x7777});
  cpu::pack(parts.data(), k, n, whole.source.data() + 64 * k, k, 1, 64, 36);
  cpu::pack(parts.data(), k, n, whole.source.data(), k, 1, 0, 64);
  CHECK(same_bits(parts, whole.packed));

  std::vector<bf16> input_first(std::size_t{k} * n);
  for (std::uint32_t i = 0; i < k; ++i) {
    for (std::uint32_t j = 0; j < n; ++j) input_first[std::size_t{i} * n + j] = whole.source[std::size_t{j} * k + i];
  }
  std::vector<bf16> turned(whole.packed.size());
  cpu::pack(turned.data(), k, n, input_first.data(), 1, n, 0, n);
  CHECK(same_bits(turned, whole.packed));
}

TEST_CASE("gemm: packing input ranges of sources of any strides gives the same matrix") {
  for (const auto& shape : {std::pair{1u, 1u}, {2u, 9u}, {613u, 45u}, {1030u, 96u}, {520u, 71u}}) {
    const std::uint32_t k = shape.first, n = shape.second;
    const Weights whole(k, n, 6);
    for (std::size_t step : {1u, 2u, 3u}) {  // values between two neighbours of the source
      for (bool first : {false, true}) {     // inputs far apart, or columns
        for (std::uint32_t chunk : {2u, 90u, 512u}) {
          CAPTURE(k);
          CAPTURE(n);
          CAPTURE(step);
          CAPTURE(first);
          CAPTURE(chunk);
          const std::size_t column_stride = first ? step : k * step, input_stride = first ? n * step : step;
          // Exactly as long as its last value needs: reading behind it is for the sanitizer to see.
          std::vector<bf16> source((n - 1) * column_stride + (k - 1) * input_stride + 1, bf16{0x7777});
          for (std::size_t j = 0; j < n; ++j) {
            for (std::size_t i = 0; i < k; ++i) source[j * column_stride + i * input_stride] = whole.source[j * k + i];
          }
          std::vector<bf16> packed(whole.packed.size(), bf16{0x7777});
          for (std::uint32_t at = 0; at < k; at += chunk) {
            cpu::pack(packed.data(), k, n, {at, std::min(chunk, k - at), 0, n}, source.data() + at * input_stride,
                      column_stride, input_stride);
          }
          CHECK(same_bits(packed, whole.packed));
        }
      }
    }
  }
}

TEST_CASE("gemm: two sources that each begin at a panel fill one matrix") {
  const std::uint32_t k = 70, width = 41, n = 64 + width;
  const std::vector<bf16> alternating = random_bf16(std::size_t{k} * 2 * width, 9);  // [k][gate, up, gate, ...]
  std::vector<bf16> packed(cpu::packed_count(k, n), bf16{0x7777});
  cpu::pack(packed.data(), k, n, {0, k, 0, width}, alternating.data(), 2, 2 * width);
  cpu::pack(packed.data(), k, n, {0, k, 64, width}, alternating.data() + 1, 2, 2 * width);
  const cpu::Matrix w{packed.data(), k, n};
  std::size_t wrong = 0;
  for (std::uint32_t i = 0; i < k; ++i) {
    for (std::uint32_t j = 0; j < n; ++j) {
      const std::size_t row = std::size_t{i} * 2 * width;
      bf16 wanted{0};
      if (j < width) wanted = alternating[row + 2 * j];
      if (j >= 64) wanted = alternating[row + 2 * (j - 64) + 1];
      wrong += !(cpu::packed_at(w, i, j) == wanted);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("gemm: the plain body is one ascending chain of fused multiply-adds") {
  const std::uint32_t k = 613, n = 45;
  const std::size_t m = 4;
  Weights w(k, n, 7);
  auto a = random_floats(m * k, 8);
  auto c = product(Isa::Plain, 1, rows_of(a, m, k), w);
  for (std::size_t r = 0; r < m; ++r) {
    for (std::uint32_t j = 0; j < n; ++j) {
      float sum = 0;
      double exact = 0, magnitude = 0;
      for (std::uint32_t i = 0; i < k; ++i) {
        float weight = to_float(w.source[std::size_t{j} * k + i]);
        sum = std::fma(a[r * k + i], weight, sum);
        exact += double{a[r * k + i]} * weight;
        magnitude += std::fabs(double{a[r * k + i]} * weight);
      }
      sum = std::fma(0.0f, 0.0f, sum);  // the padding to a pair
      REQUIRE(c[r * n + j] == sum);
      CHECK(std::fabs(c[r * n + j] - exact) <= k * 0x1p-24 * magnitude);
    }
  }
}

TEST_CASE("gemm: vector bodies, threads and row counts give the plain body's bits") {
  const std::size_t most = 170;
  for (const auto& shape : {std::pair{1u, 1u}, {2u, 33u}, {31u, 31u}, {513u, 65u}, {1025u, 161u}, {64u, 129u}}) {
    const std::uint32_t k = shape.first, n = shape.second;
    CAPTURE(k);
    CAPTURE(n);
    Weights w(k, n, k + n);
    auto a = random_bf16(most * k, 11);
    const Rows<const bf16> rows = rows_of(a, most, k);
    auto all = product(Isa::Plain, 1, rows, w);
    for (Isa isa : vector_isas()) {
      for (std::size_t m = 1; m <= most; m += m < 40 ? 1 : 13) {
        for (int threads : {1, 2, 3}) {
          if (threads > 1 && m % 9 != 1) continue;
          std::vector<float> expected(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(m * n));
          CAPTURE(m);
          CAPTURE(threads);
          REQUIRE(same_bits(product(isa, threads, rows.range(0, m), w), expected));
        }
      }
    }
    CHECK(same_bits(product(Isa::Plain, 3, rows, w), all));
  }
}

TEST_CASE("gemm: more rows than a chunk, both kinds of rows, gathered and strided") {
  const std::uint32_t k = 530, n = 40;
  const std::size_t m = 401;
  Weights w(k, n, 1);
  auto a = random_bf16(m * (k + 3), 2);
  auto f = random_floats(m * (k + 3), 3);
  std::vector<std::uint32_t> index(m);
  for (std::size_t i = 0; i < m; ++i) index[i] = static_cast<std::uint32_t>(philox(4, i)[0] % m);
  const Rows<const bf16> rounded = rows_of(a, m, k, k + 3);
  const Rows<const float> exact = rows_of(f, m, k, k + 3);
  auto plain_a = product(Isa::Plain, 1, rounded, w);
  auto plain_f = product(Isa::Plain, 1, exact, w, index);
  for (Isa isa : vector_isas()) {
    CHECK(same_bits(product(isa, 2, rounded, w), plain_a));
    CHECK(same_bits(product(isa, 1, exact, w, index), plain_f));
    auto gathered = product(isa, 1, rounded, w, index);
    for (std::size_t r = 0; r < m; ++r) {
      REQUIRE(std::memcmp(&gathered[r * n], &plain_a[index[r] * n], n * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("gemm: a split by columns changes nothing") {
  const std::uint32_t k = 600, n = 160;
  Weights whole(k, n, 21);
  auto a = random_bf16(20 * k, 22);
  for (Isa isa : vector_isas()) {
    auto all = product(isa, 1, rows_of(a, 20, k), whole);
    for (std::uint32_t first = 0; first < n; first += 32) {
      Weights part(k, 32, 21);
      cpu::pack(part.packed.data(), k, 32, whole.source.data() + std::size_t{first} * k, k, 1, 0, 32);
      auto c = product(isa, 1, rows_of(a, 20, k), part);
      for (std::size_t r = 0; r < 20; ++r) {
        REQUIRE(std::memcmp(&c[r * 32], &all[r * n + first], 32 * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("gemm: grouped problems equal single ones for any number of threads") {
  struct Case {
    std::uint32_t k, n;
    std::size_t m;
  };
  const std::vector<Case> cases = {{64, 96, 5},  {64, 96, 0},    {700, 33, 1}, {3, 500, 2},
                                   {64, 96, 40}, {512, 64, 200}, {64, 96, 3}};
  for (Isa isa : vector_isas()) {
    for (int threads : {1, 2, 3, 5}) {
      cpu::Stream stream(isa, threads);
      std::vector<Weights> weights;
      std::vector<std::vector<float>> rows;
      std::vector<Padded<float>> outputs;
      for (const Case& c : cases) {
        weights.emplace_back(c.k, c.n, c.k * 7 + c.n);
        rows.push_back(random_floats(c.m * c.k, c.m));
        outputs.emplace_back(c.m, c.n, 3);
      }
      std::vector<cpu::GemmProblem<float>> problems;
      for (std::size_t i = 0; i < cases.size(); ++i) {
        problems.push_back({rows_of(rows[i], cases[i].m, cases[i].k), weights[i].view(), outputs[i].view(), {}});
      }
      cpu::gemm_grouped(stream, problems);
      for (std::size_t i = 0; i < cases.size(); ++i) {
        CHECK(outputs[i].padding_untouched());
        auto alone = product(Isa::Plain, 1, rows_of(rows[i], cases[i].m, cases[i].k), weights[i]);
        for (std::size_t r = 0; r < cases[i].m; ++r) {
          REQUIRE(std::memcmp(&outputs[i].at(r, 0), &alone[r * cases[i].n], cases[i].n * sizeof(float)) == 0);
        }
      }
    }
  }
}

TEST_CASE("gemm: denormals, signed zeros and infinities as IEEE has them") {
  const std::uint32_t k = 4, n = 34;
  Weights w(k, n, 9);
  auto set = [&](float x) {
    for (bf16& b : w.source) b = to_bf16(x);
    cpu::pack(w.packed.data(), k, n, w.source.data(), k, 1, 0, n);
  };
  for (Isa isa : {Isa::Plain, Isa::Avx2, Isa::Avx512}) {
    if (!cpu::available(isa)) continue;
    std::vector<float> a = {0x1p-133f, 0, 0, 0};
    set(1);
    for (float c : product(isa, 1, rows_of(a, 1, k), w)) REQUIRE(c == 0x1p-133f);
    a = {-0.0f, -0.0f, 0.0f, -0.0f};
    for (float c : product(isa, 1, rows_of(a, 1, k), w)) REQUIRE((c == 0 && !std::signbit(c)));
    a = {std::numeric_limits<float>::infinity(), 1, 1, 1};
    for (float c : product(isa, 1, rows_of(a, 1, k), w)) REQUIRE(c == a[0]);
    set(0);
    for (float c : product(isa, 1, rows_of(a, 1, k), w)) REQUIRE(std::isnan(c));
  }
}
