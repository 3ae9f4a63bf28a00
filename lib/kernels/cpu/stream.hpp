// Where CPU kernels run: an instruction set, a team of threads and their scratch memory. There is one per rank; every
// kernel takes it, and its type finds the CPU's bodies.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "base/passes.hpp"
#include "kernels/matrix.hpp"
#include "system/machine/threads.hpp"

namespace moemill::cpu {

// The bodies of every kernel: plain C++ is the definition, the others give the same bits. Avx512Bf16 and Amx have a
// product with weights of their own; everything else that they do is AVX-512's.
enum class Isa { Plain, Avx2, Avx512, Avx512Bf16, Amx };
constexpr Isa all_isas[] = {Isa::Plain, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16, Isa::Amx};

Isa best_isa();  // the widest FMA bodies of this CPU; choose_isa() finds the fastest ones of all
// Avx2 needs AVX2 and FMA, Avx512 F, BW, VL and DQ, Avx512Bf16 AVX512_BF16, and Amx AMX-BF16 and the system's leave.
bool available(Isa isa);
std::string_view name(Isa isa);        // "plain", "avx2", "avx512", "avx512_bf16", "amx"
Isa parse_isa(std::string_view name);  // throws UserError for an unknown or unavailable one

// What computes products with int8 weights. Their bytes are the same, too.
enum class Int8Unit { Plain, Avx2, AvxVnni, Avx512, Avx512Vnni, Amx };
constexpr Int8Unit all_int8_units[] = {Int8Unit::Plain,  Int8Unit::Avx2,       Int8Unit::AvxVnni,
                                       Int8Unit::Avx512, Int8Unit::Avx512Vnni, Int8Unit::Amx};
bool available(Int8Unit unit);
std::string_view name(Int8Unit unit);  // "plain", "avx2", "avx_vnni", "avx512", "avx512_vnni", "amx_int8"
// Those that belong to an instruction set, the fastest first and the plain one last; and the first one that this CPU
// has. choose_int8() finds the first one that is right, too (choose_isa.hpp).
std::span<const Int8Unit> int8_units_of(Isa isa);
Int8Unit best_int8_unit(Isa isa);

struct Bodies;    // table of one instruction set's functions (bodies.hpp)
struct GemmBody;  // its product with weights
struct Int8Gemm;  // its product with int8 weights

class Stream {
 public:
  explicit Stream(Isa isa = best_isa(), int threads = 1);  // with best_int8_unit(isa)
  Stream(Isa isa, Int8Unit int8, int threads);
  Stream(const Bodies& bodies, const GemmBody& gemm_body, const Int8Gemm& int8_gemm, int threads);  // to compare them
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  const Bodies& bodies() const { return *bodies_; }
  const GemmBody& gemm_body() const { return *gemm_body_; }
  const Int8Gemm& int8_gemm() const { return *int8_gemm_; }
  // The order in which matrices are packed for this stream, and whether it can read another one.
  PairOrder order() const;
  bool reads(PairOrder order) const;
  ThreadTeam& team() { return *team_; }
  PassClock& passes() { return passes_; }  // of the thread that drives this stream
  // 64-byte aligned memory private to `thread`, valid until the next call for the same thread.
  std::byte* scratch(int thread, std::size_t bytes);

  // Work that wants attention often and briefly (rows in flight) joins here. Kernels and layers call between_pieces()
  // from their outer loops, after some ten microseconds of work, with the number of the range that they work on
  // (ThreadTeam::parallel_for). Range 0 always belongs to the thread that drives this stream: there the hook is called,
  // as soon as `interval` seconds have passed since it returned last. It must not call kernels of this stream. An empty
  // hook switches it off.
  static constexpr double hook_interval = 200e-6;  // a link of 1 Gbit/s brings 25 KB meanwhile
  void set_between_pieces(std::function<void()> hook, double interval = hook_interval);
  void between_pieces(int thread) {
    if (thread == 0 && between_pieces_) call_hook_if_due();
  }

 private:
  void call_hook_if_due();

  struct Scratch;
  const Bodies* bodies_;
  const GemmBody* gemm_body_;
  const Int8Gemm* int8_gemm_;
  std::unique_ptr<ThreadTeam> team_;
  std::unique_ptr<Scratch> scratch_;
  std::function<void()> between_pieces_;
  double hook_interval_ = hook_interval;
  double hook_due_ = 0;  // now_seconds()
  PassClock passes_;
};

}  // namespace moemill::cpu
