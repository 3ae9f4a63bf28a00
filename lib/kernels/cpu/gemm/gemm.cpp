#include "kernels/gemm.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "kernels/cpu/bodies.hpp"
#include "kernels/cpu/packed_layout.hpp"
#include "kernels/cpu/stream.hpp"
#include "system/machine/flush_subnormals.hpp"

namespace moemill::cpu {

namespace {

constexpr std::size_t packed_rows = round_up<std::size_t>(chunk_rows, 32);  // of memory: tiles read 32 rows at a time

// A row chunk of one problem, panels [first_panel, last_panel): what a thread takes on at a time.
template <class T>
struct Piece {
  const GemmProblem<T>* problem;
  std::size_t first_row, rows;
  std::size_t first_panel, last_panel;

  Piece part(std::size_t first, std::size_t last) const { return {problem, first_row, rows, first, last}; }
  // The panels' data in K block `index`.
  const std::byte* data(std::size_t index) const {
    const BlockPlace block = block_place(problem->w, index);
    return static_cast<const std::byte*>(problem->w.data) + block.first_byte + first_panel * block.panel_bytes;
  }
};

template <class Product, class T>
void pack_rows(const Product& product, const Piece<T>& piece, const BlockPlace& block, std::byte* out) {
  const Rows<const T>& a = piece.problem->a;
  const std::uint32_t* index = piece.problem->index.data;
  const std::size_t inputs = std::min<std::size_t>(block.inputs, piece.problem->w.k - block.first_input);
  for (std::size_t i = 0; i < piece.rows; ++i) {
    const std::size_t row = index ? index[piece.first_row + i] : piece.first_row + i;
    product.pack_row(a.row(row) + block.first_input, inputs, out + i * product.row_bytes);
  }
}

template <class T>
GemmPanels panels_of_block(const Piece<T>& piece, std::size_t index) {
  const Matrix& w = piece.problem->w;
  const BlockPlace block = block_place(w, index);
  GemmPanels out{w.format, w.order, piece.data(index), block.panel_bytes};
  if (w.format == Format::Bf16 || w.format == Format::Int8) return out;
  out.panel_scale_bytes = scale_segments(w) * scales_per_panel(w) * scale_size(w);
  out.scales = static_cast<const std::byte*>(w.data) + code_bytes(w) + piece.first_panel * out.panel_scale_bytes;
  out.first_input = block.first_input, out.scale_inputs = scale_inputs(w), out.scale_columns = scales_per_panel(w);
  return out;
}

// One K block after the other of panels whose C stays in the cache meanwhile. `after`: the data to prefetch last.
template <class Product, class T>
void run_panels(const Product& product, const Piece<T>& piece, const std::byte* after, std::byte* scratch) {
  const Matrix& w = piece.problem->w;
  std::byte* packed = scratch + gemm_scratch_bytes;
  const std::size_t blocks = blocks_of(w.k);
  for (std::size_t b = 0; b < blocks; ++b) {
    const BlockPlace block = block_place(w, b);
    pack_rows(product, piece, block, packed);
    GemmBlock g;
    g.a = packed;
    g.rows = piece.rows;
    g.w = panels_of_block(piece, b);
    g.groups = block.inputs / group_inputs;
    g.panels = piece.last_panel - piece.first_panel;
    g.last_columns = std::min<std::size_t>(panel_columns, w.n - (piece.last_panel - 1) * panel_columns);
    g.c = piece.problem->c.row(piece.first_row) + piece.first_panel * panel_columns;
    g.c_stride = piece.problem->c.stride;
    g.first = b == 0;
    g.next = b + 1 < blocks ? piece.data(b + 1) : after;
    g.scratch = scratch;
    product.block(g);
  }
}

// C of the panels that go through all K blocks together. A larger one would come from memory again in every block; a
// much smaller one would have rows packed too often.
constexpr std::size_t c_bytes_at_a_time = 512 << 10;

// `after` is the first block of the thread's next piece: the last panel prefetches it.
template <class Product, class T>
void run_piece(const Product& product, const Piece<T>& piece, const std::byte* after, std::byte* scratch) {
  expect(FlushSubnormals::on(), "gemm: the definition flushes subnormals");
  if (blocks_of(piece.problem->w.k) == 1) return run_panels(product, piece, after, scratch);
  const std::size_t panels = piece.last_panel - piece.first_panel;
  const std::size_t parts = divide_up(panels * piece.rows * panel_columns * sizeof(float), c_bytes_at_a_time);
  const auto bound = [&](std::size_t part) { return piece.first_panel + panels * part / parts; };
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t first = bound(part), last = bound(part + 1);
    const std::byte* next = part + 1 < parts ? piece.part(last, last + 1).data(0) : after;
    run_panels(product, piece.part(first, last), next, scratch);
  }
}

// What a panel costs, for an even split: below 8 rows reading the weights is what takes the time.
std::size_t panel_cost(std::size_t rows, std::uint32_t k) { return std::max<std::size_t>(rows, 8) * k; }

// Calls visit(piece) for the thread's share: [total * thread / threads, total * (thread + 1) / threads) of all panels'
// cost, cut at whole panels.
template <class T, class Visit>
void visit_share(std::span<const GemmProblem<T>> problems, std::size_t total, std::size_t thread, std::size_t threads,
                 Visit visit) {
  const std::size_t from = total * thread / threads, to = total * (thread + 1) / threads;
  std::size_t before = 0;  // cost of the pieces so far
  for (const GemmProblem<T>& problem : problems) {
    const std::size_t panels = panels_of(problem.w.n);
    const std::size_t chunks = divide_up(problem.c.rows, chunk_rows);
    for (std::size_t c = 0; c < chunks; ++c) {
      const std::size_t first_row = problem.c.rows * c / chunks, rows = problem.c.rows * (c + 1) / chunks - first_row;
      const std::size_t cost = panel_cost(rows, problem.w.k);
      auto panel_at = [&](std::size_t bound) {
        return bound <= before ? 0 : std::min(panels, divide_up(bound - before, cost));
      };
      const std::size_t first = panel_at(from), last = panel_at(to);
      if (first < last) visit(Piece<T>{&problem, first_row, rows, first, last});
      before += panels * cost;
    }
  }
}

template <class T>
std::size_t total_cost(std::span<const GemmProblem<T>> problems) {
  std::size_t total = 0;
  for (const GemmProblem<T>& problem : problems) {
    const std::size_t chunks = divide_up(problem.c.rows, chunk_rows);
    for (std::size_t c = 0; c < chunks; ++c) {
      const std::size_t rows = problem.c.rows * (c + 1) / chunks - problem.c.rows * c / chunks;
      total += panels_of(problem.w.n) * panel_cost(rows, problem.w.k);
    }
  }
  return total;
}

template <class Product, class T>
void run(Stream& stream, const Product& product, std::span<const GemmProblem<T>> problems) {
  const std::size_t total = total_cost(problems);
  if (total == 0) return;
  const auto threads = static_cast<std::size_t>(stream.team().size());
  const std::size_t scratch_bytes = gemm_scratch_bytes + packed_rows * product.row_bytes;
  auto share = [&](std::size_t begin, std::size_t end, int thread) {
    std::byte* scratch = stream.scratch(thread, scratch_bytes);
    for (std::size_t part = begin; part < end; ++part) {
      Piece<T> waiting{};  // runs once the piece after it is known
      visit_share(problems, total, part, threads, [&](const Piece<T>& piece) {
        if (waiting.problem) run_piece(product, waiting, piece.data(0), scratch);
        waiting = piece;
      });
      if (waiting.problem) run_piece(product, waiting, nullptr, scratch);
    }
  };
  stream.team().parallel_for(threads, 1, share);
}

// The body for rows of a type.
const GemmBody& product_of(Stream& stream, const bf16*) { return stream.gemm_body(); }
const ExactGemm& product_of(Stream& stream, const float*) { return *stream.gemm_body().exact; }

// The body for rows of a type and int8 weights.
template <class T>
struct Int8Product {
  std::size_t row_bytes;
  void (*pack_row)(const T* in, std::size_t inputs, std::byte* out);
  void (*block)(const GemmBlock& block);
};
Int8Product<bf16> int8_product_of(Stream& stream, const bf16*) {
  const Int8Gemm& body = stream.int8_gemm();
  return {body.row_bytes, body.pack_bf16, body.block};
}
Int8Product<float> int8_product_of(Stream& stream, const float*) {
  const Int8Gemm& body = stream.int8_gemm();
  return {body.row_bytes, body.pack_fp32, body.block};
}

template <class T>
void run(Stream& stream, std::span<const GemmProblem<T>> problems) {
  if (problems.empty()) return;
  const bool int8 = problems[0].w.format == Format::Int8;
  for (const GemmProblem<T>& problem : problems) {
    expect(problem.a.width == problem.w.k && problem.c.width == problem.w.n, "gemm: rows have the matrix's widths");
    expect((problem.w.format == Format::Int8) == int8, "gemm: all matrices of a call are int8, or none is");
    expect(int8 || stream.reads(problem.w.order), "gemm: the matrix has the order of pairs that the body reads");
    expect(problem.c.rows == (problem.index ? problem.index.size : problem.a.rows),
           "gemm: every row of C has one of A");
  }
  constexpr const T* rows = nullptr;
  if (int8) return run(stream, int8_product_of(stream, rows), problems);
  run(stream, product_of(stream, rows), problems);
}

}  // namespace

void gemm(Stream& stream, Rows<const bf16> a, const Matrix& w, Rows<float> c) {
  const GemmProblem<bf16> problem{a, w, c, {}};
  run<bf16>(stream, {&problem, 1});
}

void gemm(Stream& stream, Rows<const float> a, const Matrix& w, Rows<float> c) {
  const GemmProblem<float> problem{a, w, c, {}};
  run<float>(stream, {&problem, 1});
}

void gemm_grouped(Stream& stream, std::span<const GemmProblem<bf16>> problems) { run(stream, problems); }
void gemm_grouped(Stream& stream, std::span<const GemmProblem<float>> problems) { run(stream, problems); }

}  // namespace moemill::cpu
