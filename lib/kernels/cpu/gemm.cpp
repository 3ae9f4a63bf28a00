#include "kernels/gemm.hpp"

#include <algorithm>
#include <functional>

#include "base/error.hpp"
#include "kernels/cpu/bodies.hpp"
#include "kernels/cpu/pack_tile.hpp"
#include "kernels/cpu/stream.hpp"

namespace moemill::cpu {

namespace {

// Rows that share one expansion of A and one widening of a panel: 168 rows of a K block are 350 KB, which leaves room
// for panels in an L2 of 512 KiB.
constexpr std::size_t chunk_rows = 168;

std::size_t round_up(std::size_t x, std::size_t step) { return (x + step - 1) / step * step; }
std::size_t panels_of(std::uint32_t n) { return (n + panel_columns - 1) / panel_columns; }

// A K block of a packed matrix. K is padded to whole pairs: the added terms are 0 * 0.
struct KBlock {
  std::size_t first_input;
  std::size_t pairs;
  std::size_t offset;  // of its first panel in the packed data
};

KBlock k_block(std::uint32_t k, std::uint32_t n, std::size_t index) {
  const std::size_t first = index * block_inputs;
  const std::size_t inputs = std::min(block_inputs, round_up(k, 2) - first);
  return {first, inputs / 2, first * panels_of(n) * panel_columns};
}

std::size_t blocks_of(std::uint32_t k) { return (k + block_inputs - 1) / block_inputs; }

std::size_t packed_index(std::uint32_t k, std::uint32_t n, std::size_t i, std::size_t j) {
  const KBlock block = k_block(k, n, i / block_inputs);
  const std::size_t row = i - block.first_input;
  return block.offset + j / panel_columns * block.pairs * panel_columns * 2 +
         (row / 2 * panel_columns + j % panel_columns) * 2 + row % 2;
}

// A row chunk of one problem, panels [first_panel, last_panel): what a thread takes on at a time.
template <class Rows>
struct Piece {
  const GemmProblem<Rows>* problem;
  std::size_t first_row, rows;
  std::size_t first_panel, last_panel;

  const bf16* block(std::size_t index) const {
    const Matrix& w = problem->w;
    const KBlock b = k_block(w.k, w.n, index);
    return w.data + b.offset + first_panel * b.pairs * panel_columns * 2;
  }
};

void expand(const Bodies& bodies, const bf16* in, std::size_t n, float* out) { bodies.widen(in, n, out); }
void expand(const Bodies&, const float* in, std::size_t n, float* out) { std::copy_n(in, n, out); }

template <class Rows>
void expand_rows(const Bodies& bodies, const Piece<Rows>& piece, const KBlock& block, float* out) {
  const Rows& a = piece.problem->a;
  const std::size_t inputs = std::min<std::size_t>(2 * block.pairs, piece.problem->w.k - block.first_input);
  for (std::size_t i = 0; i < piece.rows; ++i) {
    const std::size_t row = a.index ? a.index[piece.first_row + i] : piece.first_row + i;
    float* to = out + i * a_row_stride;
    expand(bodies, a.data + row * a.stride + block.first_input, inputs, to);
    if (inputs < 2 * block.pairs) to[inputs] = 0.0f;
  }
}

// `after` is the first block of the thread's next piece: the last panel prefetches it.
template <class Rows>
void run_piece(const Bodies& bodies, const Piece<Rows>& piece, const bf16* after, float* scratch) {
  const Matrix& w = piece.problem->w;
  float* expanded = scratch + widened_panel_floats;
  const std::size_t blocks = blocks_of(w.k);
  for (std::size_t b = 0; b < blocks; ++b) {
    const KBlock block = k_block(w.k, w.n, b);
    expand_rows(bodies, piece, block, expanded);
    GemmBlock g;
    g.a = expanded;
    g.rows = piece.rows;
    g.w = piece.block(b);
    g.pairs = block.pairs;
    g.panels = piece.last_panel - piece.first_panel;
    g.last_columns = std::min<std::size_t>(panel_columns, w.n - (piece.last_panel - 1) * panel_columns);
    g.c = piece.problem->c + piece.first_row * piece.problem->c_stride + piece.first_panel * panel_columns;
    g.c_stride = piece.problem->c_stride;
    g.first = b == 0;
    g.next = b + 1 < blocks ? piece.block(b + 1) : after;
    g.widened = scratch;
    bodies.gemm_block(g);
  }
}

// What a panel costs, for an even split: below 8 rows reading the weights is what takes the time.
std::size_t panel_cost(std::size_t rows, std::uint32_t k) { return std::max<std::size_t>(rows, 8) * k; }

// Calls visit(piece) for the thread's share: [total * thread / threads, total * (thread + 1) / threads) of all panels'
// cost, cut at whole panels.
template <class Rows, class Visit>
void visit_share(std::span<const GemmProblem<Rows>> problems, std::size_t total, std::size_t thread,
                 std::size_t threads, Visit visit) {
  const std::size_t from = total * thread / threads, to = total * (thread + 1) / threads;
  std::size_t before = 0;  // cost of the pieces so far
  for (const GemmProblem<Rows>& problem : problems) {
    const std::size_t panels = panels_of(problem.w.n);
    const std::size_t chunks = (problem.m + chunk_rows - 1) / chunk_rows;
    for (std::size_t c = 0; c < chunks; ++c) {
      const std::size_t first_row = problem.m * c / chunks, rows = problem.m * (c + 1) / chunks - first_row;
      const std::size_t cost = panel_cost(rows, problem.w.k);
      auto panel_at = [&](std::size_t bound) {
        return bound <= before ? 0 : std::min(panels, (bound - before + cost - 1) / cost);
      };
      const std::size_t first = panel_at(from), last = panel_at(to);
      if (first < last) visit(Piece<Rows>{&problem, first_row, rows, first, last});
      before += panels * cost;
    }
  }
}

template <class Rows>
std::size_t total_cost(std::span<const GemmProblem<Rows>> problems) {
  std::size_t total = 0;
  for (const GemmProblem<Rows>& problem : problems) {
    const std::size_t chunks = (problem.m + chunk_rows - 1) / chunk_rows;
    for (std::size_t c = 0; c < chunks; ++c) {
      const std::size_t rows = problem.m * (c + 1) / chunks - problem.m * c / chunks;
      total += panels_of(problem.w.n) * panel_cost(rows, problem.w.k);
    }
  }
  return total;
}

template <class Rows>
void run(Stream& stream, std::span<const GemmProblem<Rows>> problems) {
  const std::size_t total = total_cost(problems);
  if (total == 0) return;
  const auto threads = static_cast<std::size_t>(stream.team().size());
  const std::size_t scratch_bytes = (widened_panel_floats + chunk_rows * a_row_stride) * sizeof(float);
  auto share = [&](std::size_t begin, std::size_t end, int thread) {
    float* scratch = reinterpret_cast<float*>(stream.scratch(thread, scratch_bytes));
    for (std::size_t part = begin; part < end; ++part) {
      Piece<Rows> waiting{};  // runs once the piece after it is known
      visit_share(problems, total, part, threads, [&](const Piece<Rows>& piece) {
        if (waiting.problem) run_piece(stream.bodies(), waiting, piece.block(0), scratch);
        waiting = piece;
      });
      if (waiting.problem) run_piece<Rows>(stream.bodies(), waiting, nullptr, scratch);
    }
  };
  stream.team().parallel_for(threads, 1, std::ref(share));
}

}  // namespace

std::size_t packed_count(std::uint32_t k, std::uint32_t n) { return panels_of(n) * panel_columns * round_up(k, 2); }

void pack(bf16* packed, std::uint32_t k, std::uint32_t n, const PackedPart& part, const bf16* source,
          std::size_t column_stride, std::size_t input_stride) {
  const std::size_t end = std::size_t{part.first_input} + part.inputs;
  const std::size_t last = std::size_t{part.first_column} + part.columns;
  expect(part.first_input % 2 == 0 && end <= k && (end % 2 == 0 || end == k), "packed inputs come in pairs");
  expect(part.first_column % panel_columns == 0 && last <= n, "packed columns begin at a panel");
  for (std::size_t b = part.first_input / block_inputs; b * block_inputs < end; ++b) {
    const KBlock block = k_block(k, n, b);
    const std::size_t first = std::max<std::size_t>(part.first_input, block.first_input);
    const std::size_t inputs = std::min(end, block.first_input + 2 * block.pairs) - first;
    for (std::size_t column = part.first_column; column < last; column += panel_columns) {
      PackTile tile;
      tile.out = packed + block.offset + column / panel_columns * block.pairs * panel_columns * 2 +
                 (first - block.first_input) * panel_columns;
      tile.source = source + (column - part.first_column) * column_stride + (first - part.first_input) * input_stride;
      tile.column_stride = column_stride;
      tile.input_stride = input_stride;
      tile.columns = std::min(panel_columns, last - column);
      tile.inputs = inputs;
      pack_tile(tile);
    }
  }
}

void pack(bf16* packed, std::uint32_t k, std::uint32_t n, const bf16* source, std::size_t column_stride,
          std::size_t input_stride, std::uint32_t first_column, std::uint32_t columns) {
  pack(packed, k, n, {0, k, first_column, columns}, source, column_stride, input_stride);
}

bf16 packed_at(const Matrix& w, std::uint32_t i, std::uint32_t j) { return w.data[packed_index(w.k, w.n, i, j)]; }

void gemm(Stream& stream, RowsBf16 a, std::size_t m, const Matrix& w, float* c, std::size_t c_stride) {
  const GemmProblem<RowsBf16> problem{a, m, w, c, c_stride};
  run<RowsBf16>(stream, {&problem, 1});
}

void gemm(Stream& stream, RowsF32 a, std::size_t m, const Matrix& w, float* c, std::size_t c_stride) {
  const GemmProblem<RowsF32> problem{a, m, w, c, c_stride};
  run<RowsF32>(stream, {&problem, 1});
}

void gemm_grouped(Stream& stream, std::span<const GemmProblem<RowsBf16>> problems) { run(stream, problems); }
void gemm_grouped(Stream& stream, std::span<const GemmProblem<RowsF32>> problems) { run(stream, problems); }

}  // namespace moemill::cpu
