#include "kernels/cpu/choose_isa.hpp"

#include <bit>

#include "gemm_support.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

void block_with_a_wrong_bit(const cpu::GemmBlock& g) {
  cpu::plain_gemm.block(g);
  if (g.rows < 3) return;
  auto bits = std::bit_cast<std::uint32_t>(g.c[2 * g.c_stride]);
  g.c[2 * g.c_stride] = std::bit_cast<float>(bits ^ 1u);
}

}  // namespace

TEST_CASE("choose_isa: every body of this CPU and emulated tiles give the plain body's bits") {
  for (const Unit& unit : fast_units()) {
    CAPTURE(unit.name);
    CHECK(cpu::has_plain_bits(*unit.bodies, *unit.gemm));
  }
}

TEST_CASE("choose_isa: a body with one wrong bit is found out") {
  cpu::GemmBody liar = cpu::plain_gemm;
  CHECK(cpu::has_plain_bits(cpu::plain_bodies, liar));
  liar.block = block_with_a_wrong_bit;
  CHECK(!cpu::has_plain_bits(cpu::plain_bodies, liar));
}

TEST_CASE("choose_isa: the fastest right body wins") {
  const cpu::IsaChoice choice = cpu::choose_isa();
  double best = 0, chosen = 0;
  for (const cpu::IsaTrial& trial : choice.trials) {
    CHECK(cpu::available(trial.isa));
    if (!trial.right) continue;
    CHECK(trial.seconds > 0);
    if (best == 0 || trial.seconds < best) best = trial.seconds;
    if (trial.isa == choice.isa) chosen = trial.seconds;
  }
  CHECK(chosen == best);
}

namespace {

void int8_block_with_a_wrong_bit(const cpu::GemmBlock& g) {
  cpu::plain_int8_gemm.block(g);
  if (g.rows < 3) return;
  auto bits = std::bit_cast<std::uint32_t>(g.c[2 * g.c_stride]);
  g.c[2 * g.c_stride] = std::bit_cast<float>(bits ^ 1u);
}

}  // namespace

TEST_CASE("choose_int8: every unit of this CPU and emulated tiles give the plain one's bits; a liar is found out") {
  for (const Unit& unit : fast_int8_units()) {
    CAPTURE(unit.name);
    CHECK(cpu::has_plain_bits(*unit.int8));
  }
  cpu::Int8Gemm liar = cpu::plain_int8_gemm;
  liar.block = int8_block_with_a_wrong_bit;
  CHECK(!cpu::has_plain_bits(liar));
}

TEST_CASE("choose_int8: the unit belongs to the instruction set") {
  CHECK(cpu::choose_int8(cpu::Isa::Plain).unit == cpu::Int8Unit::Plain);
  for (cpu::Isa isa : cpu::all_isas) {
    if (!cpu::available(isa)) continue;
    const cpu::Int8Choice choice = cpu::choose_int8(isa);
    CHECK(choice.wrong.empty());
    CHECK(choice.unit == cpu::best_int8_unit(isa));
  }
}
