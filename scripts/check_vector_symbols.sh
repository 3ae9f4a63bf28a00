#!/bin/sh
# usage: check_vector_symbols.sh libmoemill_kernels.a
# Each file of vector bodies may define only one global symbol, its table. The linker could keep a weak (inline or
# template) function that was compiled there with AVX-512 for the whole program, which would crash on CPUs without it.
set -eu
members=$(ar t "$1" | grep -E '_avx(2|512)\.cpp' || true)
[ -n "$members" ] || { echo "no vector bodies in $1"; exit 1; }
# T: global function, W: weak function, i: resolver; weak data (V) and what sanitizers add (B) hold no instructions.
defined=$(nm -A -C --defined-only "$1" | grep -E '_avx(2|512)\.cpp' || true)
wrong=$(echo "$defined" | grep -E ' [TWi] ' || true)
tables=$(echo "$defined" | grep -cE ' [DR] moemill::cpu::avx(2|512)_bodies$' || true)
if [ -n "$wrong" ] || [ "$tables" -ne 2 ]; then
  echo "vector bodies must define their table and no global or weak function; found $tables tables and:"
  echo "$wrong"
  exit 1
fi
