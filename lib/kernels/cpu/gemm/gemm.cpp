#include "kernels/gemm.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "kernels/cpu/bodies.hpp"
#include "kernels/cpu/gemm_scratch.hpp"
#include "kernels/cpu/packed_layout.hpp"
#include "kernels/cpu/stream.hpp"
#include "kernels/product_cost.hpp"
#include "system/machine/flush_subnormals.hpp"

namespace moemill::cpu {

namespace {

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

// Packed rows of all K blocks that stay for the panels after them, at most: 168 rows of 2,048 inputs in fp32.
constexpr std::size_t kept_bytes = std::size_t{1664} << 10;

// Packed rows of a K block.
std::size_t packed_block_bytes(std::size_t row_bytes, std::size_t rows) {
  return round_up<std::size_t>(rows, 32) * row_bytes;  // tiles read 32 rows at a time
}
// Packed rows of any chunk of a problem: a shorter chunk may keep all blocks where the longest one does not.
std::size_t packed_rows_bytes(std::size_t row_bytes, std::size_t rows, std::uint32_t k) {
  const std::size_t longest = packed_block_bytes(row_bytes, std::min(rows, chunk_rows));
  return std::max(longest, std::min(blocks_of(k) * longest, kept_bytes));
}

// Whether two products pack the same rows.
template <class T>
bool same_rows(const GemmProblem<T>& one, const GemmProblem<T>& other) {
  return one.a.data == other.a.data && one.a.stride == other.a.stride && one.index.data == other.index.data &&
         one.c.rows == other.c.rows && one.w.k == other.w.k;
}

// A chunk's rows of A as a body reads them, in a thread's scratch: of all K blocks where they fit, so that they are
// packed once for all panels and for the next problems with the same rows, else of one block at a time.
template <class Product, class T>
class PackedRows {
 public:
  PackedRows(const Product& product, std::byte* memory) : product_(product), memory_(memory) {}

  // Before the first block of a piece.
  void begin(const Piece<T>& piece) {
    const bool goes_on = piece_.problem && same_rows(*piece_.problem, *piece.problem) &&
                         piece_.first_row == piece.first_row && piece_.rows == piece.rows;
    if (!goes_on) packed_blocks_ = 0;
    piece_ = piece;
    size_ = size_of(product_, piece.rows, piece.problem->w.k);
  }
  // Rows of K block `index`; blocks come in order, over and over.
  const std::byte* block(std::size_t index) {
    std::byte* at = memory_ + (size_.keeps ? index * size_.block_bytes : 0);
    if (!size_.keeps || index == packed_blocks_) pack(index, at), packed_blocks_ = index + 1;
    return at;
  }

 private:
  struct Size {
    std::size_t block_bytes;
    bool keeps;  // all blocks
  };
  static Size size_of(const Product& product, std::size_t rows, std::uint32_t k) {
    const std::size_t block = packed_block_bytes(product.row_bytes, rows);
    return {block, blocks_of(k) * block <= kept_bytes};
  }
  void pack(std::size_t index, std::byte* out) const {
    const GemmProblem<T>& problem = *piece_.problem;
    const std::uint32_t* rows = problem.index.data;
    const std::size_t first_input = index * block_inputs;
    const std::size_t inputs = std::min<std::size_t>(block_inputs, problem.w.k - first_input);
    for (std::size_t i = 0; i < piece_.rows; ++i) {
      const std::size_t row = rows ? rows[piece_.first_row + i] : piece_.first_row + i;
      product_.pack_row(problem.a.row(row) + first_input, inputs, out + i * product_.row_bytes);
    }
  }

  const Product& product_;
  std::byte* memory_;
  Piece<T> piece_{};
  Size size_{};
  std::size_t packed_blocks_ = 0;
};

std::size_t panel_cost(std::size_t rows, std::uint32_t k) {
  return std::max<std::size_t>(rows, least_product_rows) * k;
}

// What a thread works with.
template <class Product, class T>
struct Worker {
  Stream& stream;
  int thread;
  const Product& product;
  std::byte* scratch;  // gemm_scratch_bytes
  PackedRows<Product, T> rows;
  GemmEpilogue epilogue;
  const GemmProblem<T>* problems;  // the first one
};

// Multiply-adds between two looks at what else wants attention: 50 to 200 us by vectors, 10 by tiles.
constexpr std::size_t multiply_adds_at_a_time = std::size_t{1} << 23;

// A K block, some panels at a time. Bodies take several panels together where rows are few: there they get 64.
template <class Product, class T>
void run_block(Worker<Product, T>& worker, const GemmBlock& g, std::size_t inputs) {
  const std::size_t panel = panel_cost(g.rows, static_cast<std::uint32_t>(inputs)) * panel_columns;
  const std::size_t at_a_time = std::max<std::size_t>(1, multiply_adds_at_a_time / panel);
  for (std::size_t p = 0; p < g.panels; p += at_a_time) {
    GemmBlock some = g;
    some.panels = std::min(at_a_time, g.panels - p);
    some.w.data += p * g.w.panel_bytes, some.c += p * panel_columns;
    if (g.w.scales) some.w.scales += p * g.w.panel_scale_bytes;
    if (p + some.panels < g.panels)
      some.last_columns = panel_columns, some.next = some.w.data + some.panels * g.w.panel_bytes;
    worker.product.block(some);
    worker.stream.between_pieces(worker.thread);
  }
}

// One K block after the other of panels whose C stays in the cache meanwhile. `after`: the data to prefetch last.
template <class Product, class T>
void run_panels(Worker<Product, T>& worker, const Piece<T>& piece, const std::byte* after) {
  const Matrix& w = piece.problem->w;
  const std::size_t blocks = blocks_of(w.k), first_column = piece.first_panel * panel_columns;
  const std::size_t columns = std::min<std::size_t>(w.n, piece.last_panel * panel_columns) - first_column;
  for (std::size_t b = 0; b < blocks; ++b) {
    const BlockPlace block = block_place(w, b);
    GemmBlock g;
    g.a = worker.rows.block(b);
    g.rows = piece.rows;
    g.w = panels_of_block(piece, b);
    g.groups = block.inputs / group_inputs;
    g.panels = piece.last_panel - piece.first_panel;
    g.last_columns = columns - (g.panels - 1) * panel_columns;
    g.c = piece.problem->c.row(piece.first_row) + first_column;
    g.c_stride = piece.problem->c.stride;
    g.first = b == 0;
    g.next = b + 1 < blocks ? piece.data(b + 1) : after;
    g.scratch = worker.scratch;
    run_block(worker, g, block.inputs);
  }
  if (!worker.epilogue) return;
  const auto problem = static_cast<std::size_t>(piece.problem - worker.problems);
  worker.epilogue({problem, piece.first_row, piece.rows, first_column, columns});
}

// C of the panels that go through all K blocks together. A larger one would come from memory again in every block, and
// for the epilogue.
constexpr std::size_t c_bytes_at_a_time = 512 << 10;

// Where pieces and their parts are cut: every so many panels.
constexpr std::size_t cut_panels = epilogue_columns / panel_columns;

// `after` is the first block of the thread's next piece: the last panel prefetches it.
template <class Product, class T>
void run_piece(Worker<Product, T>& worker, const Piece<T>& piece, const std::byte* after) {
  expect(FlushSubnormals::on(), "gemm: the definition flushes subnormals");
  worker.rows.begin(piece);
  const std::size_t panels = piece.last_panel - piece.first_panel, cuts = divide_up(panels, cut_panels);
  const std::size_t c_bytes = panels * piece.rows * panel_columns * sizeof(float);
  const bool together = blocks_of(piece.problem->w.k) == 1 && !worker.epilogue;
  const std::size_t parts = together ? 1 : std::min(cuts, divide_up(c_bytes, c_bytes_at_a_time));
  const auto bound = [&](std::size_t part) {
    return piece.first_panel + std::min(panels, cuts * part / parts * cut_panels);
  };
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t first = bound(part), last = bound(part + 1);
    const std::byte* next = part + 1 < parts ? piece.part(last, last + 1).data(0) : after;
    run_panels(worker, piece.part(first, last), next);
  }
}

// Calls visit(piece) for the thread's share, a chunk of rows after the other of all neighbours that pack the same rows:
// [total * thread / threads, total * (thread + 1) / threads) of all panels' cost, cut at whole cut_panels.
template <class T, class Visit>
void visit_share(std::span<const GemmProblem<T>> problems, std::size_t total, std::size_t thread, std::size_t threads,
                 Visit visit) {
  const std::size_t from = total * thread / threads, to = total * (thread + 1) / threads;
  std::size_t before = 0;  // cost of the pieces so far
  for (std::size_t p = 0, end; p < problems.size(); p = end) {
    for (end = p + 1; end < problems.size() && same_rows(problems[p], problems[end]);) ++end;
    const std::size_t rows_of_all = problems[p].c.rows, chunks = divide_up(rows_of_all, chunk_rows);
    for (std::size_t c = 0; c < chunks; ++c) {
      const std::size_t first_row = rows_of_all * c / chunks, rows = rows_of_all * (c + 1) / chunks - first_row;
      for (const GemmProblem<T>& problem : problems.subspan(p, end - p)) {
        const std::size_t panels = panels_of(problem.w.n), cost = panel_cost(rows, problem.w.k);
        auto panel_at = [&](std::size_t bound) {
          return bound <= before ? 0 : std::min(panels, round_up(divide_up(bound - before, cost), cut_panels));
        };
        const std::size_t first = panel_at(from), last = panel_at(to);
        if (first < last) visit(Piece<T>{&problem, first_row, rows, first, last});
        before += panels * cost;
      }
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
void run(Stream& stream, const Product& product, std::span<const GemmProblem<T>> problems, GemmEpilogue epilogue) {
  const std::size_t total = total_cost(problems);
  if (total == 0) return;
  const auto threads = static_cast<std::size_t>(stream.team().size());
  std::size_t rows_bytes = 0;
  for (const GemmProblem<T>& problem : problems)
    rows_bytes = std::max(rows_bytes, packed_rows_bytes(product.row_bytes, problem.c.rows, problem.w.k));
  auto share = [&](std::size_t begin, std::size_t end, int thread) {
    std::byte* scratch = stream.scratch(thread, gemm_scratch_bytes + rows_bytes);
    Worker<Product, T> worker{stream,   thread,         product, scratch, {product, scratch + gemm_scratch_bytes},
                              epilogue, problems.data()};
    for (std::size_t part = begin; part < end; ++part) {
      Piece<T> waiting{};  // runs once the piece after it is known
      visit_share(problems, total, part, threads, [&](const Piece<T>& piece) {
        if (waiting.problem) run_piece(worker, waiting, piece.data(0));
        waiting = piece;
      });
      if (waiting.problem) run_piece(worker, waiting, nullptr);
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
void run(Stream& stream, std::span<const GemmProblem<T>> problems, GemmEpilogue epilogue) {
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
  if (int8) return run(stream, int8_product_of(stream, rows), problems, epilogue);
  run(stream, product_of(stream, rows), problems, epilogue);
}

}  // namespace

std::size_t product_scratch_bytes(const Stream& stream, std::uint32_t inputs) {
  const std::size_t row_bytes =
      std::max({stream.gemm_body().row_bytes, stream.gemm_body().exact->row_bytes, stream.int8_gemm().row_bytes});
  return gemm_scratch_bytes + packed_rows_bytes(row_bytes, chunk_rows, inputs);
}

void gemm(Stream& stream, Rows<const bf16> a, const Matrix& w, Rows<float> c, GemmEpilogue epilogue) {
  const GemmProblem<bf16> problem{a, w, c, {}};
  run<bf16>(stream, {&problem, 1}, epilogue);
}

void gemm(Stream& stream, Rows<const float> a, const Matrix& w, Rows<float> c, GemmEpilogue epilogue) {
  const GemmProblem<float> problem{a, w, c, {}};
  run<float>(stream, {&problem, 1}, epilogue);
}

void gemm_grouped(Stream& stream, std::span<const GemmProblem<bf16>> problems, GemmEpilogue epilogue) {
  run(stream, problems, epilogue);
}
void gemm_grouped(Stream& stream, std::span<const GemmProblem<float>> problems, GemmEpilogue epilogue) {
  run(stream, problems, epilogue);
}

void add_bias(Stream& stream, const GemmPart& part, Rows<float> c, Vector<const float> bias) {
  for (std::size_t r = part.first_row; r < part.first_row + part.rows; ++r)
    stream.bodies().add(c.row(r) + part.first_column, bias.data + part.first_column, part.columns);
}

void scatter_rounded(Stream& stream, const GemmPart& part, Rows<const float> c, Vector<const std::uint32_t> place,
                     Rows<bf16> out) {
  for (std::size_t r = part.first_row; r < part.first_row + part.rows; ++r)
    stream.bodies().round(c.row(r) + part.first_column, part.columns, out.row(place.data[r]) + part.first_column);
}

}  // namespace moemill::cpu
