// Where CPU kernels run: an instruction set, a team of threads and their scratch memory. There is one per rank; every
// kernel takes it, and its type finds the CPU's bodies.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "system/machine/threads.hpp"

namespace moemill::cpu {

// The bodies of every kernel: plain C++ is the definition, the vector bodies give the same bits.
enum class Isa { Plain, Avx2, Avx512 };

Isa best_isa();  // of this CPU; Avx512 needs F, BW, VL, DQ; Avx2 needs AVX2 and FMA
bool available(Isa isa);
std::string_view name(Isa isa);        // "plain", "avx2", "avx512"
Isa parse_isa(std::string_view name);  // throws UserError for an unknown or unavailable one

struct Bodies;  // table of one instruction set's functions (bodies.hpp)

class Stream {
 public:
  explicit Stream(Isa isa = best_isa(), int threads = 1);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Isa isa() const { return isa_; }
  const Bodies& bodies() const { return *bodies_; }
  ThreadTeam& team() { return *team_; }
  // 64-byte aligned memory private to `thread`, valid until the next call for the same thread.
  std::byte* scratch(int thread, std::size_t bytes);

  // Work that wants attention often and briefly (rows in flight) joins here: layers call between_pieces() many
  // times a step, always on the thread that drives this stream. An empty hook switches it off.
  void set_between_pieces(std::function<void()> hook) { between_pieces_ = std::move(hook); }
  void between_pieces() const {
    if (between_pieces_) between_pieces_();
  }

 private:
  struct Scratch;
  Isa isa_;
  const Bodies* bodies_;
  std::unique_ptr<ThreadTeam> team_;
  std::unique_ptr<Scratch> scratch_;
  std::function<void()> between_pieces_;
};

}  // namespace moemill::cpu
