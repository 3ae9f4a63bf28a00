#!/bin/sh
# usage: check_vector_symbols.sh libmoemill_kernels.a
# The vector bodies may define one symbol a file, their table. A weak (inline or template) function compiled there with
# AVX-512 could be the copy the linker keeps for the whole program, and crash CPUs without it.
set -eu
members=$(ar t "$1" | grep -E '_avx(2|512)\.cpp' || true)
[ -n "$members" ] || { echo "no vector bodies in $1"; exit 1; }
defined=$(nm -A -C --defined-only "$1" | grep -E '_avx(2|512)\.cpp' | grep -E ' [A-Zuvw] ' || true)
wrong=$(echo "$defined" | grep -vE ' [DR] moemill::cpu::avx(2|512)_bodies$' || true)
tables=$(echo "$defined" | grep -cE ' [DR] moemill::cpu::avx(2|512)_bodies$' || true)
if [ -n "$wrong" ] || [ "$tables" -ne 2 ]; then
  echo "vector bodies must define their table and nothing else; found $tables tables and:"
  echo "$wrong"
  exit 1
fi
